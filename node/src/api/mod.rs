//! What people and programs ask over HTTP: health, metrics, and where to begin.
//!
//! Owns the HTTP server. It reads the state of other rooms and changes nothing.

mod health;
mod metrics;
mod welcome;

use std::sync::Arc;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tracing::warn;

use crate::{handle::Rooms, shutdown::Shutdown, telemetry::chain};

/// Serves HTTP until `shutdown` stops.
pub(crate) async fn run(listener: TcpListener, rooms: Arc<Rooms>, shutdown: Shutdown) {
    let routes = Router::new()
        .route("/", get(welcome::page))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .with_state(rooms);
    let serve = axum::serve(listener, routes);
    tokio::select! {
        served = serve.into_future() => {
            if let Err(error) = served {
                warn!(error = %chain(&error), "HTTP server ended");
            }
        }
        () = shutdown.stopped() => {}
    }
}
