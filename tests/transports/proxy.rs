//! The PROXY header before TLS and WebSocket, and nginx that sends it.

use std::fmt::Write as _;

use harness::{Certificates, Nginx};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{Python, V1, V2, node, publisher, subscriber};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn settings(certificates: &Certificates, mode: &str) -> Vec<String> {
    let mut settings = certificates.settings();
    settings.extend([
        "listener.ws=127.0.0.1:0".to_owned(),
        format!("listener.proxy_protocol={mode}"),
    ]);
    settings
}

#[tokio::test]
async fn the_header_comes_before_tls_in_one_piece_or_in_many() {
    let certificates = Certificates::make().await;
    let authority = certificates.file("ca.pem");
    for mode in ["on", "auto"] {
        let node = node(&settings(&certificates, mode)).await;
        let address = node.listener("tls").await;
        for header in [V1, V2] {
            let header = hex(header);
            for pieces in [&[][..], &["--pieces"]] {
                let python = Python::new(address, &authority).with(&["--before", &header]);
                let answer = python.with(pieces).connects().await;
                assert_eq!(
                    answer, "TLSv1.3 None 20020000",
                    "{mode} {header} {pieces:?}"
                );
            }
        }
        node.logs(&["client connected", "192.0.2.7:45678", "\"tls\""])
            .await;
        let answer = Python::new(address, &authority).connects().await;
        if mode == "auto" {
            assert_eq!(answer, "TLSv1.3 None 20020000");
            node.logs(&["client connected", "127.0.0.1:", "\"tls\""])
                .await;
        } else {
            assert!(answer.starts_with("failed: "), "{answer}");
            node.logs(&["no PROXY header", "listener.proxy_protocol", "\"tls\""])
                .await;
        }
    }
}

#[tokio::test]
async fn the_header_comes_before_http() {
    let certificates = Certificates::make().await;
    let node = node(&settings(&certificates, "auto")).await;
    let address = node.listener("ws").await;
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    // POST starts like PROXY.
    let post = b"POST /mqtt HTTP/1.1\r\nHost: x\r\n\r\n";
    for (header, request, status) in [
        (V1, &get[..], "404"),
        (V2, get, "404"),
        (b"", get, "404"),
        (V1, post, "405"),
        (b"", post, "405"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[header, request].concat()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    node.logs(&["no WebSocket", "192.0.2.7:45678", "404"]).await;
}

/// The line says which side to change, whichever listener it is.
#[tokio::test]
async fn a_header_that_nobody_expects_is_named_in_the_log() {
    let certificates = Certificates::make().await;
    let node = node(&settings(&certificates, "off")).await;
    for (listener, words) in [
        ("tcp", "no valid CONNECT"),
        ("tls", "TLS handshake failed"),
        ("ws", "no WebSocket"),
    ] {
        let address = node.listener(listener).await;
        for header in [V1, V2] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(header).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        }
        node.logs(&[words, "listener.proxy_protocol"]).await;
    }
}

/// The repository's nginx.conf: TLS goes through to the node, which sees client and certificate.
#[tokio::test]
async fn tls_goes_through_nginx_with_the_address_of_the_client() {
    let certificates = Certificates::make().await;
    let mut settings = certificates.client_settings("required");
    settings.push("listener.proxy_protocol=on".to_owned());
    let node = node(&settings).await;
    let tls = node.listener("tls").await;
    let nginx = Nginx::start_with_tls(&[node.tcp()], &[tls]).await;
    let address = nginx.tls_address();
    let authority = certificates.file("ca.pem");
    let (client, key) = (
        certificates.file("client.pem"),
        certificates.file("client.key"),
    );
    let secure = ["--cafile", &authority, "--cert", &client, "--key", &key];
    let mut arguments = vec!["-t", "t", "-C", "1", "-F", "<%p>", "-i", "watcher"];
    arguments.extend(secure);
    let subscriber = subscriber(address, &arguments).await;
    let mut arguments = vec!["-t", "t", "-m", "through", "-q", "2"];
    arguments.extend(secure);
    publisher(address, &arguments).success().await;
    assert!(subscriber.success().await.contains("<through>"));
    let line = node
        .logs(&["client connected", "watcher", "\"common_name\":\"client\""])
        .await;
    assert!(line.contains("\"peer\":\"127.0.0.1:"), "{line}");
    // Past nginx there is no header.
    let python = Python::new(tls, &authority).with(&["--cert", &client, "--key", &key]);
    assert!(python.connects().await.starts_with("failed: "));
}
