//! CONNECT (section 3.1).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqtt::{
    Connect, ConnectProperties, Message, MessageProperties, Packet, PropertyValues,
    ProtocolVersion, Qos, ReasonCode, Side, Will,
};

use crate::notation::packet;
use crate::*;

fn connect(version: ProtocolVersion, client_id: &str) -> Connect {
    Connect {
        version,
        client_id: s(client_id),
        clean_start: true,
        keep_alive: 60,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    }
}

fn wrap(connect: Connect) -> Packet {
    Packet::Connect(Box::new(connect))
}

fn will(qos: Qos, retain: bool) -> Option<Box<Will>> {
    let message = Message {
        topic_name: name("w/t"),
        payload: blob(&[0xFF, 0x00]),
        qos,
        retain,
        properties: MessageProperties::default(),
    };
    Some(Box::new(Will {
        delay_interval: 0,
        message,
    }))
}

fn version_3() -> Vec<Vector> {
    let server =
        |version, body, connect| exact(Side::Server, version, packet(0x10, body), wrap(connect));
    let loose =
        |version, body, connect| loose(Side::Server, version, packet(0x10, body), wrap(connect));
    let full = |version| Connect {
        clean_start: false,
        username: Some(s("user")),
        password: Some(blob(&[0xFF, 0x00])),
        will: will(Qos::AtLeastOnce, true),
        ..connect(version, "c1")
    };
    let user = Connect {
        username: Some(s("u")),
        ..connect(V3, "c1")
    };
    vec![
        server(V3, "'MQIsdp' 03 02 003c 'c1'", connect(V3, "c1")), // A13
        server(
            V3,
            "'MQIsdp' 03 ec 003c 'c1' 'w/t' 0002ff00 'user' 0002ff00",
            full(V3),
        ),
        server(
            V3,
            "'MQIsdp' 03 02 003c 'a-client-id-of-23-chars'",
            connect(V3, "a-client-id-of-23-chars"),
        ),
        // MQTT 3.1: a flag may be set and its string missing; unused bits have no value.
        loose(V3, "'MQIsdp' 03 82 003c 'c1'", connect(V3, "c1")),
        loose(V3, "'MQIsdp' 03 c2 003c 'c1' 'u'", user),
        loose(V3, "'MQIsdp' 03 3b 003c 'c1'", connect(V3, "c1")),
        server(V4, "'MQTT' 04 02 003c 'c1'", connect(V4, "c1")),
        server(
            V4,
            "'MQTT' 04 ec 003c 'c1' 'w/t' 0002ff00 'user' 0002ff00",
            full(V4),
        ),
        // [MQTT3-3.1.3-6] [MQTT3-3.1.3-7]
        server(V4, "'MQTT' 04 02 003c ''", connect(V4, "")),
        // A7: empty is not absent.
        server(
            V4,
            "'MQTT' 04 c2 003c 'c1' '' ''",
            Connect {
                username: Some(s("")),
                password: Some(Bytes::new()),
                ..connect(V4, "c1")
            },
        ),
        server(
            V4,
            "'MQTT' 04 82 003c 'c1' ''",
            Connect {
                username: Some(s("")),
                ..connect(V4, "c1")
            },
        ),
        server(
            V4,
            "'MQTT' 04 16 003c 'c1' 'w/t' 0002ff00",
            Connect {
                will: will(Qos::ExactlyOnce, false),
                ..connect(V4, "c1")
            },
        ),
    ]
}

