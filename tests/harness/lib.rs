//! What the black-box tests stand on: nodes, clusters, a load balancer and a database, all as
//! processes on free ports of 127.0.0.1, and an MQTT client that can also misbehave.
//!
//! It sees a node only from outside: its command line, its sockets and its log. A process never
//! outlives the test that started it. Whatever does not work within a generous time panics, and
//! then the log of each node is printed.

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

mod certificates;
mod client;
mod cluster;
mod http;
mod nginx;
mod node;
mod postgres;
pub mod process;
mod program;
mod scram;
mod scratch;
mod session;
mod site;
mod tools;

pub use certificates::Certificates;
pub use client::{Builder, Client, Event, MessageExt, Refused, message};
pub use cluster::Cluster;
pub use http::{Metrics, Response, get};
pub use nginx::Nginx;
pub use node::{Options, TestNode};
pub use postgres::Database;
pub use process::Process;
pub use program::{Command, Finished, binary};
pub use scram::Scram;
pub use scratch::Scratch;
pub use session::Session;
pub use site::Site;
pub use tools::{Tool, exporter, npm, paho1, paho2, suites};

use std::time::Duration;

/// How long anything may take that should happen at once, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How long a start, a restart or a recovery may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long we listen before we believe that nothing comes.
pub const SILENCE: Duration = Duration::from_millis(400);

/// Calls `check` until it returns something.
///
/// # Panics
///
/// After [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, mut check: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "still not so after {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
