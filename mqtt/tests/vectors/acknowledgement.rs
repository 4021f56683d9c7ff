//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use mqtt::{Ack, AckProperties, Packet, ReasonCode, Side};

use crate::notation::packet;
use crate::*;

type Kind = (u8, fn(Ack) -> Packet, ReasonCode);

const KINDS: [Kind; 4] = [
    (0x40, Packet::PubAck, ReasonCode::QuotaExceeded),
    (0x50, Packet::PubRec, ReasonCode::NoMatchingSubscribers),
    (0x62, Packet::PubRel, ReasonCode::PacketIdentifierNotFound),
    (0x70, Packet::PubComp, ReasonCode::PacketIdentifierNotFound),
];

pub fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (first, wrap, code) in KINDS {
        let success = Ack::new(id(0x1234), ReasonCode::Success);
        let failure = Ack::new(id(1), code);
        for (side, version) in [(Side::Server, V3), (Side::Client, V4), (Side::Server, V5)] {
            let bytes = packet(first, "1234");
            vectors.push(exact(side, version, bytes, wrap(success.clone())));
        }
        // Section 3.4.2.1: each shorter form, and the longer ones that say the same.
        let code = format!("{:02x}", code.as_u8());
        for body in ["1234 00", "1234 00 {}"] {
            vectors.push(loose(
                Side::Client,
                V5,
                packet(first, body),
                wrap(success.clone()),
            ));
        }
        let body = format!("0001 {code}");
        vectors.push(exact(
            Side::Client,
            V5,
            packet(first, &body),
            wrap(failure.clone()),
        ));
        let body = format!("0001 {code} {{}}");
        vectors.push(loose(
            Side::Client,
            V5,
            packet(first, &body),
            wrap(failure.clone()),
        ));
        let mut full = failure;
        full.properties = AckProperties {
            reason_string: Some(s("why")),
            user_properties: pairs(&[("k", "v"), ("k", "v")]),
        };
        let body = format!("0001 {code} {{1f'why' 26'k''v' 26'k''v'}}");
        vectors.push(exact(Side::Server, V5, packet(first, &body), wrap(full)));
    }
    let repeated = wrap_pubrel(Ack::new(id(7), ReasonCode::Success));
    // MQTT 3.1, section 3.6: a repeated PUBREL has DUP.
    vectors.push(loose(Side::Server, V3, packet(0x6A, "0007"), repeated));
    vectors
}

fn wrap_pubrel(ack: Ack) -> Packet {
    Packet::PubRel(ack)
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// [MQTT-2.2.1-3] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
#[test]
fn malformed_packets_are_refused() {
    for (first, _, _) in KINDS {
        for version in ALL {
            let no = |body: &str, reason, what: &str| {
                refuse(Side::Server, version, &packet(first, body), reason, what);
            };
            no("0000", ReasonCode::ProtocolError, "zero [MQTT-2.2.1-3]");
            no("", ReasonCode::MalformedPacket, "ends within");
            no("00", ReasonCode::MalformedPacket, "ends within");
            if version != V5 {
                no(
                    "0001 00",
                    ReasonCode::MalformedPacket,
                    "bytes after the last field",
                );
            }
        }
        let no = |body: &str, reason, what: &str| {
            refuse(Side::Server, V5, &packet(first, body), reason, what);
        };
        no("0000 00", ReasonCode::ProtocolError, "zero [MQTT-2.2.1-3]");
        for code in ["01", "8e", "03", "ff"] {
            no(
                &format!("0001 {code}"),
                ReasonCode::MalformedPacket,
                "not a reason code",
            );
        }
        let other = if first < 0x60 { "92" } else { "10" };
        no(
            &format!("0001 {other}"),
            ReasonCode::MalformedPacket,
            "not a reason code",
        );
        no(
            "0001 00 {1f'a' 1f'b'}",
            ReasonCode::ProtocolError,
            "more than once",
        );
        no(
            "0001 00 {1100000001}",
            ReasonCode::MalformedPacket,
            "another packet",
        );
        no("0001 00 {1f}", ReasonCode::MalformedPacket, "ends within");
        no("0001 00 {} 00", ReasonCode::MalformedPacket, "bytes after");
        no(
            "0001 00 8000",
            ReasonCode::MalformedPacket,
            "needless bytes",
        );
    }
}
