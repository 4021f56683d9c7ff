//! The packets that an article on device keys prints (MQTT 3.1.1 by hand, over a plain TCP module).
//!
//! Its CONNECT begins with the Remaining Length, 0x74: the packet type before it, 0x10, is not
//! printed. All the rest is as printed, and right: level 4, user name and password, no Clean
//! Session, keep-alive 120 s.

use harness::{MessageExt as _, TestNode};
use mqtt::Qos;

use crate::{Wire, bytes};

const CONNECT_AS_PRINTED: &str = "
    74 0004 4d515454 04 C0 0078
    0033 6162637c 7365637572656d6f64653d33 2c 7369676e6d6574686f643d686d616373686131 2c
         74696d657374616d703d313230 7c
    0009 353637382631323334
    0028 32323237353044454446453446373734303032454538374545443239434644303633384335463636";

const PUBLISH: &str = "
    30 1D 0009 2f7379732f706f7374 7b706172616d733a7b74656d703a31307d7d";

#[tokio::test]
async fn its_connect_and_publish_work_with_the_packet_type_in_front() {
    let node = TestNode::start().await;
    let mut reader = node.client("reader").await;
    reader.subscribe("/sys/#", Qos::AtLeastOnce).await;
    let mut wire = Wire::connect(node.tcp()).await;
    wire.send("10").await;
    wire.send(CONNECT_AS_PRINTED).await;
    wire.expect("20 02 00 00").await;
    wire.send(PUBLISH).await;
    let publish = reader.recv().await;
    assert_eq!(publish.message.topic_name, "/sys/post");
    assert_eq!(publish.message.text(), "{params:{temp:10}}");
    assert_eq!(publish.message.qos, Qos::AtMostOnce);
    wire.send("C0 00").await;
    wire.expect("D0 00").await;
    drop(wire);

    // No Clean Session: the second time there is a session.
    let mut wire = Wire::connect(node.tcp()).await;
    wire.send("10").await;
    wire.send(CONNECT_AS_PRINTED).await;
    wire.expect("20 02 01 00").await;
}

#[tokio::test]
async fn its_connect_exactly_as_printed_is_refused() {
    let mut node = TestNode::start().await;
    let mut wire = Wire::connect(node.tcp()).await;
    wire.send(CONNECT_AS_PRINTED).await;
    wire.expect_end().await;
    node.assert_healthy();
}

/// The module that it is sent with may cut it anywhere.
#[tokio::test]
async fn its_packets_may_come_in_any_pieces() {
    let node = TestNode::start().await;
    let mut reader = node.client("reader").await;
    reader.subscribe("/sys/post", Qos::AtMostOnce).await;
    let mut all = vec![0x10];
    all.extend(bytes(CONNECT_AS_PRINTED));
    all.extend(bytes(PUBLISH));
    for size in [1, 7, 64, all.len()] {
        let mut wire = Wire::connect(node.tcp()).await;
        for piece in all.chunks(size) {
            let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            wire.send(&hex).await;
        }
        assert_eq!(wire.packet().await[0], 0x20);
        assert_eq!(reader.recv().await.message.text(), "{params:{temp:10}}");
    }
}
