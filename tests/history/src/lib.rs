//! What the clients of a cluster saw, and whether the cluster kept its guarantees.
//!
//! Clients write down what they sent, what was acknowledged and what they received, with the time
//! ([`Recorder`]); afterwards the checker reads the whole history ([`check`]) and finds what must not have
//! happened. It knows MQTT, but nothing of the broker. [`History::write`] and [`History::read`] keep a history in
//! a file; `causeway-history FILE` judges it again.
//!
//! The checker accuses only where MQTT 5 or a guarantee of the project leaves no other explanation of what the
//! clients saw; each module of `checks` says which excuses there are.

mod checks;
mod entry;
mod filter;
mod recorder;
mod rules;
mod story;
mod text;
mod verdict;

pub use checks::check;
pub use entry::{Entry, Happened, MessageId, Retain, Side, WillPlan};
pub use recorder::{History, Recorder};
pub use rules::Rules;
pub use text::ReadError;
pub use verdict::{Counts, Kind, Verdict, Violation};
