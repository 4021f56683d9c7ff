//! The command line: what starts, and what does not start with one line that says what to change.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod certificates;
mod commands;
mod database;
mod settings;
mod sockets;
mod user;

use harness::{Command, Finished};

/// Runs `causeway` and expects it to fail with exactly one line on standard error that contains
/// all of `words`.
async fn fails(command: Command, code: i32, words: &[&str]) -> Finished {
    let finished = command.run().await;
    let complaint = format!("{finished:?}");
    assert_eq!(finished.code, Some(code), "{complaint}");
    assert_eq!(finished.stderr.lines().count(), 1, "one line: {complaint}");
    assert!(!finished.stderr.contains("panicked"), "{complaint}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?} in {complaint}");
    }
    finished
}
