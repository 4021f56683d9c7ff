//! What must hold for any bytes that a peer may send, one module per decoder.
//!
//! Each `check` takes an input of any form and panics if something does not hold. The targets
//! in `targets/` give them to libFuzzer, which searches for such an input; `tests/replay.rs`
//! gives them all inputs of `seeds/`, so that what was found once is tried by every test run.
//! No I/O, and nothing of what is checked is written here: an oracle must be a second opinion.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a check that fails panics"
)]

pub mod decoder;
pub mod frame;
mod oracle;
mod pieces;
pub mod proxy;
pub mod record;
pub mod seeds;
pub mod topic;
pub mod tree;
pub mod websocket;

/// What must hold for an input; panics if it does not.
pub type Check = fn(&[u8]);

/// Every target: its name, and its check.
pub const TARGETS: [(&str, Check); 7] = [
    ("decoder", decoder::check),
    ("topic", topic::check),
    ("tree", tree::check),
    ("proxy", proxy::check),
    ("frame", frame::check),
    ("record", record::check),
    ("websocket", websocket::check),
];
