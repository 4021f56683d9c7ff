//! What holds for all listeners together.

use std::net::SocketAddr;

use harness::{Certificates, Scratch};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpStream, UnixStream},
};

use crate::{Python, node};

/// Whether the server closes at once.
async fn is_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    let mut buffer = [0; 1];
    let read = stream.read(&mut buffer);
    matches!(
        tokio::time::timeout(harness::LIMIT, read).await,
        Ok(Ok(0) | Err(_))
    )
}

/// Connections count from the first moment, whatever they are.
#[tokio::test]
async fn max_connections_counts_all_listeners() {
    let scratch = Scratch::new("limits");
    let path = scratch.path().join("mqtt.sock");
    let certificates = Certificates::make().await;
    let mut settings = certificates.settings();
    settings.extend([
        "listener.ws=127.0.0.1:0".to_owned(),
        format!("listener.unix={}", path.display()),
        "listener.max_connections=5".to_owned(),
    ]);
    let mut node = node(&settings).await;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for name in ["tcp", "tls", "ws", "wss"] {
        addresses.push(node.listener(name).await);
    }
    node.logs(&["listening", "\"unix\""]).await;
    let mut held = Vec::new();
    for address in &addresses {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let unix = UnixStream::connect(&path).await.unwrap();
    harness::eventually("five sockets", async || {
        let metrics = node.metrics().await;
        let each = ["tcp", "tls", "ws", "wss", "unix"].map(|name| {
            let label = format!("listener=\"{name}\"");
            metrics.sum("causeway_sockets", &[&label])
        });
        each.iter()
            .all(|count| (count - 1.0).abs() < 0.5)
            .then_some(())
    })
    .await;
    for address in &addresses {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(is_closed(&mut stream).await, "{address}");
    }
    assert!(is_closed(&mut UnixStream::connect(&path).await.unwrap()).await);
    let refused = node.metrics().await;
    let refused = refused.sum("causeway_packets_malformed_total", &["max_connections"]);
    assert!((refused - 5.0).abs() < 0.5, "{refused}");
    // Whoever goes makes room, on whichever listener.
    drop(unix);
    harness::eventually("room", async || {
        let metrics = node.metrics().await;
        (metrics.sum("causeway_sockets", &[]) < 4.5).then_some(())
    })
    .await;
    let authority = certificates.file("ca.pem");
    let answer = Python::new(addresses[1], &authority).connects().await;
    assert_eq!(answer, "TLSv1.3 None 20020000");
    node.assert_healthy();
}

/// Fifty at twenty per second, of which the first twenty need not wait, whichever door they take.
#[tokio::test]
async fn accept_rate_holds_for_all_listeners_together() {
    let settings = ["listener.ws=127.0.0.1:0", "listener.accept_rate=20"];
    let node = harness::TestNode::start_with(&settings).await;
    let ws = node.listener("ws").await;
    let begun = std::time::Instant::now();
    for number in 0..25 {
        let name = format!("client-{number}");
        node.builder(&name).connect().await;
        let answer = http(ws).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    let taken = begun.elapsed();
    assert!(taken >= std::time::Duration::from_millis(1400), "{taken:?}");
}

async fn http(address: SocketAddr) -> String {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn clients_are_counted_per_listener() {
    let node = node(&["listener.tcp=127.0.0.1:0, [::1]:0".to_owned()]).await;
    let client = node.client("one").await;
    let count = async |listener: &str| {
        let label = format!("listener=\"{listener}\"");
        node.metrics().await.sum("causeway_connections", &[&label])
    };
    assert!((count("tcp").await - 1.0).abs() < 0.5);
    assert!(count("tls").await < 0.5);
    client.disconnect().await;
    harness::eventually("none", async || (count("tcp").await < 0.5).then_some(())).await;
}
