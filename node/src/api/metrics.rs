//! `/metrics`: Prometheus text.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::health;
use crate::{handle::Rooms, telemetry::chain};

pub(super) async fn metrics(State(rooms): State<Arc<Rooms>>) -> Response {
    rooms
        .metrics
        .is_ready
        .set(i64::from(health::reason(&rooms).is_none()));
    match rooms.metrics.text() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, chain(&error)).into_response(),
    }
}
