//! PUBLISH (section 3.3).

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use mqtt::{
    Message, MessageProperties, Packet, PropertyValues, Publish, Qos, ReasonCode, Side, TopicName,
};

use crate::notation::{framed, packet};
use crate::*;

fn publish(topic: &str, payload: &'static [u8]) -> Publish {
    Publish {
        message: Message {
            topic_name: name(topic),
            payload: Bytes::from_static(payload),
            ..Message::default()
        },
        ..Publish::default()
    }
}

fn with_id(mut publish: Publish, qos: Qos, packet_id: u16) -> Publish {
    publish.message.qos = qos;
    publish.packet_id = Some(id(packet_id));
    publish
}

fn version_3() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (version, side) in [(V3, Side::Server), (V4, Side::Server), (V4, Side::Client)] {
        let mut add = |first, body, publish| {
            vectors.push(exact(
                side,
                version,
                packet(first, body),
                Packet::Publish(publish),
            ));
        };
        add(0x30, "'a/b' `hi`", publish("a/b", b"hi"));
        add(0x30, "'a'", publish("a", b""));
        let mut retained = publish("été/é", b"\0\xff");
        retained.message.retain = true;
        add(0x31, "'été/é' 00ff", retained);
        add(
            0x32,
            "'a' 000a `x`",
            with_id(publish("a", b"x"), Qos::AtLeastOnce, 10),
        );
        add(
            0x34,
            "'a' ffff `x`",
            with_id(publish("a", b"x"), Qos::ExactlyOnce, 65_535),
        );
        let mut again = with_id(publish("/", b""), Qos::ExactlyOnce, 1);
        again.dup = true;
        again.message.retain = true;
        add(0x3D, "'/' 0001", again);
    }
    vectors
}

fn version_5() -> Vec<Vector> {
    let to =
        |side, first, body, publish| exact(side, V5, packet(first, body), Packet::Publish(publish));
    let mut full = publish("a", b"x");
    full.topic_alias = NonZeroU16::new(2);
    full.message.properties = MessageProperties::from(PropertyValues {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(0),
        content_type: Some(s("t")),
        response_topic: Some(name("r/t")),
        correlation_data: Some(Bytes::new()),
        user_properties: pairs(&[("k", "v"), ("k", "w"), ("", "")]),
    });
    let mut matched = publish("a", b"x"); // A5: three identifiers and a property
    matched.subscription_identifiers = vec![1, 128, 268_435_455];
    matched.message.properties.payload_format_indicator = Some(false);
    let mut alias_only = publish("a", b"x");
    alias_only.message.topic_name = TopicName::empty();
    alias_only.topic_alias = NonZeroU16::new(65_535);
    vec![
        to(Side::Server, 0x30, "'a/b' {} `hi`", publish("a/b", b"hi")),
        to(
            Side::Server,
            0x32,
            "'a' 000a {} `x`",
            with_id(publish("a", b"x"), Qos::AtLeastOnce, 10),
        ),
        to(
            Side::Server,
            0x30,
            "'a' {0101 0200000000 230002 03't' 08'r/t' 090000 26'k''v' 26'k''w' 26''''} `x`",
            full,
        ),
        to(Side::Server, 0x30, "'' {23ffff} `x`", alias_only),
        to(
            Side::Client,
            0x30,
            "'a' {0100 0b01 0b8001 0bffffff7f} `x`",
            matched,
        ),
    ]
}

