//! One line of a history.

use std::time::Duration;

/// Names one message of the load for ever: the payload begins with `PUBLISHER:NUMBER`.
///
/// The numbers of one publisher rise by one with each message, whatever its topic. A message that is
/// sent again, because its acknowledgement did not come, keeps its number. A Will has the publisher
/// `will/CLIENT_ID` and the number of the connection that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// Who publishes it; not always a client identifier.
    pub publisher: String,
    /// 1, 2, 3, …
    pub number: u64,
}

/// A Will as it was given in CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WillPlan {
    /// Where it will be published.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Will Delay Interval.
    pub delay: Duration,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client, by DISCONNECT with reason 0: the Will is deleted.
    ClientNormally,
    /// The client, without DISCONNECT or with reason 4: the Will is due.
    ClientAbruptly,
    /// The server, or whatever is between: DISCONNECT from the server, FIN or RST.
    Server,
}

/// Whether a message is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// Not.
    No,
    /// RETAIN is 1.
    Yes,
}

/// What a client did or saw.
///
/// `Connect`, `Subscribe`, `Unsubscribe`, `Publish` and `Disconnect`-like entries are written just
/// before the bytes go out, everything else just after the bytes have come in. So what the
/// checker knows of the order of two clients' entries is what really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// CONNECT goes out.
    Connect {
        /// Clean Start.
        clean_start: bool,
        /// Session Expiry Interval; zero: the session ends with the connection.
        expiry: Duration,
        /// Its Will.
        will: Option<WillPlan>,
    },
    /// CONNACK with success.
    Connected {
        /// Session Present.
        session_present: bool,
    },
    /// CONNACK with a reason above 0x7F (or an MQTT 3 return code), or no CONNACK at all (0).
    Refused {
        /// Reason code.
        reason: u8,
    },
    /// The connection is over.
    Closed {
        /// Who ended it.
        by: Side,
        /// Reason code of the server's DISCONNECT, if one came.
        reason: Option<u8>,
    },
    /// SUBSCRIBE goes out. Filters with `$share/` are shared subscriptions.
    Subscribe {
        /// Topic filter, with `$share/GROUP/` in front if it is shared.
        filter: String,
        /// Maximum QoS.
        qos: u8,
    },
    /// SUBACK.
    Subscribed {
        /// As in `Subscribe`.
        filter: String,
        /// Granted QoS or reason code.
        reason: u8,
    },
    /// UNSUBSCRIBE goes out.
    Unsubscribe {
        /// As in `Subscribe`.
        filter: String,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// As in `Subscribe`.
        filter: String,
    },
    /// PUBLISH goes out, for the first time or again.
    Publish {
        /// Which message.
        message: MessageId,
        /// Topic name.
        topic: String,
        /// 0, 1 or 2.
        qos: u8,
        /// RETAIN.
        retain: Retain,
        /// It was sent before, on this connection or an earlier one.
        is_repeated: bool,
    },
    /// PUBACK, PUBREC (QoS 2: from here on the server is responsible) or what refuses it.
    Acknowledged {
        /// Which message.
        message: MessageId,
        /// Reason code; below 0x80 the server has taken it.
        reason: u8,
    },
    /// PUBCOMP of a QoS 2 message.
    Completed {
        /// Which message.
        message: MessageId,
    },
    /// A message for the application: with QoS 2 once per packet identifier and handshake.
    Received {
        /// Which message.
        message: MessageId,
        /// Topic name.
        topic: String,
        /// QoS of the delivery.
        qos: u8,
        /// DUP.
        dup: bool,
        /// RETAIN: it was retained when the client subscribed.
        retain: Retain,
    },
    /// PINGREQ goes out.
    Ping,
    /// PINGRESP.
    Pong,
    /// The machine begins a fault, or ends one: `kill a`. The name of the client is empty.
    Fault {
        /// What it is.
        text: String,
        /// False: it is over.
        begins: bool,
    },
    /// No more faults; every client that is to come back has, and everything that waits for
    /// something has had time enough. What is missing after this is lost. Client empty.
    Settled,
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the beginning of the history.
    pub at: Duration,
    /// Client identifier; empty for the machine itself.
    pub client: String,
    /// 1, 2, 3, …: attempts of this client to connect; each has a number of its own.
    pub connection: u32,
    /// What happened.
    pub what: Happened,
}
