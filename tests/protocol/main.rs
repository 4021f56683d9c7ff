//! What MQTT promises to a client, on one node with SQLite and on three nodes with Postgres.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod acknowledgement;
mod alias;
mod announced;
mod auth;
mod connect;
mod expiry;
mod flow;
mod handshake;
mod http;
mod identifier;
mod keep_alive;
mod limits;
mod login;
mod malformed;
mod persistent;
mod proxy;
mod quality;
mod queues;
mod quotas;
mod reauth;
mod refused;
mod retained;
mod scale;
mod share;
mod size;
mod subscribe;
mod sys;
mod takeover;
mod text;
mod unsubscribe;
mod version_3;
mod will;
mod wire;

use mqtt::{ProtocolVersion, Qos};

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

const VERSIONS: [ProtocolVersion; 3] = [
    ProtocolVersion::V3_1,
    ProtocolVersion::V3_1_1,
    ProtocolVersion::V5,
];

/// A socket that speaks only bytes.
struct Raw {
    stream: tokio::net::TcpStream,
}

impl Raw {
    async fn connect(address: std::net::SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    async fn send(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt as _;
        let _ = self.stream.write_all(bytes).await; // the server may have closed already
    }

    /// Everything that comes until the server closes.
    async fn rest(&mut self) -> Vec<u8> {
        use tokio::io::AsyncReadExt as _;
        let mut all = Vec::new();
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = self.stream.read(&mut buffer).await {
                all.extend_from_slice(&buffer[..length]);
            }
        };
        let limit = harness::LIMIT;
        tokio::time::timeout(limit, read)
            .await
            .expect("the server does not close");
        all
    }

    /// Exactly `length` bytes.
    async fn read(&mut self, length: usize) -> Vec<u8> {
        use tokio::io::AsyncReadExt as _;
        let mut bytes = vec![0; length];
        let read = self.stream.read_exact(&mut bytes);
        tokio::time::timeout(harness::LIMIT, read)
            .await
            .expect("too few bytes came")
            .unwrap();
        bytes
    }
}