pub fn vectors() -> Vec<Vector> {
    [version_3(), version_5()].concat()
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

#[track_caller]
fn no(version: mqtt::ProtocolVersion, first: u8, body: &str, reason: ReasonCode, what: &str) {
    refuse(Side::Server, version, &packet(first, body), reason, what);
}

/// [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-2.2.1-3]
#[test]
fn flags_and_identifiers_that_contradict_the_qos_are_refused() {
    for (version, rest) in [(V3, ""), (V4, ""), (V5, "{}")] {
        let malformed = ReasonCode::MalformedPacket;
        let body = format!("'a' {rest}");
        no(
            version,
            0x38,
            &body,
            malformed,
            "DUP at QoS 0 [MQTT-3.3.1-2]",
        ); // B2
        no(
            version,
            0x39,
            &body,
            malformed,
            "DUP at QoS 0 [MQTT-3.3.1-2]",
        );
        let body = format!("'a' 0001 {rest}");
        no(version, 0x36, &body, malformed, "QoS is 3 [MQTT-3.3.1-4]");
        no(version, 0x3E, &body, malformed, "QoS is 3 [MQTT-3.3.1-4]");
        let body = format!("'a' 0000 {rest}");
        no(
            version,
            0x32,
            &body,
            ReasonCode::ProtocolError,
            "zero [MQTT-2.2.1-3]",
        );
        no(
            version,
            0x34,
            &body,
            ReasonCode::ProtocolError,
            "zero [MQTT-2.2.1-3]",
        );
    }
}

/// [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2]
#[test]
fn what_is_not_a_topic_name_is_refused() {
    for (version, rest) in [(V3, ""), (V4, ""), (V5, "{}")] {
        for topic in [
            "+",
            "#",
            "a/+",
            "a/#",
            "a+b",
            "$share/g/#",
            "a-name-of-some-length/+/x",
        ] {
            let body = format!("'{topic}' {rest}");
            let reason = ReasonCode::TopicNameInvalid;
            no(
                version,
                0x30,
                &body,
                reason,
                "topic name contains a wildcard [MQTT-3.3.2-2]",
            );
        }
        let malformed = ReasonCode::MalformedPacket;
        no(
            version,
            0x30,
            &format!("0003 610062 {rest}"),
            malformed,
            "U+0000 [MQTT-1.5.4-2]",
        );
        no(
            version,
            0x30,
            &format!("0003 2b0062 {rest}"),
            malformed,
            "U+0000 [MQTT-1.5.4-2]",
        );
        no(
            version,
            0x30,
            &format!("0003 eda080 {rest}"),
            malformed,
            "UTF-8 [MQTT-1.5.4-1]",
        );
    }
    for version in [V3, V4] {
        no(
            version,
            0x30,
            "'' `x`",
            ReasonCode::TopicNameInvalid,
            "empty [MQTT-4.7.3-1]",
        );
    }
    no(
        V5,
        0x30,
        "'' {} `x`",
        ReasonCode::ProtocolError,
        "no topic name and no topic alias",
    );
}

/// Section 3.3.2.3.
#[test]
fn properties_with_forbidden_values_are_refused() {
    let reason = ReasonCode::ProtocolError;
    let with = |properties: &str| format!("'a' {{{properties}}} `x`");
    no(
        V5,
        0x30,
        &with("230000"),
        ReasonCode::TopicAliasInvalid,
        "topic alias is zero [MQTT-3.3.2-8]",
    );
    no(V5, 0x30, &with("0102"), reason, "neither 0 nor 1");
    no(
        V5,
        0x30,
        &with("08'a/+'"),
        reason,
        "response topic is empty or contains a wildcard [MQTT-3.3.2-14]",
    );
    no(V5, 0x30, &with("08''"), reason, "response topic");
    no(
        V5,
        0x30,
        &with("0b01"),
        reason,
        "from a client [MQTT-3.3.4-6]",
    );
    refuse(
        Side::Client,
        V5,
        &packet(0x30, &with("0b00")),
        reason,
        "identifier is zero",
    );
    for once in ["0100", "0200000001", "230001", "03't'", "08'r'", "09000101"] {
        no(
            V5,
            0x30,
            &with(&format!("{once}{once}")),
            reason,
            "more than once",
        );
    }
    let malformed = ReasonCode::MalformedPacket;
    for other in ["1100000001", "1f'r'", "1800000001", "2401", "15'm'"] {
        no(V5, 0x30, &with(other), malformed, "another packet");
    }
    no(V5, 0x30, &with("04"), malformed, "unknown property");
    no(V5, 0x30, &with("0b80"), reason, "from a client");
    refuse(
        Side::Client,
        V5,
        &packet(0x30, &with("0b8000")),
        malformed,
        "needless bytes",
    );
    refuse(
        Side::Client,
        V5,
        &packet(0x30, &with("0bffffffff7f")),
        malformed,
        "longer than four",
    );
}

/// A2 B9: what ends too early is refused at once, and does not wait for more.
/// [MQTT-2.2.2-1]
#[test]
fn lengths_that_do_not_fit_are_refused() {
    let malformed = ReasonCode::MalformedPacket;
    for version in ALL {
        for body in ["", "00", "0002 `a`"] {
            no(version, 0x30, body, malformed, "ends within a field");
        }
        for body in ["'a'", "'a' 00"] {
            no(version, 0x32, body, malformed, "ends within a field");
        }
    }
    for body in [
        "'a'",
        "'a' 02 01",
        "'a' 80",
        "'a' {01} 01",
        "'a' {0200} 0000 00",
        "'a' {26'k' 0001} `v`",
    ] {
        no(V5, 0x30, body, malformed, "ends within a field");
    }
    no(
        V5,
        0x30,
        "'a' 8000",
        malformed,
        "needless bytes [MQTT-1.5.5-1]",
    ); // B4
    no(
        V5,
        0x30,
        "'a' 8080808001",
        malformed,
        "longer than four bytes",
    );
}

/// The payload is a part of the read buffer, whatever its size.
#[test]
fn nothing_of_a_message_is_copied() {
    for length in [1, 200, 100_000, 3_000_000] {
        let mut body = notation::bytes("'topic/name' {03'text/plain' 090004 `corr`}");
        body.extend(std::iter::repeat_n(b'x', length));
        let mut buffer = BytesMut::from(&framed(0x30, &body)[..]);
        let memory = buffer.as_ptr_range();
        let decoded = decoder(Side::Server, V5, 0x30).decode(&mut buffer);
        let Ok(Some(Packet::Publish(publish))) = decoded else {
            panic!()
        };
        let message = publish.message;
        assert_eq!(message.payload.len(), length);
        for part in [
            &message.payload[..],
            message.topic_name.as_bytes(),
            message.properties.content_type.as_ref().unwrap().as_bytes(),
            message.properties.correlation_data.as_ref().unwrap(),
        ] {
            assert!(memory.contains(&part.as_ptr()));
        }
        let detached = message.topic_name.detached();
        assert!(detached == message.topic_name && !memory.contains(&detached.as_ptr()));
    }
}
