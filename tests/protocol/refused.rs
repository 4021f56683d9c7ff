//! A CONNECT that is refused, and the last packet of a connection (sections 3.1.4, 3.2.2, 4.13).

use harness::{TestNode, everywhere};
use mqtt::{ProtocolVersion, Qos};

use crate::{
    Raw,
    wire::{connect, connect_with, field, frame, properties},
};

const V3: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;

/// CONNECT packets that contradict themselves. The tags of the specifications are those of MQTT 5
/// and of 3.1.1.
fn nonsense(version: ProtocolVersion) -> Vec<(&'static str, Vec<u8>)> {
    let id = field(b"id");
    let x = field(b"x");
    let will = [&properties(version, &[])[..], &x, &x].concat();
    let with = |what, flags, parts: &[&[u8]]| (what, connect(version, flags, &parts.concat()));
    let mut all = vec![
        with("reserved flag [MQTT-3.1.2-3] [MQTT3-3.1.2-3]", 3, &[&id]),
        with(
            "will QoS 3 [MQTT-3.1.2-12] [MQTT3-3.1.2-14]",
            0x1E,
            &[&id, &will],
        ),
        with(
            "will QoS, no will [MQTT-3.1.2-11] [MQTT3-3.1.2-11] [MQTT3-3.1.2-13]",
            0x0A,
            &[&id],
        ),
        with(
            "will retain, no will [MQTT-3.1.2-13] [MQTT3-3.1.2-11] [MQTT3-3.1.2-15]",
            0x22,
            &[&id],
        ),
        with(
            "no will fields [MQTT-3.1.2-9] [MQTT3-3.1.2-9]",
            0x06,
            &[&id],
        ),
        with(
            "no will payload [MQTT-3.1.2-9] [MQTT3-3.1.2-9]",
            0x06,
            &[&id, &will[..will.len() - 3]],
        ),
        with(
            "will fields without the flag [MQTT3-3.1.2-11]",
            0x02,
            &[&id, &will],
        ),
        with(
            "user name without its flag [MQTT-3.1.2-16] [MQTT3-3.1.2-18]",
            0x02,
            &[&id, &x],
        ),
        with(
            "no user name [MQTT-3.1.2-17] [MQTT3-3.1.2-19]",
            0x82,
            &[&id],
        ),
        with(
            "password without its flag [MQTT-3.1.2-18] [MQTT3-3.1.2-20]",
            0x82,
            &[&id, &x, &x],
        ),
        with(
            "no password [MQTT-3.1.2-19] [MQTT3-3.1.2-21]",
            0xC2,
            &[&id, &x],
        ),
        with(
            "no client identifier [MQTT-3.1.3-3] [MQTT3-3.1.3-3]",
            0x02,
            &[],
        ),
        with(
            "other order of the fields [MQTT-3.1.3-1] [MQTT3-3.1.3-1]",
            0x06,
            &[&will, &id, b"\0"],
        ),
    ];
    if version == V3 {
        all.push(with(
            "password, no user name [MQTT3-3.1.2-22]",
            0x42,
            &[&id, &x],
        ));
    } else {
        let auth_data = connect_with(version, 2, b"\x16\x00\x01x", &id);
        let twice = connect_with(version, 2, b"\x22\x00\x01\x22\x00\x02", &id);
        let window = connect_with(version, 2, b"\x21\x00\x00", &id);
        all.extend([
            ("authentication data without method", auth_data),
            ("a property twice", twice),
            ("receive maximum 0", window),
        ]);
    }
    all
}

