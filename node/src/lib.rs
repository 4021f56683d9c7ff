//! The Causeway broker: one node, alone on an embedded database or in a cluster on one Postgres.
//!
//! ```text
//! clients ── listener ─ connection ─ handle ─┬─ auth  tls
//! database ─ feed ───────────────────────────┼─ session  router  retain
//! people ─── api, sys, timer, user ──────────┴─ delivery  cluster          crates: ibc, mqtt
//! ```
//!
//! Calls go right and down, never back. `tests/rooms.rs` holds the map.

mod api;
mod auth;
mod cluster;
pub mod config;
mod connection;
mod delivery;
mod feed;
mod handle;
mod listener;
mod node;
mod retain;
mod router;
mod session;
mod shutdown;
mod sys;
pub mod telemetry;
mod timer;
mod tls;
mod user;

pub use auth::{NewUserError, RandomError, scram};
pub use listener::BindError;
pub use node::{Node, StartError, check};
pub use shutdown::Failure;
pub use tls::TlsError;
pub use user::{Existing, UserError, UserList};
