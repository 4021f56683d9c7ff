//! What is not MQTT (section 4.13): the reason code, the close, the count; and never more harm.

use harness::{Event, everywhere};
use mqtt::{ProtocolVersion, Qos, ReasonCode};

use crate::Raw;

use ReasonCode::{
    MalformedPacket as Malformed, ProtocolError as Protocol, TopicFilterInvalid, TopicNameInvalid,
};

/// What, bytes after CONNECT in MQTT 5, and the reason codes that the specification allows for it.
const TABLE: &[(&str, &[u8], &[ReasonCode])] = &[
    ("packet type 0", b"\x00\x00", &[Malformed, Protocol]),
    ("flags of PINGREQ [MQTT-2.1.3-1]", b"\xc1\x00", &[Malformed]),
    (
        "flags of DISCONNECT [MQTT-3.14.1-1]",
        b"\xe1\x00",
        &[Malformed],
    ),
    ("flags of AUTH [MQTT-3.15.1-1]", b"\xf1\x00", &[Malformed]),
    (
        "flags of UNSUBSCRIBE [MQTT-3.10.1-1]",
        b"\xa0\x06\x00\x01\x00\x00\x01a",
        &[Malformed],
    ),
    ("length of PINGREQ", b"\xc0\x01\x00", &[Malformed]),
    (
        "remaining length of five bytes",
        b"\x30\xff\xff\xff\xff\x01",
        &[Malformed],
    ),
    (
        "needless bytes of a length [MQTT-1.5.5-1]",
        b"\xc0\x80\x00",
        &[Malformed],
    ),
    (
        "QoS 3 [MQTT-3.3.1-4]",
        b"\x36\x06\x00\x01a\x00\x01\x00",
        &[Malformed],
    ),
    (
        "DUP with QoS 0 [MQTT-3.3.1-2]",
        b"\x38\x04\x00\x01a\x00",
        &[Malformed],
    ),
    (
        "packet identifier 0 [MQTT-2.2.1-3]",
        b"\x32\x06\x00\x01a\x00\x00\x00",
        &[Malformed, Protocol],
    ),
    (
        "wildcard in topic name [MQTT-3.3.2-2]",
        b"\x30\x06\x00\x03a/#\x00",
        &[Malformed, TopicNameInvalid],
    ),
    (
        "empty topic without alias",
        b"\x30\x03\x00\x00\x00",
        &[Malformed, Protocol, TopicNameInvalid],
    ),
    (
        "NUL in topic [MQTT-1.5.4-2]",
        b"\x30\x06\x00\x03a\x00b\x00",
        &[Malformed, TopicNameInvalid],
    ),
    (
        "topic not UTF-8 [MQTT-1.5.4-1]",
        b"\x30\x05\x00\x02\xff\xfe\x00",
        &[Malformed, TopicNameInvalid],
    ),
    (
        "topic beyond the packet",
        b"\x30\x04\x00\x09ab",
        &[Malformed],
    ),
    (
        "property beyond the packet",
        b"\x30\x05\x00\x01a\x05\x01",
        &[Malformed],
    ),
    (
        "unknown property",
        b"\x30\x07\x00\x01a\x02\x7f\x00x",
        &[Malformed],
    ),
    (
        "property twice",
        b"\x30\x09\x00\x01a\x04\x01\x00\x01\x00x",
        &[Malformed, Protocol],
    ),
    (
        "property of another packet",
        b"\x30\x08\x00\x01a\x03\x21\x00\x01x",
        &[Malformed, Protocol],
    ),
    (
        "subscription identifier from a client [MQTT-3.3.4-6]",
        b"\x30\x07\x00\x01a\x02\x0b\x01x",
        &[Malformed, Protocol],
    ),
    (
        "response topic with a wildcard [MQTT-3.3.2-14]",
        b"\x30\x09\x00\x01a\x04\x08\x00\x01#x",
        &[Malformed, Protocol, TopicNameInvalid],
    ),
    (
        "flags of SUBSCRIBE [MQTT-3.8.1-1]",
        b"\x80\x07\x00\x01\x00\x00\x01a\x00",
        &[Malformed],
    ),
    (
        "SUBSCRIBE without filters [MQTT-3.8.3-2]",
        b"\x82\x03\x00\x01\x00",
        &[Malformed, Protocol],
    ),
    (
        "reserved subscription option [MQTT-3.8.3-5]",
        b"\x82\x07\x00\x01\x00\x00\x01a\x40",
        &[Malformed, Protocol],
    ),
    (
        "retain handling 3",
        b"\x82\x07\x00\x01\x00\x00\x01a\x30",
        &[Malformed, Protocol],
    ),
    (
        "subscription QoS 3",
        b"\x82\x07\x00\x01\x00\x00\x01a\x03",
        &[Malformed, Protocol],
    ),
    (
        "subscription identifier 0",
        b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00",
        &[Malformed, Protocol],
    ),
    (
        "filter a/#/b [MQTT-4.7.1-1]",
        b"\x82\x0b\x00\x01\x00\x00\x05a/#/b\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "filter a+ [MQTT-4.7.1-2]",
        b"\x82\x08\x00\x01\x00\x00\x02a+\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "empty filter [MQTT-4.7.3-1]",
        b"\x82\x06\x00\x01\x00\x00\x00\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "share without filter [MQTT-4.8.2-2]",
        b"\x82\x0e\x00\x01\x00\x00\x08$share/g\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "share without name [MQTT-4.8.2-1]",
        b"\x82\x0f\x00\x01\x00\x00\x09$share//t\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "wildcard in a share name [MQTT-4.8.2-2]",
        b"\x82\x11\x00\x01\x00\x00\x0b$share/g+/t\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "wildcard for a share name [MQTT-4.8.2-2]",
        b"\x82\x10\x00\x01\x00\x00\x0a$share/#/t\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "share name alone [MQTT-4.8.2-2]",
        b"\x82\x0d\x00\x01\x00\x00\x07$share/\x00",
        &[Malformed, Protocol, TopicFilterInvalid],
    ),
    (
        "UNSUBSCRIBE without filters [MQTT-3.10.3-2]",
        b"\xa2\x03\x00\x01\x00",
        &[Malformed, Protocol],
    ),
    (
        "flags of PUBREL [MQTT-3.6.1-1]",
        b"\x60\x02\x00\x01",
        &[Malformed],
    ),
    ("PUBACK too short", b"\x40\x01\x00", &[Malformed]),
    (
        "PUBACK with an unknown reason",
        b"\x40\x03\x00\x01\x07",
        &[Malformed, Protocol],
    ),
    (
        "CONNACK from a client",
        b"\x20\x03\x00\x00\x00",
        &[Malformed, Protocol],
    ),
    (
        "SUBACK from a client",
        b"\x90\x04\x00\x01\x00\x00",
        &[Malformed, Protocol],
    ),
    (
        "PINGRESP from a client",
        b"\xd0\x00",
        &[Malformed, Protocol],
    ),
    (
        "DISCONNECT with an unknown reason",
        b"\xe0\x01\x70",
        &[Malformed, Protocol],
    ),
    (
        "AUTH without a method",
        b"\xf0\x02\x19\x00",
        &[Malformed, Protocol],
    ),
];

