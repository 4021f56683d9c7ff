//! DISCONNECT (section 3.14).

use mqtt::{Disconnect, DisconnectProperties, Packet, ReasonCode, Side};

use crate::notation::packet;
use crate::*;

pub fn vectors() -> Vec<Vector> {
    use ReasonCode::*;
    let wrap = |code| Packet::Disconnect(Disconnect::new(code));
    let to = |side, version, body, packet_| exact(side, version, packet(0xE0, body), packet_);
    let expiring = Disconnect {
        properties: DisconnectProperties {
            session_expiry_interval: Some(60),
            ..DisconnectProperties::default()
        },
        ..Disconnect::new(Success)
    };
    let moved = Disconnect {
        reason_code: UseAnotherServer,
        properties: DisconnectProperties {
            session_expiry_interval: None,
            reason_string: Some(s("r")),
            user_properties: pairs(&[("k", "v")]),
            server_reference: Some(s("other:1883")),
        },
    };
    vec![
        to(Side::Server, V3, "", wrap(Success)),
        to(Side::Server, V4, "", wrap(Success)),
        to(Side::Server, V5, "", wrap(Success)), // A1
        to(Side::Server, V5, "04", wrap(DisconnectWithWillMessage)), // A2
        to(Side::Client, V5, "8e", wrap(SessionTakenOver)),
        to(Side::Client, V5, "9c", wrap(UseAnotherServer)), // A3
        loose(Side::Server, V5, packet(0xE0, "00"), wrap(Success)),
        loose(Side::Server, V5, packet(0xE0, "00 {}"), wrap(Success)),
        loose(
            Side::Client,
            V5,
            packet(0xE0, "8b {}"),
            wrap(ServerShuttingDown),
        ),
        to(
            Side::Server,
            V5,
            "00 {110000003c}",
            Packet::Disconnect(expiring),
        ),
        to(
            Side::Client,
            V5,
            "9c {1f'r' 26'k''v' 1c'other:1883'}",
            Packet::Disconnect(moved),
        ),
    ]
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// [MQTT-3.14.1-1] [MQTT-3.14.2-1] [MQTT-3.14.2-2] B3
#[test]
fn malformed_packets_are_refused() {
    let malformed = ReasonCode::MalformedPacket;
    for version in [V3, V4] {
        refuse(
            Side::Server,
            version,
            &packet(0xE0, "00"),
            malformed,
            "bytes after",
        );
        let error = ReasonCode::ProtocolError;
        refuse(
            Side::Client,
            version,
            &packet(0xE0, ""),
            error,
            "not a packet that this side may receive",
        );
    }
    let no =
        |side, body: &str, reason, what: &str| refuse(side, V5, &packet(0xE0, body), reason, what);
    for code in ["01", "10", "8e", "9c", "8b", "ff"] {
        no(Side::Server, code, malformed, "not a reason code");
    }
    no(Side::Client, "04", malformed, "not a reason code");
    let error = ReasonCode::ProtocolError;
    no(Side::Client, "8e {1100000001}", error, "[MQTT-3.14.2-2]");
    for once in ["1100000001", "1f'a'", "1c's'"] {
        no(
            Side::Server,
            &format!("00 {{{once}{once}}}"),
            error,
            "more than once",
        );
    }
    no(Side::Server, "00 {0101}", malformed, "another packet");
    no(
        Side::Server,
        "00 05 1100000001 00",
        malformed,
        "bytes after",
    );
    no(Side::Server, "00 {11}", malformed, "ends within");
}