fn version_5() -> Vec<Vector> {
    let server = |body, connect| exact(Side::Server, V5, packet(0x10, body), wrap(connect));
    let properties = ConnectProperties {
        session_expiry_interval: Some(0xFFFF_FFFF),
        receive_maximum: NonZeroU16::new(10),
        maximum_packet_size: NonZeroU32::new(1000),
        topic_alias_maximum: Some(0),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        user_properties: pairs(&[("k", "v"), ("k", "v")]),
        authentication_method: Some(s("M")),
        authentication_data: Some(blob(&[0, 1])),
    };
    let mut full = Connect {
        properties,
        will: will(Qos::AtLeastOnce, true),
        ..connect(V5, "c1")
    };
    let will = full.will.as_mut().unwrap();
    will.delay_interval = 5;
    will.message.properties = MessageProperties::from(PropertyValues {
        payload_format_indicator: Some(false),
        message_expiry_interval: Some(7),
        content_type: Some(s("t")),
        response_topic: Some(name("r/t")),
        correlation_data: Some(blob(&[9])),
        user_properties: pairs(&[("a", "b")]),
    });
    vec![
        server("'MQTT' 05 02 003c {} 'c1'", connect(V5, "c1")),
        // [MQTT-3.1.3-6] A client without a name, also when its session goes on.
        server(
            "'MQTT' 05 00 003c {} ''",
            Connect {
                clean_start: false,
                ..connect(V5, "")
            },
        ),
        // A password without a user name is allowed in MQTT 5, and is any bytes (A6).
        server(
            "'MQTT' 05 42 003c {} 'c1' 0002ff00",
            Connect {
                password: Some(blob(&[0xFF, 0])),
                ..connect(V5, "c1")
            },
        ),
        server(
            "'MQTT' 05 2e 003c
             {11ffffffff 21000a 27000003e8 220000 1901 1700 26'k''v' 26'k''v' 15'M' 1600020001}
             'c1' {1800000005 0100 0200000007 03't' 08'r/t' 09000109 26'a''b'} 'w/t' 0002ff00",
            full,
        ),
    ]
}

pub fn vectors() -> Vec<Vector> {
    [version_3(), version_5()].concat()
}

/// [MQTT-3.1.3-1] [MQTT3-3.1.3-1]
#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

#[track_caller]
fn no(body: &str, reason: ReasonCode, what: &str) {
    refuse(Side::Server, V5, &packet(0x10, body), reason, what);
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-2] A11
#[test]
fn other_protocols_and_versions_are_refused() {
    let reason = ReasonCode::UnsupportedProtocolVersion;
    for body in [
        "'MQTX' 04 02 003c 'c1'",
        "'mqtt' 04 02 003c 'c1'",
        "'' 04 02 003c 'c1'",
    ] {
        no(body, reason, "unknown protocol name [MQTT-3.1.2-1]");
    }
    for body in [
        "'MQTT' 03 02 003c 'c1'",
        "'MQTT' 06 02 003c {} 'c1'",
        "'MQTT' 84 02 003c 'c1'",
        "'MQTT' 00 02 003c 'c1'",
        "'MQIsdp' 04 02 003c 'c1'",
        "'MQIsdp' 05 02 003c {} 'c1'",
    ] {
        no(body, reason, "unsupported protocol version [MQTT-3.1.2-2]");
    }
}

/// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT3-3.1.2-22]
#[test]
fn flags_that_contradict_each_other_are_refused() {
    let reason = ReasonCode::MalformedPacket;
    for start in ["'MQTT' 04", "'MQTT' 05"] {
        let properties = if start.ends_with("05") { "{}" } else { "" };
        let with = |flags: &str| format!("{start} {flags} 003c {properties} 'c1'");
        no(&with("03"), reason, "reserved connect flag [MQTT-3.1.2-3]");
        no(
            &with("0a"),
            reason,
            "will QoS without a will [MQTT-3.1.2-11]",
        );
        no(
            &with("22"),
            reason,
            "will retain without a will [MQTT-3.1.2-13]",
        );
        no(&with("1e"), reason, "will QoS is 3 [MQTT-3.1.2-12]");
    }
    no("'MQIsdp' 03 1e 003c 'c1' 'w' 'm'", reason, "will QoS is 3");
    for body in [
        "'MQTT' 04 42 003c 'c1' 'pw'",
        "'MQIsdp' 03 42 003c 'c1' 'pw'",
    ] {
        no(
            body,
            reason,
            "password without a user name [MQTT3-3.1.2-22]",
        );
    }
}

