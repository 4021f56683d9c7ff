//! `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use ibc::NodeState;

use crate::handle::Rooms;

/// The process works.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 only if this node can take clients; otherwise 503 and why.
pub(super) async fn readyz(State(rooms): State<Arc<Rooms>>) -> (StatusCode, &'static str) {
    match reason(&rooms) {
        None => (StatusCode::OK, "ready\n"),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// Why this node takes no clients.
pub(super) fn reason(rooms: &Rooms) -> Option<&'static str> {
    if rooms.shutdown.is_draining() {
        return Some("draining\n");
    }
    match rooms.cluster.membership.state() {
        NodeState::Joining => Some("joining: the routes are not loaded yet\n"),
        NodeState::Draining => Some("draining\n"),
        NodeState::Dead => Some("declared dead\n"),
        NodeState::Live if !rooms.cluster.membership.has_lease() => {
            Some("the lease has run out: the database does not answer\n")
        }
        NodeState::Live => None,
    }
}
