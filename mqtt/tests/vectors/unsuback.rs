//! UNSUBACK (section 3.11).

use mqtt::{AckProperties, Packet, ReasonCode, Side, UnsubAck};

use crate::notation::packet;
use crate::*;

fn unsuback(codes: &[ReasonCode]) -> UnsubAck {
    UnsubAck {
        packet_id: id(10),
        properties: AckProperties::default(),
        reason_codes: codes.to_vec(),
    }
}

pub fn vectors() -> Vec<Vector> {
    use ReasonCode::*;
    let client = |version, body, unsuback| {
        exact(
            Side::Client,
            version,
            packet(0xB0, body),
            Packet::UnsubAck(unsuback),
        )
    };
    let mut full = unsuback(&[NotAuthorized]);
    full.properties.reason_string = Some(s(""));
    full.properties.user_properties = pairs(&[("k", "v")]);
    vec![
        client(V3, "000a", unsuback(&[])),
        client(V4, "000a", unsuback(&[])),
        client(
            V5,
            "000a {} 00 11",
            unsuback(&[Success, NoSubscriptionExisted]),
        ),
        client(V5, "000a {1f'' 26'k''v'} 87", full),
    ]
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// [MQTT-3.11.3-1] [MQTT-3.11.3-2]
#[test]
fn malformed_packets_are_refused() {
    let malformed = ReasonCode::MalformedPacket;
    for version in [V3, V4] {
        refuse(
            Side::Client,
            version,
            &packet(0xB0, "000a 00"),
            malformed,
            "bytes after",
        );
        refuse(
            Side::Client,
            version,
            &packet(0xB0, "0000"),
            ReasonCode::ProtocolError,
            "zero",
        );
    }
    let no = |body, reason, what| refuse(Side::Client, V5, &packet(0xB0, body), reason, what);
    no(
        "000a {}",
        ReasonCode::ProtocolError,
        "nothing in the payload",
    );
    no("000a {} 01", malformed, "not a reason code");
    no("0000 {} 00", ReasonCode::ProtocolError, "zero");
    no(
        "000a {1f'' 1f''} 00",
        ReasonCode::ProtocolError,
        "more than once",
    );
    no("000a {11 00000001} 00", malformed, "another packet");
    no("000a", malformed, "ends within");
}
