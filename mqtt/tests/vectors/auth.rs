//! AUTH (section 3.15). A12

use mqtt::{Auth, AuthProperties, Packet, ReasonCode, Side};

use crate::notation::packet;
use crate::*;

fn auth(reason_code: ReasonCode, properties: AuthProperties) -> Packet {
    Packet::Auth(Auth {
        reason_code,
        properties,
    })
}

pub fn vectors() -> Vec<Vector> {
    use ReasonCode::*;
    let method = AuthProperties {
        authentication_method: Some(s("SCRAM")),
        ..AuthProperties::default()
    };
    let full = AuthProperties {
        authentication_data: Some(blob(&[0xFF])),
        reason_string: Some(s("r")),
        user_properties: pairs(&[("k", "v")]),
        ..method.clone()
    };
    let to = |side, body, packet_| exact(side, V5, packet(0xF0, body), packet_);
    vec![
        to(Side::Client, "", auth(Success, AuthProperties::default())),
        to(
            Side::Client,
            "00 {15'SCRAM'}",
            auth(Success, method.clone()),
        ),
        to(
            Side::Client,
            "18 {15'SCRAM' 160001ff 1f'r' 26'k''v'}",
            auth(ContinueAuthentication, full.clone()),
        ),
        to(
            Side::Server,
            "18 {15'SCRAM' 160001ff 1f'r' 26'k''v'}",
            auth(ContinueAuthentication, full),
        ),
        to(Side::Server, "19 {15'SCRAM'}", auth(ReAuthenticate, method)),
    ]
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// [MQTT-3.15.1-1] [MQTT-3.15.2-1] and section 3.15.2.2.
#[test]
fn malformed_packets_are_refused() {
    let malformed = ReasonCode::MalformedPacket;
    let error = ReasonCode::ProtocolError;
    for version in [V3, V4] {
        for side in [Side::Server, Side::Client] {
            refuse(
                side,
                version,
                &packet(0xF0, "18 {15'm'}"),
                malformed,
                "reserved packet type",
            );
        }
    }
    let no =
        |side, body: &str, reason, what: &str| refuse(side, V5, &packet(0xF0, body), reason, what);
    no(Side::Server, "", malformed, "not a reason code");
    no(Side::Server, "00 {15'm'}", malformed, "not a reason code");
    no(Side::Client, "19 {15'm'}", malformed, "not a reason code");
    no(Side::Server, "87 {15'm'}", malformed, "not a reason code");
    no(Side::Server, "18", malformed, "ends within");
    no(Side::Server, "18 {}", error, "no authentication method");
    no(
        Side::Server,
        "18 {160001ff}",
        error,
        "no authentication method",
    );
    for once in ["15'm'", "160001ff", "1f'r'"] {
        no(
            Side::Server,
            &format!("18 {{15'm' {once} {once}}}"),
            error,
            "more than once",
        );
    }
    no(
        Side::Server,
        "18 {15'm' 1100000001}",
        malformed,
        "another packet",
    );
    no(Side::Server, "18 {15'm'} 00", malformed, "bytes after");
}

#[test]
fn secrets_are_not_in_debug_output() {
    let properties = AuthProperties {
        authentication_data: Some(blob(b"swordfish")),
        ..AuthProperties::default()
    };
    let text = format!("{:?}", auth(ReasonCode::Success, properties));
    assert!(text.contains("[hidden]") && !text.contains("swordfish"));
}
