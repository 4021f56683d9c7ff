//! Chromium with MQTT.js in a page, over WebSocket and WebSocket over TLS.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use harness::{Certificates, Scratch, Tool};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::node;

const PAGE: &str = include_str!("browser.html");
/// A browser takes its time to start on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// Serves the page and MQTT.js until the page has sent its result; that.
async fn serve(listener: TcpListener, page: String, script: Vec<u8>) -> String {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let Some((head, body)) = request(&mut stream).await else {
            continue;
        };
        let (kind, content): (&str, &[u8]) = if head.starts_with("GET / ") {
            ("text/html", page.as_bytes())
        } else if head.starts_with("GET /mqtt.min.js ") {
            ("text/javascript", &script)
        } else {
            ("text/plain", b"")
        };
        let header = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            content.len()
        );
        let _ = stream.write_all(header.as_bytes()).await;
        let _ = stream.write_all(content).await;
        if head.starts_with("POST /result ") {
            return body;
        }
    }
}

/// The head and the body of a request.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.ok()?;
        if length == 0 {
            return None;
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0_usize);
        if body.len() >= length {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

/// A home for Chromium in which our CA is trusted.
async fn home(certificates: &Certificates) -> Scratch {
    let home = Scratch::new("home");
    let database = home.path().join(".pki/nssdb");
    std::fs::create_dir_all(&database).unwrap();
    let database = format!("sql:{}", database.display());
    let install = "apt-get install libnss3-tools";
    let new = ["-N", "--empty-password", "-d", &database];
    Tool::start("certutil", &new, install).success().await;
    let authority = certificates.file("ca.pem");
    let add = [
        "-A", "-n", "own", "-t", "C,,", "-i", &authority, "-d", &database,
    ];
    Tool::start("certutil", &add, install).success().await;
    home
}

async fn result(url: &str, certificates: &Certificates) -> String {
    let script: PathBuf = harness::npm().join("node_modules/mqtt/dist/mqtt.min.js");
    let script = std::fs::read(&script)
        .unwrap_or_else(|error| panic!("{}: {error}: make test", script.display()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let home = home(certificates).await;
    let folder = home.path().to_str().unwrap();
    let profile = format!("--user-data-dir={folder}/profile");
    let place = format!("http://localhost:{}/", address.port());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        &profile,
        &place,
    ];
    let environment = [("HOME", folder)];
    let page = PAGE.replace("URL", url);
    let browser = Tool::start_with(
        "chromium",
        &arguments,
        &environment,
        "apt-get install chromium",
    );
    let served = tokio::time::timeout(LIMIT, serve(listener, page, script)).await;
    let result = served.unwrap_or_else(|_| panic!("no result:\n{}", browser.output()));
    browser.signal("TERM");
    result
}

#[tokio::test]
async fn chromium_speaks_mqtt_over_websocket() {
    let certificates = Certificates::make().await;
    let settings = ["listener.ws=127.0.0.1:0".to_owned()];
    let mut node = node(&settings).await;
    let address = node.listener("ws").await;
    let result = result(&format!("ws://{address}/mqtt"), &certificates).await;
    assert_eq!(result, "all is well");
    node.assert_healthy();
}

/// With the certificate checked: the browser trusts our CA, and the name is right.
#[tokio::test]
async fn chromium_speaks_mqtt_over_secure_websocket() {
    let certificates = Certificates::make().await;
    let mut node = node(&certificates.settings()).await;
    let port = node.listener("wss").await.port();
    let result = result(&format!("wss://localhost:{port}/mqtt"), &certificates).await;
    assert_eq!(result, "all is well");
    node.assert_healthy();
}

/// Only pages of the origins in the setting may connect.
#[tokio::test]
async fn chromium_tells_the_origin_of_the_page() {
    let certificates = Certificates::make().await;
    let settings = [
        "listener.ws=127.0.0.1:0".to_owned(),
        "listener.ws_origins=https://example.com".to_owned(),
    ];
    let node = node(&settings).await;
    let address = node.listener("ws").await;
    let result = result(&format!("ws://{address}/mqtt"), &certificates).await;
    assert!(result.starts_with("failed: "), "{result}");
    node.logs(&["no WebSocket", "403", "listener.ws_origins"])
        .await;
}
