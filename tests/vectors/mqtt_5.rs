//! MQTT 5.

use harness::TestNode;

use crate::Wire;

async fn connected(node: &TestNode, connect: &str) -> Wire {
    let mut wire = Wire::connect(node.tcp()).await;
    wire.send(connect).await;
    let connack = wire.packet().await;
    assert_eq!(
        (connack[0], connack[2], connack[3]),
        (0x20, 0, 0),
        "{connack:02x?}"
    );
    wire
}

const AB: &str = "10 0f 0004 4d515454 05 02 003c 00 0002 6162";

/// Each legal way to say goodbye [MQTT-3.14.4-2]; none publishes the will, none is answered.
#[tokio::test]
async fn every_short_form_of_disconnect() {
    let node = TestNode::start().await;
    let mut reader = connected(&node, "10 0e 0004 4d515454 05 02 0000 00 0001 72").await;
    reader.send("82 07 0001 00 0001 77 00").await;
    reader.expect("90 04 0001 00 00").await;
    let with_will = "10 16 0004 4d515454 05 06 0000 00 0001 78 00 0001 77 0002 6f66";
    for goodbye in [
        "e0 00",
        "e0 01 00",
        "e0 02 00 00",
        "e0 07 00 05 11 00000000",
    ] {
        let mut wire = connected(&node, with_will).await;
        wire.send(goodbye).await;
        wire.expect_end().await;
    }
    // The last two lines of this conversation show that nothing came before.
    for goodbye in ["e0 01 04", "e0 02 04 00"] {
        let mut wire = connected(&node, with_will).await;
        wire.send(goodbye).await;
        wire.expect_end().await;
        reader.expect("30 06 0001 77 00 6f66").await;
    }
    reader.send("c0 00").await;
    reader.expect("d0 00").await;
}

/// Subscription options 0x2d, identifier 7; the message brings the identifier along.
#[tokio::test]
async fn subscribe_with_identifier_and_receive() {
    let node = TestNode::start().await;
    let mut wire = connected(&node, AB).await;
    wire.send("82 0b 0001 02 0b07 0003 742f2b 29").await;
    wire.expect("90 04 0001 00 01").await;
    wire.send("30 08 0003 742f61 00 6869").await;
    wire.expect("30 0a 0003 742f61 02 0b07 6869").await;
    // A large identifier, 268 435 455, in four bytes.
    wire.send("82 0e 0002 05 0bffffff7f 0003 742f2b 29").await;
    wire.expect("90 04 0002 00 01").await;
    wire.send("30 08 0003 742f61 00 6869").await;
    wire.expect("30 0d 0003 742f61 05 0bffffff7f 6869").await;
    wire.send("a2 0e 0003 00 0003 742f2b 0004 742f2b2b").await;
    assert_eq!(wire.packet().await[0], 0xe0, "t/++ is no filter");
    wire.expect_end().await;
}

/// 3.11.3: success for the one that was there, 0x11 for the other.
#[tokio::test]
async fn unsubscribe() {
    let node = TestNode::start().await;
    let mut wire = connected(&node, AB).await;
    wire.send("82 07 0001 00 0001 74 02").await;
    wire.expect("90 04 0001 00 02").await;
    wire.send("a2 09 0002 00 0001 74 0001 75").await;
    wire.expect("b0 05 0002 00 00 11").await;
}

/// QoS 1 without and with a subscriber: 0x10 may be told, and PUBACK has three legal forms.
#[tokio::test]
async fn puback() {
    let node = TestNode::start().await;
    let mut wire = connected(&node, AB).await;
    wire.send("32 08 0001 74 0102 00 6869").await;
    let puback = wire.packet().await;
    let legal: [&[u8]; 5] = [
        &[0x40, 2, 1, 2],
        &[0x40, 3, 1, 2, 0],
        &[0x40, 4, 1, 2, 0, 0],
        &[0x40, 3, 1, 2, 0x10],
        &[0x40, 4, 1, 2, 0x10, 0],
    ];
    assert!(legal.contains(&&puback[..]), "{puback:02x?}");
}

/// Every property of a PUBLISH arrives as it was sent, in the order of the user properties.
#[tokio::test]
async fn all_properties_of_publish() {
    let node = TestNode::start().await;
    let mut wire = connected(&node, AB).await;
    wire.send("82 07 0001 00 0001 74 00").await;
    wire.expect("90 04 0001 00 00").await;
    // 01 format, 03 content type, 08 response topic, 09 correlation data, 26 twice.
    let properties = [
        "01 01",
        "03 0001 63",
        "08 0001 72",
        "09 0002 00ff",
        "26 0001 6b 0001 31",
        "26 0001 6b 0001 32",
    ];
    wire.send(&format!("30 24 0001 74 1d {} 68690a", properties.join(" ")))
        .await;
    let publish = wire.packet().await;
    let hex: String = publish.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        hex.starts_with("30240001741d") && hex.ends_with("68690a"),
        "{hex}"
    );
    for property in properties {
        assert!(
            hex.contains(&property.replace(' ', "")),
            "no {property} in {hex}"
        );
    }
    assert!(
        hex.contains("2600016b0001312600016b000132"),
        "[MQTT-3.3.2-18] {hex}"
    );
}

/// The first bytes of DISCONNECT: type, and reason code 0x81 or 0x82.
#[tokio::test]
async fn disconnect_by_the_server() {
    let node = TestNode::start().await;
    for (sent, reason) in [
        ("c1 00", 0x81),
        ("00 00", 0x81),
        ("10 0f 0004 4d515454 05 02 003c 00 0002 6162", 0x82),
    ] {
        let mut wire = connected(&node, AB).await;
        wire.send(sent).await;
        let disconnect = wire.packet().await;
        assert_eq!(
            (disconnect[0], disconnect[2]),
            (0xe0, reason),
            "after {sent}"
        );
        wire.expect_end().await;
    }
}

/// Session Expiry Interval 0x12c and the flag Session Present.
#[tokio::test]
async fn a_session_is_present_the_second_time() {
    let node = TestNode::start().await;
    let connect = "10 14 0004 4d515454 05 00 003c 05 110000012c 0002 6162";
    for expected in [0, 1, 1] {
        let mut wire = Wire::connect(node.tcp()).await;
        wire.send(connect).await;
        let connack = wire.packet().await;
        assert_eq!(connack[2..4], [expected, 0]);
        wire.send("e0 00").await;
        wire.expect_end().await;
    }
}
