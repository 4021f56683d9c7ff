//! `/`: what a newcomer may try next.

use std::sync::Arc;

use axum::{extract::State, response::Html};

use super::health;
use crate::handle::Rooms;

const PAGE: &str = include_str!("welcome.html");

pub(super) async fn page(State(rooms): State<Arc<Rooms>>) -> Html<String> {
    let address = rooms.tcp_address;
    let (host, port, mqtt) = match address {
        Some(address) => (
            address.ip().to_string(),
            address.port().to_string(),
            address.to_string(),
        ),
        None => (
            "HOST".to_owned(),
            "PORT".to_owned(),
            "no address: listener.tcp is off".to_owned(),
        ),
    };
    let state = health::reason(&rooms).unwrap_or("ready").trim();
    let values = [
        ("{{name}}", rooms.config.node.name.clone()),
        ("{{state}}", state.to_owned()),
        ("{{mqtt}}", mqtt),
        ("{{host}}", host),
        ("{{port}}", port),
        ("{{clients}}", rooms.metrics.connections.get().to_string()),
        ("{{members}}", rooms.metrics.members.get().to_string()),
        ("{{version}}", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut page = PAGE.to_owned();
    for (name, value) in values {
        page = page.replace(name, &escape(&value));
    }
    Html(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
