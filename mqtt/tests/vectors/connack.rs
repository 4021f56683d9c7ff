//! CONNACK (section 3.2).

use std::num::{NonZeroU16, NonZeroU32};

use mqtt::{ConnAck, ConnAckProperties, Packet, Qos, ReasonCode, Side};

use crate::notation::packet;
use crate::*;

pub fn vectors() -> Vec<Vector> {
    let client = |version, body, connack| {
        exact(
            Side::Client,
            version,
            packet(0x20, body),
            Packet::ConnAck(connack),
        )
    };
    let mut full = ConnAck::new(true, ReasonCode::Success);
    *full.properties = ConnAckProperties {
        session_expiry_interval: Some(1),
        receive_maximum: NonZeroU16::new(2),
        maximum_qos: Some(Qos::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: NonZeroU32::new(100),
        assigned_client_identifier: Some(s("id")),
        topic_alias_maximum: Some(3),
        reason_string: Some(s("r")),
        user_properties: pairs(&[("k", "v"), ("", "")]),
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive: Some(30),
        response_information: Some(s("i")),
        server_reference: Some(s("s")),
        authentication_method: Some(s("m")),
        authentication_data: Some(blob(&[0])),
    };
    let mut at_most_once = ConnAck::new(false, ReasonCode::Success);
    at_most_once.properties.maximum_qos = Some(Qos::AtMostOnce);
    let connack = ConnAck::new;
    vec![
        client(V3, "00 00", connack(false, ReasonCode::Success)),
        client(V3, "00 05", connack(false, ReasonCode::NotAuthorized)),
        loose(
            Side::Client,
            V3,
            packet(0x20, "01 00"), // reserved in MQTT 3.1
            Packet::ConnAck(connack(false, ReasonCode::Success)),
        ),
        client(V4, "01 00", connack(true, ReasonCode::Success)),
        client(
            V4,
            "00 01",
            connack(false, ReasonCode::UnsupportedProtocolVersion),
        ),
        client(
            V4,
            "00 02",
            connack(false, ReasonCode::ClientIdentifierNotValid),
        ),
        client(V4, "00 03", connack(false, ReasonCode::ServerUnavailable)),
        client(
            V4,
            "00 04",
            connack(false, ReasonCode::BadUserNameOrPassword),
        ),
        client(V5, "00 00 {}", connack(false, ReasonCode::Success)), // A4
        client(V5, "00 87 {}", connack(false, ReasonCode::NotAuthorized)),
        client(V5, "00 00 {2400}", at_most_once),
        client(
            V5,
            "01 00 {1100000001 210002 2401 2501 2700000064 12'id' 220003 1f'r' 26'k''v' 26''''
             2801 2900 2a01 13001e 1a'i' 1c's' 15'm' 16000100}",
            full,
        ),
    ]
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

#[track_caller]
fn no(version: mqtt::ProtocolVersion, body: &str, reason: ReasonCode, what: &str) {
    refuse(Side::Client, version, &packet(0x20, body), reason, what);
}

/// [MQTT-3.2.2-1] [MQTT-3.2.2-6] [MQTT-3.2.2-8]
#[test]
fn flags_and_codes_that_do_not_exist_are_refused() {
    for (version, rest) in [(V4, ""), (V5, "{}")] {
        let malformed = ReasonCode::MalformedPacket;
        no(
            version,
            &format!("02 00 {rest}"),
            malformed,
            "acknowledge flag [MQTT-3.2.2-1]",
        );
        no(
            version,
            &format!("01 05 {rest}").replace("05 {}", "87 {}"),
            ReasonCode::ProtocolError,
            "session present",
        );
        no(
            version,
            &format!("00 06 {rest}"),
            malformed,
            "not a reason code",
        );
        no(
            version,
            &format!("00 00 {rest} 00"),
            malformed,
            "bytes after",
        );
        no(version, "00", malformed, "ends within");
    }
    no(
        V5,
        "00 01 {}",
        ReasonCode::MalformedPacket,
        "not a reason code",
    );
    no(V5, "00 00", ReasonCode::MalformedPacket, "ends within"); // A4
}

/// Section 3.2.2.3.
#[test]
fn properties_with_forbidden_values_are_refused() {
    let reason = ReasonCode::ProtocolError;
    for zero in ["210000", "2700000000"] {
        no(V5, &format!("00 00 {{{zero}}}"), reason, "zero");
    }
    for flag in ["24", "25", "28", "29", "2a"] {
        no(
            V5,
            &format!("00 00 {{{flag}02}}"),
            reason,
            "neither 0 nor 1",
        );
    }
    for once in [
        "1100000001",
        "210002",
        "2401",
        "2501",
        "2700000064",
        "12'id'",
        "220003",
        "1f'r'",
        "2801",
        "2900",
        "2a01",
        "13001e",
        "1a'i'",
        "1c's'",
        "15'm'",
        "16000100",
    ] {
        no(
            V5,
            &format!("00 00 {{{once}{once}}}"),
            reason,
            "more than once",
        );
    }
    for other in ["0101", "230001", "1701", "0b01"] {
        no(
            V5,
            &format!("00 00 {{{other}}}"),
            ReasonCode::MalformedPacket,
            "another packet",
        );
    }
}
