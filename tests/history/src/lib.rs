//! What the clients of a cluster saw, and whether the cluster kept its guarantees.
//!
//! Clients write down what they sent, what was acknowledged and what they received, with the time
//! ([`Recorder`]); afterwards the checker reads the whole history and finds what must not have
//! happened. It knows MQTT, but nothing of the broker.

mod entry;
mod recorder;

pub use entry::{Entry, Happened, MessageId, Retain, Side, WillPlan};
pub use recorder::{History, Recorder};
