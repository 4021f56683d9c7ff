//! The table `listener`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Bind;

/// Where and how clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// Address for MQTT over TCP, or `off`. Fixed until restart.
    pub tcp: Bind,
    /// Whether a load balancer tells the client's address by the PROXY protocol, v1 or v2.
    /// Fixed until restart.
    pub proxy_protocol: ProxyProtocol,
    /// Connections waiting to be accepted, 1 to 65 535; the system may lower it. Fixed until
    /// restart.
    pub backlog: u32,
    /// Most connections at one time, 1 to 10 000 000; further ones are closed at once.
    pub max_connections: u32,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            tcp: Bind::At(SocketAddr::from(([127, 0, 0, 1], 1883))),
            proxy_protocol: ProxyProtocol::Off,
            backlog: 4096,
            max_connections: 1_000_000,
        }
    }
}

/// Whether a connection starts with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// It never does.
    Off,
    /// It always does; a connection without one is closed.
    On,
    /// It may.
    Auto,
}