everywhere! {
    /// [MQTT-3.1.4-1] [MQTT-3.14.0-1] [MQTT3-3.1.4-1] In MQTT 5 CONNACK says why and is all that
    /// comes; in MQTT 3 nothing does.
    /// [MQTT-3.2.2-8] [MQTT3-3.2.2-6]
    async fn a_connect_that_does_not_conform_is_refused(site) {
        for (what, packet) in nonsense(V5) {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&packet).await;
            let answer = raw.rest().await;
            assert!(matches!(answer[..], [0x20, 3, 0, 0x81 | 0x82, 0]), "{what}: {answer:02x?}");
        }
        for (what, packet) in nonsense(V3) {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&packet).await;
            assert_eq!(raw.rest().await, b"", "{what}");
        }
    }

    /// What comes behind a CONNECT that was refused is as if it had never come.
    /// [MQTT-3.1.4-6] [MQTT3-3.1.4-5]
    async fn nothing_after_a_refused_connect_is_processed(site, "mqtt.maximum_qos=1") {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("#", Qos::AtLeastOnce).await;
        let id = field(b"id");
        let x = field(b"x");
        let will = |version| [&id[..], &properties(version, &[]), &x, &x].concat();
        for (version, refused) in [
            (V5, connect(V5, 0x16, &will(V5))),              // the QoS of the will
            (V3, connect(V3, 0x16, &will(V3))),
            (V5, connect_with(V5, 2, b"\x15\x00\x01?", &id)), // the authentication method
            (V3, connect(V3, 0, &field(b""))),               // no name, and no Clean Session
            (V5, connect(V5, 3, &id)),                       // malformed
            (V3, connect(V3, 3, &id)),
        ] {
            let publish = frame(0x31, &[&field(b"late"), &properties(version, &[]), b"x"]);
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&[&refused[..], &publish, b"\xc0\x00"].concat()).await;
            let answer = raw.rest().await;
            assert!(
                answer.is_empty() || answer[0] == 0x20 && answer.len() == usize::from(answer[1]) + 2,
                "{refused:02x?} answered with {answer:02x?}"
            );
        }
        watcher.assert_silent().await;
        let mut late = site.client("late").await;
        late.subscribe("#", Qos::AtLeastOnce).await;
        late.assert_silent().await;
    }

    /// A refusal says nothing of the session, does not touch it, and ends the connection.
    /// [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5]
    async fn a_refused_client_hears_of_no_session(site, "mqtt.maximum_qos=1") {
        let builder = || site.builder("id").persistent(100);
        builder().connect().await.disconnect().await;
        let x = field(b"x");
        for (version, code) in [(V5, &[0x9B, 0][..]), (V3, &[5])] {
            let payload = [&field(b"id")[..], &properties(version, &[]), &x, &x].concat();
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&connect(version, 0x14, &payload)).await;
            let answer = raw.rest().await;
            assert_eq!(answer[..2], [0x20, u8::try_from(1 + code.len()).unwrap()]);
            assert_eq!(answer[2], 0, "session present");
            assert_eq!(&answer[3..], code);
        }
        assert!(builder().connect().await.session_present());
    }

    /// After its DISCONNECT the server sends nothing, and handles nothing of what it has read.
    /// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1] [MQTT3-3.14.4-2]
    async fn nothing_follows_the_disconnect_of_the_server(site) {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("#", Qos::AtLeastOnce).await;
        let mut raw = Raw::connected(site.address(), V5, "rude").await;
        let publish = frame(0x30, &[&field(b"late"), b"\0x"]);
        raw.send(&[b"\xc1\x00\xc0\x00", &publish[..]].concat()).await;
        assert_eq!(raw.rest().await, [0xE0, 1, 0x81]);
        let mut raw = Raw::connected(site.address(), V5, "polite").await;
        raw.send(&[b"\xe0\x00\xc0\x00", &publish[..]].concat()).await;
        assert_eq!(raw.rest().await, b"");
        watcher.assert_silent().await;
    }
}

/// [MQTT-3.2.2-8] While a node stops, whoever had reached it is told so by a code of CONNACK.
#[tokio::test]
async fn a_node_that_stops_refuses_with_a_code_of_connack() {
    let node = TestNode::start_with(&["drain.rate=1"]).await;
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(node.client(&format!("client{number}")).await);
    }
    let mut early = Vec::new();
    for version in [V5, V3] {
        early.push((version, Raw::connect(node.tcp()).await));
    }
    clients[0].publish("t", "x", Qos::AtLeastOnce).await; // the others were accepted before it
    node.terminate();
    harness::eventually("the node drains", async || {
        (node.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    for (version, mut raw) in early {
        raw.send(&connect(version, 2, &field(b"late"))).await;
        let expected: &[u8] = match version {
            V5 => &[0x20, 3, 0, 0x88, 0],
            _ => &[0x20, 2, 0, 3],
        };
        assert_eq!(raw.rest().await, expected);
    }
}
