//! One node on its embedded database, whose machine loses power, whose process is killed, whose disk is full.
//!
//! Needs root (or sudo) and loop devices. A machine that cannot have them sets `CAUSEWAY_WITHOUT_LOOP=1`;
//! without that the tests fail there, so that nobody believes in what was never tried.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod crowd;
mod disk;
mod full;
mod judge;
mod loss;