everywhere! {
    /// [MQTT-4.13.1-1]
    /// [MQTT-3.14.2-1] [MQTT-4.7.0-1] [MQTT-4.13.2-1]
    async fn malformed_packets_are_answered_with_their_reason(site) {
        let mut bystander = site.client("bystander").await;
        bystander.subscribe("a/#", Qos::AtLeastOnce).await;
        let mut wrong = Vec::new();
        for (what, bytes, reasons) in TABLE {
            let mut client = site.client("rude").await;
            client.send_bytes(bytes).await;
            let reason = client.closed().await.map(|disconnect| disconnect.reason_code);
            if !reason.is_some_and(|reason| reasons.contains(&reason)) {
                wrong.push(format!("{what}: {reason:?} instead of {reasons:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        bystander.assert_silent().await;
        bystander.ping().await;
    }

    /// [MQTT3-4.8.0-1] MQTT 3 knows no DISCONNECT of the server: it closes.
    /// [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] [MQTT3-2.3.1-1] [MQTT3-3.3.1-2] [MQTT3-3.3.1-4]
    /// [MQTT3-3.3.2-2] [MQTT3-3.6.1-1] [MQTT3-3.8.1-1] [MQTT3-3.8.3-3] [MQTT3-3.8.3-4]
    /// [MQTT3-3.10.1-1] [MQTT3-3.10.3-2] [MQTT3-3.14.1-1] [MQTT3-4.7.1-1] [MQTT3-4.7.1-2]
    /// [MQTT3-4.7.1-3] [MQTT3-4.7.3-1]
    async fn malformed_packets_close_the_connection_in_mqtt_3(site) {
        for bytes in [
            &b"\x00\x00"[..], b"\xc1\x00", b"\x36\x05\x00\x01a\x00\x01", b"\x30\x05\x00\x03a/#",
            b"\x32\x05\x00\x01a\x00\x00", b"\x80\x06\x00\x01\x00\x01a\x00", b"\x82\x02\x00\x01",
            b"\x82\x06\x00\x01\x00\x01a\x03", b"\xf0\x00", b"\xe1\x00", b"\x60\x02\x00\x01",
            b"\x82\x06\x00\x00\x00\x01a\x00", b"\xa2\x05\x00\x00\x00\x01a", b"\xa2\x02\x00\x01",
            b"\x82\x06\x00\x01\x00\x01a\x04", b"\x82\x07\x00\x01\x00\x02a+\x00", b"\x38\x04\x00\x01ax",
            b"\x34\x05\x00\x01a\x00\x00", b"\x82\x05\x00\x01\x00\x00\x00", b"\x20\x02\x00\x00",
            b"\x30\x05\x00\x03a/+", b"\x30\x02\x00\x00", b"\xa0\x05\x00\x01\x00\x01a", b"\x82\x09\x00\x01\x00\x04a/#b\x00",
        ] {
            for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1] {
                let mut client = site.builder("rude").version(version).connect().await;
                client.send_bytes(bytes).await;
                assert_eq!(client.closed().await, None, "{bytes:02x?}");
            }
        }
    }

    /// Counted in a metric.
    async fn malformed_packets_are_counted(site) {
        let before = count(site).await;
        for _ in 0..5 {
            let mut client = site.client("rude").await;
            client.send_bytes(b"\x00\x00").await;
            client.closed().await;
        }
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"GET / HTTP/1.1\r\n\r\n").await;
        raw.rest().await;
        harness::eventually("six are counted", async || {
            (count(site).await >= before + 6.0).then_some(())
        })
        .await;
    }

    /// Whatever comes, the server goes on and others notice nothing.
    async fn random_bytes_do_no_harm(site) {
        let mut bystander = site.client("bystander").await;
        bystander.subscribe("calm", Qos::AtLeastOnce).await;
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..150_u32 {
            let length = usize::try_from(random() % 200).unwrap();
            let mut bytes: Vec<u8> = (0..length).map(|_| u8::try_from(random() >> 56).unwrap()).collect();
            if round % 3 == 0 {
                let mut raw = Raw::connect(site.address()).await;
                raw.send(&bytes).await;
            } else {
                // A plausible packet type after CONNECT, in each version.
                bytes.insert(0, u8::try_from(random() % 14 + 2).unwrap() << 4 | 2);
                let version = crate::VERSIONS[usize::try_from(round).unwrap() % 3];
                let mut client = site.builder("random").version(version).connect().await;
                client.send_bytes(&bytes).await;
                let until = std::time::Duration::from_millis(5);
                let _ = tokio::time::timeout(until, async {
                    while !matches!(client.event().await, Event::Closed) {}
                }).await;
            }
        }
        site.client("publisher").await.publish("calm", "x", Qos::AtLeastOnce).await;
        harness::eventually("the bystander hears", async || {
            let publish = bystander.recv_within(harness::SILENCE).await?;
            (publish.message.payload == "x").then_some(())
        })
        .await;
    }

    /// A client that stops in the middle of a packet is bound by its keep-alive like any other.
    async fn half_a_packet_is_not_waited_for_for_ever(site) {
        let mut client = site.builder("slow").keep_alive(1).connect().await;
        client.send_bytes(b"\x30\x20\x00\x01a").await;
        client.closed_with(ReasonCode::KeepAliveTimeout).await;
    }
}

async fn count(site: &harness::Site) -> f64 {
    site.metric("causeway_packets_malformed_total", &[]).await
}
