//! Identifiers, each its own type so that none can be taken for another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// One run of one node: a node that joins again, also under the same name, has a new and
    /// larger one (its incarnation). Greater than 0.
    NodeId
}
id! {
    /// One session state. A client that starts clean gets a new one, so what belonged to the
    /// old session can never reach the new. Greater than 0, never used twice.
    SessionId
}
id! {
    /// An Application Message in the durable store.
    MessageId
}
id! {
    /// A message in the queue of one session. Of the entries one node wrote for one session, a
    /// later one has the larger identifier, and they become visible in that order.
    EntryId
}
id! {
    /// How often a client ID was claimed. The larger claim always beats the smaller.
    Epoch
}
