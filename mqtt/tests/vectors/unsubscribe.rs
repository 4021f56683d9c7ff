//! UNSUBSCRIBE (section 3.10).

use mqtt::{Packet, ReasonCode, Side, Unsubscribe};

use crate::notation::packet;
use crate::*;

fn unsubscribe(filters: &[&str]) -> Unsubscribe {
    Unsubscribe {
        packet_id: id(10),
        user_properties: Vec::new(),
        filters: filters.iter().map(|text| filter(text)).collect(),
    }
}

pub fn vectors() -> Vec<Vector> {
    let server = |version, body, packet_| {
        exact(
            Side::Server,
            version,
            packet(0xA2, body),
            Packet::Unsubscribe(packet_),
        )
    };
    let two = unsubscribe(&["a/+", "$share/g/#"]);
    let mut full = unsubscribe(&["a"]);
    full.user_properties = pairs(&[("k", "v"), ("", "")]);
    vec![
        server(V3, "000a 'a/+' '$share/g/#'", two.clone()),
        loose(
            Side::Server,
            V3,
            packet(0xAA, "000a 'a'"),
            Packet::Unsubscribe(unsubscribe(&["a"])),
        ),
        server(V4, "000a 'a/+' '$share/g/#'", two.clone()),
        server(V5, "000a {} 'a/+' '$share/g/#'", two),
        server(V5, "000a {26'k''v' 26''''} 'a'", full),
    ]
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// [MQTT-2.2.1-3] [MQTT-3.10.3-1] [MQTT-3.10.3-2]
#[test]
fn malformed_packets_are_refused() {
    for (version, properties) in [(V3, ""), (V4, ""), (V5, "{}")] {
        let no = |body: String, reason, what: &str| {
            refuse(Side::Server, version, &packet(0xA2, &body), reason, what);
        };
        let malformed = ReasonCode::MalformedPacket;
        no(
            format!("000a {properties}"),
            ReasonCode::ProtocolError,
            "nothing in the payload",
        );
        no(
            format!("0000 {properties} 'a'"),
            ReasonCode::ProtocolError,
            "zero",
        );
        no(
            format!("000a {properties} ''"),
            malformed,
            "empty [MQTT-4.7.3-1]",
        );
        no(
            format!("000a {properties} 'a#'"),
            malformed,
            "[MQTT-4.7.1-1]",
        );
        no(
            format!("000a {properties} '$share/g'"),
            malformed,
            "[MQTT-4.8.2-2]",
        );
        no(format!("000a {properties} 0001ff"), malformed, "UTF-8");
        no(format!("000a {properties} 000100"), malformed, "U+0000");
        no(
            format!("000a {properties} 'a' 00"),
            malformed,
            "ends within",
        );
    }
    let no = |body, what| {
        refuse(
            Side::Server,
            V5,
            &packet(0xA2, body),
            ReasonCode::MalformedPacket,
            what,
        )
    };
    no("000a", "ends within");
    no("000a {0b01} 'a'", "another packet");
    no("000a {1f'r'} 'a'", "another packet");
}
