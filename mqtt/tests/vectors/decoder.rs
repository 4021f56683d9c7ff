//! The fixed header (section 2.1), and who may send what and when.

use bytes::BytesMut;
use mqtt::{DecodeError, Decoder, Packet, PacketType, ReasonCode, Side};

use crate::notation::{framed, packet};
use crate::*;

fn step(decoder: &mut Decoder, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    decoder.decode(&mut BytesMut::from(bytes))
}

/// [MQTT-2.1.3-1] B1: refused by the first byte alone.
/// [MQTT3-2.2.2-1]
#[test]
fn reserved_flags_are_refused() {
    for vector in corpus() {
        let first = vector.bytes[0];
        for flags in 0..16 {
            let is_publish = first >> 4 == PacketType::Publish.as_u8();
            let is_repeated = vector.version == V3 && first & 0xF == 0b1010;
            let repeats = vector.version == V3 && first & 0xF == 0b0010 && flags == 0b1010;
            if is_publish || is_repeated || repeats || flags == first & 0xF {
                continue;
            }
            let malformed = ReasonCode::MalformedPacket;
            let bytes = [first & 0xF0 | flags];
            refuse(
                vector.side,
                vector.version,
                &bytes,
                malformed,
                "[MQTT-2.1.3-1]",
            );
        }
    }
}

/// B6: refused by the first byte alone.
#[test]
fn reserved_types_are_refused() {
    for version in ALL {
        for flags in 0..16 {
            let reason = ReasonCode::MalformedPacket;
            refuse(
                Side::Server,
                version,
                &[flags],
                reason,
                "reserved packet type",
            );
        }
        assert_eq!(
            decode(Side::Server, version, &[0]).unwrap_err().packet(),
            None
        );
    }
    refuse(
        Side::Server,
        V4,
        &[0xF0],
        ReasonCode::MalformedPacket,
        "reserved packet type",
    );
}

/// [MQTT-1.5.5-1] B4
#[test]
fn a_remaining_length_has_one_form_of_at_most_four_bytes() {
    let malformed = ReasonCode::MalformedPacket;
    for version in ALL {
        for length in ["8000", "808000", "80808000"] {
            let bytes = notation::bytes(&format!("c0 {length}"));
            refuse(
                Side::Server,
                version,
                &bytes,
                malformed,
                "needless bytes [MQTT-1.5.5-1]",
            );
        }
        let bytes = notation::bytes("30 85 8000 'abc'");
        refuse(Side::Server, version, &bytes, malformed, "needless bytes");
        for length in ["80808080", "ffffffff", "8080808001"] {
            let bytes = notation::bytes(&format!("30 {length}"));
            refuse(
                Side::Server,
                version,
                &bytes,
                malformed,
                "longer than four bytes",
            );
        }
    }
    let bytes = notation::bytes("10 8f00 'MQTT' 04 02 003c 0003 `abc`");
    refuse(Side::Server, V4, &bytes, malformed, "needless bytes");
}

/// [MQTT-3.1.2-24] [MQTT-3.2.2-15] B5: the whole packet counts, and nothing is awaited.
#[test]
fn a_packet_that_is_too_large_is_refused_by_its_fixed_header() {
    let body = [&notation::bytes("'a'")[..], &[b'x'; 197]].concat();
    let bytes = framed(0x30, &body);
    assert_eq!(bytes.len(), 203);
    let mut decoder = Decoder::new(Side::Server, 202);
    decoder.set_version(V4);
    let error = step(&mut decoder, &bytes[..3]).unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    assert_eq!(error.label(), "too_large");
    assert_eq!(
        error.to_string(),
        "PUBLISH: larger than the maximum packet size [MQTT-3.1.2-24]"
    );
    assert_eq!(step(&mut decoder, &bytes[..2]), Ok(None));
    decoder.set_maximum_packet_size(203);
    assert!(matches!(step(&mut decoder, &bytes), Ok(Some(_))));

    // The largest of all: its length is known, and the rest awaited.
    let mut decoder = Decoder::new(Side::Server, MAXIMUM_PACKET_SIZE_BYTES);
    decoder.set_version(V4);
    assert_eq!(
        step(&mut decoder, &notation::bytes("30 ffffff7f 0001 61")),
        Ok(None)
    );
}

