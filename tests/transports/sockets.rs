//! IPv6, several addresses, and the Unix socket.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use harness::{Scratch, TestNode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::{CONNACK, CONNECT};

/// The addresses of the TCP listener.
fn addresses(node: &TestNode) -> Vec<String> {
    let output = node.output();
    let lines = output
        .lines()
        .filter(|line| line.contains("\"message\":\"listening\"") && line.contains("\"tcp\""));
    lines
        .filter_map(|line| line.split_once("\"address\":\"")?.1.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_listener_may_have_several_addresses() {
    let settings = ["listener.tcp=127.0.0.1:0, [::1]:0", "log.level=debug"];
    let node = TestNode::start_with(&settings).await;
    harness::eventually("two addresses", async || {
        (addresses(&node).len() == 2).then_some(())
    })
    .await;
    let all = addresses(&node);
    for start in ["127.0.0.1:", "[::1]:"] {
        let address = all.iter().find(|address| address.starts_with(start));
        let address = address.expect("bound").parse().unwrap();
        node.builder("client")
            .at(address)
            .connect()
            .await
            .ping()
            .await;
        node.logs(&["client connected", &format!("\"peer\":\"{start}")])
            .await;
    }
}

/// An IPv4 client of an IPv6 socket has the address that its owner knows.
#[tokio::test]
async fn every_address_takes_ipv4_and_shows_it_as_such() {
    let settings = [
        "listener.tcp=[::]:0",
        "auth.allow_anonymous_remote=true",
        "log.level=debug",
    ];
    let node = TestNode::start_with(&settings).await;
    let port = node.tcp().port();
    for (id, address) in [("four", "127.0.0.1"), ("six", "[::1]")] {
        let place = format!("{address}:{port}").parse().unwrap();
        node.builder(id).at(place).connect().await.ping().await;
        node.logs(&["client connected", id, &format!("\"peer\":\"{address}:")])
            .await;
    }
}

/// With a separate address for IPv4 at the same port, IPv6 leaves it alone.
#[tokio::test]
async fn both_kinds_of_every_address_can_be_bound() {
    let free = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let setting = format!("listener.tcp=0.0.0.0:{port}, [::]:{port}");
    let node = TestNode::start_with(&[&setting, "auth.allow_anonymous_remote=true"]).await;
    for address in ["127.0.0.1", "[::1]"] {
        let place = format!("{address}:{port}").parse().unwrap();
        node.builder("client")
            .at(place)
            .connect()
            .await
            .ping()
            .await;
    }
}

async fn says_connect(path: &std::path::Path) -> [u8; 4] {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(CONNECT).await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_unix_socket_takes_clients_with_the_permissions_of_its_setting() {
    let scratch = Scratch::new("unix");
    let path = scratch.path().join("mqtt.sock");
    let setting = format!("listener.unix={}", path.display());
    let settings = [&setting, "listener.unix_mode=0600", "log.level=debug"];
    let mut node = TestNode::start_with(&settings).await;
    node.logs(&["listening", "\"unix\""]).await;
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(says_connect(&path).await, CONNACK);
    node.logs(&["client connected", "unix socket"]).await;

    // A killed node leaves it behind; the next one replaces it, and removes it when it stops.
    node.kill();
    assert!(path.exists());
    node.restart().await;
    node.logs(&["listening", "\"unix\""]).await;
    assert_eq!(says_connect(&path).await, CONNACK);
    node.stop().await;
    assert!(!path.exists());
}
