//! The guarantees G1 to G9 of several nodes on one Postgres, with nodes that come, go and die.
//!
//! `CAUSEWAY_TEST_KILLS` says how often the tests that kill nodes are repeated (3).

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod absence;
mod auth;
mod crowd;
mod drain;
mod everyone;
mod exactly_once;
mod join;
mod kill;
mod load;
mod order;
mod outage;
mod rejoin;
mod restart;
mod retained;
mod road;
mod rolling;
mod routes;
mod share;
mod wills;

/// How often a test that kills something is repeated.
fn rounds() -> usize {
    std::env::var("CAUSEWAY_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3)
}