/// [MQTT-3.1.0-1]
#[test]
fn nothing_comes_before_connect() {
    for kind in PacketType::ALL
        .into_iter()
        .filter(|kind| *kind != PacketType::Connect)
    {
        let mut decoder = Decoder::new(Side::Server, 1000);
        let error = step(&mut decoder, &[kind.as_u8() << 4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{kind}: before CONNECT [MQTT-3.1.0-1]")
        );
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        assert_eq!(error.label(), "order");
        assert_eq!(decoder.version(), None);
    }
    // Somebody who speaks HTTP or TLS.
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01"] {
        assert!(step(&mut Decoder::new(Side::Server, 1000), bytes).is_err());
    }
}

/// [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_refused() {
    for (version, body) in [
        (V3, "'MQIsdp' 03 02 003c 'c'"),
        (V4, "'MQTT' 04 02 003c 'c'"),
        (V5, "'MQTT' 05 02 003c {} 'c'"),
    ] {
        let connect = packet(0x10, body);
        let mut buffer = BytesMut::from(&[&connect[..], &connect].concat()[..]);
        let mut decoder = Decoder::new(Side::Server, 1000);
        assert!(matches!(
            decoder.decode(&mut buffer),
            Ok(Some(Packet::Connect(_)))
        ));
        assert_eq!(decoder.version(), Some(version));
        let error = decoder.decode(&mut buffer).unwrap_err();
        assert_eq!(error.to_string(), "CONNECT: second CONNECT [MQTT-3.1.0-2]");
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    }
}

/// The server answers a refused CONNECT as the client understands it.
#[test]
fn the_version_of_a_refused_connect_is_known() {
    let mut decoder = Decoder::new(Side::Server, 1000);
    let error = step(&mut decoder, &packet(0x10, "'MQTT' 04 00 003c ''")).unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ClientIdentifierNotValid);
    assert_eq!(decoder.version(), Some(V4));

    let mut decoder = Decoder::new(Side::Server, 1000);
    assert!(step(&mut decoder, &packet(0x10, "'MQTT' 07 00 003c ''")).is_err());
    assert_eq!(decoder.version(), None);
}

/// B8
#[test]
fn a_packet_of_the_other_side_is_refused() {
    use PacketType::*;
    for version in ALL {
        let error = ReasonCode::ProtocolError;
        for kind in [ConnAck, SubAck, UnsubAck, PingResp] {
            let what = "not a packet that this side may receive";
            refuse(Side::Server, version, &[kind.as_u8() << 4, 0], error, what);
        }
        for kind in [Connect, Subscribe, Unsubscribe, PingReq] {
            let what = "not a packet that this side may receive";
            refuse(Side::Client, version, &[kind.as_u8() << 4, 0], error, what);
        }
    }
    let mut client = Decoder::new(Side::Client, 1000);
    let error = step(&mut client, &packet(0x20, "0000")).unwrap_err();
    assert_eq!(error.to_string(), "CONNACK: protocol version not known yet");
}

/// Several packets in one buffer come out one by one.
#[test]
fn a_stream_is_a_sequence_of_packets() {
    for version in ALL {
        let vectors: Vec<Vector> = corpus()
            .into_iter()
            .filter(|vector| vector.side == Side::Server && vector.version == version)
            .filter(|vector| vector.bytes[0] != 0x10)
            .collect();
        let stream: Vec<u8> = vectors
            .iter()
            .flat_map(|vector| vector.bytes.clone())
            .collect();
        let mut decoder = Decoder::new(Side::Server, 1000);
        decoder.set_version(version);
        let mut buffer = BytesMut::new();
        let mut packets = Vec::new();
        for piece in stream.chunks(7) {
            buffer.extend_from_slice(piece);
            while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
                packets.push(packet);
            }
        }
        assert!(buffer.is_empty());
        assert!(
            packets
                .iter()
                .eq(vectors.iter().map(|vector| &vector.packet))
        );
    }
}