/// [MQTT3-3.1.3-8] In MQTT 3.1 always.
#[test]
fn a_client_without_a_name_needs_a_clean_session() {
    let reason = ReasonCode::ClientIdentifierNotValid;
    no("'MQTT' 04 00 003c ''", reason, "client identifier is empty");
    no(
        "'MQIsdp' 03 00 003c ''",
        reason,
        "client identifier is empty",
    );
    no(
        "'MQIsdp' 03 02 003c ''",
        reason,
        "client identifier is empty",
    );
}

/// MQTT 3.1, section 3.1: 23 characters, however many bytes they have.
#[test]
fn a_client_id_of_mqtt_3_1_has_at_most_23_characters() {
    let reason = ReasonCode::ClientIdentifierNotValid;
    no(
        "'MQIsdp' 03 02 003c 'a-client-id-of-24-chars-'",
        reason,
        "more than 23 characters",
    );
    for (version, characters, is_allowed) in [(V3, 23, true), (V3, 24, false), (V4, 24, true)] {
        let packet = wrap(connect(version, &"é".repeat(characters)));
        let read = decode(Side::Server, version, &encoded(&packet, version));
        assert_eq!(read.is_ok(), is_allowed, "{characters} in {version}");
    }
}

/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12]
#[test]
fn strings_that_are_not_text_are_refused() {
    let reason = ReasonCode::MalformedPacket;
    for field in ["0001 00", "0003 610062"] {
        no(
            &format!("'MQTT' 04 02 003c {field}"),
            reason,
            "U+0000 [MQTT-1.5.4-2]",
        );
        no(
            &format!("'MQTT' 04 82 003c 'c' {field}"),
            reason,
            "U+0000 [MQTT-1.5.4-2]",
        );
        no(
            &format!("'MQTT' 04 06 003c 'c' {field} 'm'"),
            reason,
            "U+0000 [MQTT-1.5.4-2]",
        );
        no(
            &format!("'MQTT' 05 02 003c {{26 {field} 'v'}} 'c'"),
            reason,
            "U+0000",
        );
        no(
            &format!("'MQTT' 05 02 003c {{26 'k' {field}}} 'c'"),
            reason,
            "U+0000",
        );
        no(
            &format!("'MQTT' 05 02 003c {{15 {field}}} 'c'"),
            reason,
            "U+0000",
        );
    }
    // Not a first byte, a surrogate, an overlong slash, cut short.
    for field in ["0001 ff", "0003 eda080", "0002 c0af", "0002 e282"] {
        no(
            &format!("'MQTT' 04 02 003c {field}"),
            reason,
            "not UTF-8 [MQTT-1.5.4-1]",
        );
        no(
            &format!("'MQTT' 04 82 003c 'c' {field}"),
            reason,
            "not UTF-8",
        );
        no(
            &format!("'MQTT' 04 06 003c 'c' {field} 'm'"),
            reason,
            "not UTF-8",
        );
    }
}

/// [MQTT-3.3.2-2] [MQTT-4.7.3-1]
#[test]
fn a_will_is_published_to_a_topic_name() {
    let reason = ReasonCode::TopicNameInvalid;
    for (start, properties) in [("'MQIsdp' 03", ""), ("'MQTT' 04", ""), ("'MQTT' 05", "{}")] {
        let with =
            |topic: &str| format!("{start} 06 003c {properties} 'c1' {properties} '{topic}' 'm'");
        no(&with(""), reason, "will topic is empty [MQTT-4.7.3-1]");
        no(
            &with("a/+"),
            reason,
            "will topic contains a wildcard [MQTT-3.3.2-2]",
        );
        no(
            &with("#"),
            reason,
            "will topic contains a wildcard [MQTT-3.3.2-2]",
        );
    }
}

