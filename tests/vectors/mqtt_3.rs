//! MQTT 3.1 and 3.1.1.

use harness::TestNode;

use crate::Wire;

/// CONNECT of client "ab" in both versions, and what comes back.
const CONNECTS: [&str; 2] = [
    "10 10 0006 4d5149736470 03 02 003c 0002 6162",
    "10 0e 0004 4d515454 04 02 003c 0002 6162",
];

async fn connected(node: &TestNode, connect: &str) -> Wire {
    let mut wire = Wire::connect(node.tcp()).await;
    wire.send(connect).await;
    wire.expect("20 02 00 00").await;
    wire
}

#[tokio::test]
async fn ping_and_disconnect() {
    let node = TestNode::start().await;
    for connect in CONNECTS {
        let mut wire = connected(&node, connect).await;
        wire.send("c0 00 c0 00").await;
        wire.expect("d0 00 d0 00").await;
        wire.send("e0 00").await;
        wire.expect_end().await;
    }
}

/// Two filters with QoS 0 and 2 and the packet identifier 0x1234, then a message for each.
#[tokio::test]
async fn subscribe_publish_and_unsubscribe() {
    let node = TestNode::start().await;
    for connect in CONNECTS {
        let mut wire = connected(&node, connect).await;
        wire.send("82 0b 1234 0002 612f 00 0001 62 02").await;
        wire.expect("90 04 1234 00 02").await;
        // QoS 0 to "a/": payload "hi".
        wire.send("30 06 0002 612f 6869").await;
        wire.expect("30 06 0002 612f 6869").await;
        // QoS 1 to "a/", which is subscribed with QoS 0.
        wire.send("32 08 0002 612f 0007 6869").await;
        let (one, two) = (wire.packet().await, wire.packet().await);
        let mut both = [one, two];
        both.sort();
        assert_eq!(
            both,
            [
                vec![0x30, 6, 0, 2, 0x61, 0x2f, 0x68, 0x69],
                vec![0x40, 2, 0, 7]
            ]
        );
        // An empty payload.
        wire.send("30 04 0002 612f").await;
        wire.expect("30 04 0002 612f").await;
        wire.send("a2 09 1235 0002 612f 0001 62").await;
        wire.expect("b0 02 1235").await;
        wire.send("30 06 0002 612f 6869 c0 00").await;
        wire.expect("d0 00").await;
    }
}

/// QoS 2 from one wire to another, each packet of both handshakes.
#[tokio::test]
async fn exactly_once_from_end_to_end() {
    let node = TestNode::start().await;
    let mut reader = connected(&node, "10 0d 0004 4d515454 04 02 0000 0001 72").await;
    reader.send("82 06 0001 0001 74 02").await;
    reader.expect("90 03 0001 02").await;
    for connect in CONNECTS {
        let mut wire = connected(&node, connect).await;
        wire.send("34 07 0001 74 0042 7879").await;
        wire.expect("50 02 0042").await;
        // PUBREL twice, as after a lost PUBCOMP.
        wire.send("62 02 0042").await;
        wire.expect("70 02 0042").await;
        wire.send("62 02 0042").await;
        wire.expect("70 02 0042").await;
        let publish = reader.packet().await;
        let (high, low) = (publish[5], publish[6]);
        assert_eq!(publish, [0x34, 7, 0, 1, 0x74, high, low, 0x78, 0x79]);
        let packet_id = format!("{high:02x}{low:02x}");
        reader.send(&format!("50 02 {packet_id}")).await;
        reader.expect(&format!("62 02 {packet_id}")).await;
        reader.send(&format!("70 02 {packet_id}")).await;
        reader.send("c0 00").await;
        reader.expect("d0 00").await;
    }
}

/// Retained: flag 1 for the late, flag 0 for the present.
#[tokio::test]
async fn retained_messages() {
    let node = TestNode::start().await;
    let mut wire = connected(&node, CONNECTS[1]).await;
    wire.send("31 05 0001 72 6869").await;
    wire.send("82 06 0001 0001 72 00").await;
    wire.expect("90 03 0001 00 31 05 0001 72 6869").await;
    wire.send("31 05 0001 72 6f6e").await;
    wire.expect("30 05 0001 72 6f6e").await;
    wire.send("31 03 0001 72").await;
    wire.expect("30 03 0001 72").await;
    wire.send("82 06 0002 0001 72 00 c0 00").await;
    wire.expect("90 03 0002 00 d0 00").await;
}

/// The remaining length 128 takes two bytes, here and there.
#[tokio::test]
async fn a_remaining_length_of_two_bytes() {
    let node = TestNode::start().await;
    let mut wire = connected(&node, CONNECTS[1]).await;
    wire.send("82 06 0001 0001 6c 00").await;
    wire.expect("90 03 0001 00").await;
    for length in [124, 125, 126, 16_380, 16_381] {
        let remaining = length + 3;
        let mut header = vec![0x30];
        let mut rest = remaining;
        loop {
            let byte = u8::try_from(rest % 128).unwrap();
            rest /= 128;
            header.push(if rest > 0 { byte | 0x80 } else { byte });
            if rest == 0 {
                break;
            }
        }
        let header: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
        let packet = format!("{header} 0001 6c {}", "5a".repeat(length));
        wire.send(&packet).await;
        wire.expect(&packet).await;
    }
}

/// A will with QoS 1, and its packet identifier is the server's own.
#[tokio::test]
async fn a_will() {
    let node = TestNode::start().await;
    let mut reader = connected(&node, "10 0d 0004 4d515454 04 02 0000 0001 72").await;
    reader.send("82 06 0001 0001 77 00").await;
    reader.expect("90 03 0001 00").await;
    for connect in [
        "10 16 0006 4d5149736470 03 0e 003c 0001 78 0001 77 0002 6f66",
        "10 14 0004 4d515454 04 0e 003c 0001 78 0001 77 0002 6f66",
    ] {
        let wire = connected(&node, connect).await;
        drop(wire);
        reader.expect("30 05 0001 77 6f66").await;
    }
}
