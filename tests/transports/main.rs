//! TLS, WebSocket, PROXY protocol, IPv6 and Unix sockets, with the clients of others.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod authority;
mod browser;
mod certificate;
mod clients;
mod limits;
mod proxy;
mod reload;
mod sockets;
mod tls;
mod websocket;

use std::net::SocketAddr;

use harness::{TestNode, Tool};

/// CONNECT of MQTT 3.1.1, client ID `x`, keep-alive 60 s.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x";
/// CONNACK of MQTT 3.1.1 without an error.
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
/// The PROXY header of a client at 192.0.2.7:45678, version 1.
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 45678 1883\r\n";
/// The same in version 2, with a certificate that the load balancer has seen (PP2_TYPE_SSL).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x1a\xc0\x00\x02\x07\x7f\x00\x00\x01\xb2\x6e\x07\x5b\x20\x00\x0b\x07\x00\x00\x00\x00\x22\x00\x03bob";

const MOSQUITTO: &str = "apt-get install mosquitto-clients";

/// A node with these settings and all that it logs.
async fn node(settings: &[String]) -> TestNode {
    let mut all: Vec<&str> = settings.iter().map(String::as_str).collect();
    all.push("log.level=debug");
    TestNode::start_with(&all).await
}

/// What a TLS client of OpenSSL sees (tls.py): `VERSION ALPN HEX`, or the error.
struct Python<'a> {
    address: SocketAddr,
    options: Vec<&'a str>,
}

impl<'a> Python<'a> {
    fn new(address: SocketAddr, authority: &'a str) -> Self {
        Self {
            address,
            options: vec!["--cafile", authority],
        }
    }

    fn with(mut self, options: &[&'a str]) -> Self {
        self.options.extend(options);
        self
    }

    /// Says CONNECT; what came of it in one line.
    async fn connects(self) -> String {
        let address = [
            self.address.ip().to_string(),
            self.address.port().to_string(),
        ];
        let mut arguments = vec!["-c", include_str!("tls.py"), &address[0], &address[1]];
        arguments.extend(self.options);
        let output = Tool::start("python3", &arguments, "apt-get install python3");
        output.success().await.trim().to_owned()
    }
}

/// `mosquitto_sub` in debug mode, when it has subscribed.
async fn subscriber(address: SocketAddr, arguments: &[&str]) -> Tool {
    let port = address.port().to_string();
    let host = address.ip().to_string();
    let mut all = vec!["-oL", "mosquitto_sub", "-h", &host, "-p", &port, "-d"];
    all.extend(arguments);
    let tool = Tool::start("stdbuf", &all, MOSQUITTO);
    tool.says("Subscribed").await;
    tool
}

/// `mosquitto_pub`, still running.
fn publisher(address: SocketAddr, arguments: &[&str]) -> Tool {
    let port = address.port().to_string();
    let host = address.ip().to_string();
    let mut all = vec!["-h", &host, "-p", &port];
    all.extend(arguments);
    Tool::start("mosquitto_pub", &all, MOSQUITTO)
}