/// Sections 3.1.2.11 and 2.2.2.2.
#[test]
fn properties_with_forbidden_values_are_refused() {
    let with = |properties: &str| format!("'MQTT' 05 02 003c {{{properties}}} 'c1'");
    let reason = ReasonCode::ProtocolError;
    no(&with("210000"), reason, "zero");
    no(&with("2700000000"), reason, "zero");
    no(&with("1702"), reason, "neither 0 nor 1");
    no(&with("1902"), reason, "neither 0 nor 1");
    no(
        &with("160001ff"),
        reason,
        "authentication data without a method",
    );
    for once in [
        "1100000001",
        "210001",
        "2700000001",
        "220001",
        "1900",
        "1701",
        "15'm'",
    ] {
        no(&with(&format!("{once}{once}")), reason, "more than once");
    }
    no(&with("15'm' 1600 00 1600 00"), reason, "more than once");
    let reason = ReasonCode::MalformedPacket;
    no(&with("0101"), reason, "property of another packet");
    no(&with("24 01"), reason, "property of another packet");
    no(&with("1800000001"), reason, "property of another packet");
    no(&with("00"), reason, "unknown property");
    no(&with("7f"), reason, "unknown property");
    no(&with("8126"), reason, "unknown property");
}

/// Section 3.1.3.2.
#[test]
fn will_properties_are_checked_as_those_of_publish() {
    let with = |properties: &str| format!("'MQTT' 05 06 003c {{}} 'c1' {{{properties}}} 'w' 'm'");
    let reason = ReasonCode::ProtocolError;
    for once in [
        "1800000001",
        "0100",
        "0200000001",
        "03't'",
        "08'r'",
        "09000101",
    ] {
        assert!(
            decode(Side::Server, V5, &packet(0x10, &with(once))).is_ok(),
            "{once}"
        );
        no(&with(&format!("{once}{once}")), reason, "more than once");
    }
    no(&with("0102"), reason, "neither 0 nor 1");
    no(&with("08'a/+'"), reason, "response topic");
    no(&with("08''"), reason, "response topic");
    let reason = ReasonCode::MalformedPacket;
    no(&with("230001"), reason, "property of another packet");
    no(&with("0b01"), reason, "property of another packet");
    no(&with("1100000001"), reason, "property of another packet");
}

/// B7 B9
#[test]
fn lengths_that_do_not_fit_are_refused() {
    let reason = ReasonCode::MalformedPacket;
    for body in [
        "",
        "00",
        "'MQTT'",
        "'MQTT' 04",
        "'MQTT' 04 02 00",
        "'MQTT' 04 02 003c",
        "'MQTT' 04 02 003c 0003 `c1`",
        "'MQTT' 04 82 003c 'c1'",
        "'MQTT' 04 c2 003c 'c1' 'u'",
        "'MQTT' 04 06 003c 'c1'",
        "'MQTT' 04 06 003c 'c1' 'w'",
        "'MQTT' 05 02 003c",
        "'MQTT' 05 02 003c 7f 'c1'",
        // The property begins within the properties and ends beyond them.
        "'MQTT' 05 02 003c {11} 00000001 'c1'",
        "'MQTT' 05 02 003c {15 0001} `a` 'c1'",
        "'MQIsdp' 03 82 003c 'c1' 0005 `u`",
    ] {
        no(body, reason, "ends within a field");
    }
    no(
        "'MQTT' 04 02 003c 'c1' 00",
        reason,
        "bytes after the last field",
    );
    no(
        "'MQTT' 05 02 003c {} 'c1' 'extra'",
        reason,
        "bytes after the last field",
    );
    no(
        "'MQIsdp' 03 02 003c 'c1' 'extra'",
        reason,
        "bytes after the last field",
    );
}

/// A17
#[test]
fn secrets_are_not_in_debug_output() {
    let packet = wrap(Connect {
        username: Some(s("user")),
        password: Some(blob(b"swordfish")),
        properties: ConnectProperties {
            authentication_method: Some(s("PLAIN")),
            authentication_data: Some(blob(b"swordfish")),
            ..ConnectProperties::default()
        },
        ..connect(V5, "c1")
    });
    let text = format!("{packet:?} {packet:#?}");
    assert!(text.contains("user") && text.contains("PLAIN") && text.contains("[hidden]"));
    assert!(!text.contains("swordfish"));
    assert!(!text.contains("115, 119"));
}
