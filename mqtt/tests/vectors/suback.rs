//! SUBACK (section 3.9).

use mqtt::{AckProperties, Packet, ReasonCode, Side, SubAck};

use crate::notation::packet;
use crate::*;

fn suback(codes: &[ReasonCode]) -> SubAck {
    SubAck {
        packet_id: id(10),
        properties: AckProperties::default(),
        reason_codes: codes.to_vec(),
    }
}

pub fn vectors() -> Vec<Vector> {
    use ReasonCode::*;
    let client = |version, body, suback| {
        exact(
            Side::Client,
            version,
            packet(0x90, body),
            Packet::SubAck(suback),
        )
    };
    let simple = suback(&[Success, GrantedQos1, GrantedQos2, UnspecifiedError]);
    let mut full = suback(&[
        SharedSubscriptionsNotSupported,
        WildcardSubscriptionsNotSupported,
    ]);
    full.properties.reason_string = Some(s("r"));
    full.properties.user_properties = pairs(&[("k", "v")]);
    vec![
        client(V3, "000a 00 01 02 80", simple.clone()),
        client(V4, "000a 00 01 02 80", simple.clone()),
        client(V5, "000a {} 00 01 02 80", simple),
        client(V5, "000a {1f'r' 26'k''v'} 9e a2", full),
    ]
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// [MQTT-3.9.3-2] [MQTT3-3.9.3-2] [MQTT-3.8.4-6]
#[test]
fn malformed_packets_are_refused() {
    for (version, properties) in [(V3, ""), (V4, ""), (V5, "{}")] {
        let no = |body: String, reason, what: &str| {
            refuse(Side::Client, version, &packet(0x90, &body), reason, what);
        };
        let malformed = ReasonCode::MalformedPacket;
        no(
            format!("0000 {properties} 00"),
            ReasonCode::ProtocolError,
            "zero",
        );
        no(
            format!("000a {properties}"),
            ReasonCode::ProtocolError,
            "nothing in the payload",
        );
        no(
            format!("000a {properties} 03"),
            malformed,
            "not a reason code",
        );
        no(
            format!("000a {properties} 82"),
            malformed,
            "not a reason code",
        );
        no("00".to_owned(), malformed, "ends within");
    }
    refuse(
        Side::Client,
        V4,
        &packet(0x90, "000a 87"),
        ReasonCode::MalformedPacket,
        "not a reason code",
    );
    refuse(
        Side::Client,
        V5,
        &packet(0x90, "000a {1f'' 1f''} 00"),
        ReasonCode::ProtocolError,
        "more than once",
    );
}
