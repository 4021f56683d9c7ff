//! paho-mqtt of Python and MQTT.js of npm over TLS, WebSocket and both.

use std::net::SocketAddr;

use harness::{Certificates, TestNode, Tool};

use crate::node;

/// A node with all listeners, and where they are: tcp, tls, ws, wss.
async fn everything(certificates: &Certificates) -> (TestNode, Vec<String>) {
    let mut settings = certificates.client_settings("optional");
    settings.push("listener.ws=127.0.0.1:0".to_owned());
    let node = node(&settings).await;
    let mut ports = Vec::new();
    for name in ["tcp", "tls", "ws", "wss"] {
        let address: SocketAddr = node.listener(name).await;
        ports.push(address.port().to_string());
    }
    (node, ports)
}

/// Runs `program` with `script`, the folder of the certificates and the ports.
async fn run(program: &str, flag: &str, script: &str, environment: &[(&str, &str)]) {
    let certificates = Certificates::make().await;
    let (mut node, ports) = everything(&certificates).await;
    let folder = certificates.folder().to_str().unwrap();
    let mut arguments = vec![flag, script, folder];
    arguments.extend(ports.iter().map(String::as_str));
    let tool = Tool::start_with(program, &arguments, environment, "make test");
    let output = tool.success().await;
    assert!(output.ends_with("all is well\n"), "{output}");
    let metrics = node.metrics().await;
    for name in ["tcp", "tls", "ws", "wss"] {
        let label = format!("listener=\"{name}\"");
        let count = metrics.sum("causeway_connections_total", &[&label]);
        assert!(count > 0.5, "nobody came to {name}");
    }
    node.logs(&["client connected", "\"common_name\":\"client\"", "\"wss\""])
        .await;
    node.assert_healthy();
}

#[tokio::test]
async fn paho_1_6_works_over_tls_and_websocket() {
    run(&harness::paho1(), "-c", include_str!("paho.py"), &[]).await;
}

#[tokio::test]
async fn paho_2_works_over_tls_and_websocket() {
    run(&harness::paho2(), "-c", include_str!("paho.py"), &[]).await;
}

#[tokio::test]
async fn mqtt_js_works_over_tls_and_websocket() {
    let modules = harness::npm().join("node_modules");
    let environment = [("NODE_PATH", modules.to_str().unwrap())];
    run("node", "-e", include_str!("npm.js"), &environment).await;
}
