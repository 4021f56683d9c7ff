//! What waits for one connected client.
//!
//! Owns the mailbox of each connected session: messages in, and words from other rooms to the
//! connection. It never waits for a client: a full mailbox drops, or leaves to the database what
//! is stored there, and says so.

mod outbox;
mod publication;
mod waiting;

pub(crate) use outbox::{Control, Outbox, Pushed, QueuePage};
pub(crate) use publication::{Delivery, Identifiers, Publication, Stored, identifiers, size_bytes};
pub(crate) use waiting::{Amount, QueueLimits};
