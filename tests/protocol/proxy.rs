//! PROXY protocol before MQTT (listener.proxy_protocol).

use harness::TestNode;

use crate::Raw;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 45678 1883\r\n";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\xb2\x6e\x07\x5b";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[tokio::test]
async fn a_client_behind_a_proxy_connects_with_either_version() {
    let node = TestNode::start_with(&["listener.proxy_protocol=on"]).await;
    for header in [V1, V1_UNKNOWN, V2, V2_LOCAL] {
        let mut client = node.builder("proxied").preceded_by(header).connect().await;
        client.ping().await;
    }
}

/// The header and CONNECT may come in pieces.
#[tokio::test]
async fn a_proxy_header_may_arrive_byte_by_byte() {
    let node = TestNode::start_with(&["listener.proxy_protocol=on"]).await;
    for header in [V1, V2] {
        let mut raw = Raw::connect(node.tcp()).await;
        for byte in header
            .iter()
            .chain(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
        {
            raw.send(&[*byte]).await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(raw.read(4).await, [0x20, 2, 0, 0]);
    }
}

#[tokio::test]
async fn with_proxy_protocol_on_a_client_without_header_is_closed() {
    let node = TestNode::start_with(&["listener.proxy_protocol=on"]).await;
    assert!(node.builder("direct").try_connect().await.is_err());
}

#[tokio::test]
async fn with_proxy_protocol_auto_both_connect() {
    let node = TestNode::start_with(&["listener.proxy_protocol=auto"]).await;
    node.builder("direct").connect().await.ping().await;
    for header in [V1, V2] {
        node.builder("proxied")
            .preceded_by(header)
            .connect()
            .await
            .ping()
            .await;
    }
}

#[tokio::test]
async fn with_proxy_protocol_off_a_header_is_not_mqtt() {
    let mut node = TestNode::start().await;
    for header in [V1, V2] {
        assert!(
            node.builder("proxied")
                .preceded_by(header)
                .try_connect()
                .await
                .is_err()
        );
    }
    node.assert_healthy();
}
