//! Bytes in, bytes out: one file per packet type, the packets of one printed document, and
//! tests over all of them together.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod acknowledgement;
mod article;
mod auth;
mod connack;
mod connect;
mod decoder;
mod disconnect;
mod encoder;
mod mutation;
mod notation;
mod oracle;
mod ping;
mod publish;
mod random;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;

use bytes::{Bytes, BytesMut};
use mqtt::{
    DecodeError, Decoder, MAXIMUM_PACKET_SIZE_BYTES, Packet, PacketId, PacketType, ProtocolVersion,
    ReasonCode, Side, Str, TopicFilter, TopicName, encode,
};

const V3: ProtocolVersion = ProtocolVersion::V3_1;
const V4: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;
const ALL: [ProtocolVersion; 3] = [V3, V4, V5];

/// A legal packet: how it is written, and what it says.
#[derive(Debug, Clone)]
struct Vector {
    /// Who receives it.
    side: Side,
    version: ProtocolVersion,
    bytes: Vec<u8>,
    packet: Packet,
    /// Whether this is how we write it.
    ours: bool,
}

/// A packet as we write it ourselves.
fn exact(side: Side, version: ProtocolVersion, bytes: Vec<u8>, packet: Packet) -> Vector {
    Vector {
        side,
        version,
        bytes,
        packet,
        ours: true,
    }
}

/// A packet that we accept, but write in another way.
fn loose(side: Side, version: ProtocolVersion, bytes: Vec<u8>, packet: Packet) -> Vector {
    Vector {
        side,
        version,
        bytes,
        packet,
        ours: false,
    }
}

/// All legal packets of all files.
fn corpus() -> Vec<Vector> {
    [
        acknowledgement::vectors(),
        article::vectors(),
        auth::vectors(),
        connack::vectors(),
        connect::vectors(),
        disconnect::vectors(),
        ping::vectors(),
        publish::vectors(),
        suback::vectors(),
        subscribe::vectors(),
        unsuback::vectors(),
        unsubscribe::vectors(),
    ]
    .concat()
}

/// A decoder in the state in which `first_byte` may arrive.
fn decoder(side: Side, version: ProtocolVersion, first_byte: u8) -> Decoder {
    let mut decoder = Decoder::new(side, MAXIMUM_PACKET_SIZE_BYTES);
    if side == Side::Client || first_byte >> 4 != PacketType::Connect.as_u8() {
        decoder.set_version(version);
    }
    decoder
}

fn decode(
    side: Side,
    version: ProtocolVersion,
    bytes: &[u8],
) -> Result<Option<Packet>, DecodeError> {
    let mut decoder = decoder(side, version, *bytes.first().unwrap_or(&0));
    decoder.decode(&mut BytesMut::from(bytes))
}

fn encoded(packet: &Packet, version: ProtocolVersion) -> Vec<u8> {
    let mut buffer = BytesMut::from(&b"before"[..]);
    encode(packet, version, &mut buffer).unwrap();
    assert_eq!(&buffer[..6], b"before");
    buffer[6..].to_vec()
}

/// Decodes and encodes each packet, whole, in part and with another one after it.
fn check(vectors: &[Vector]) {
    for Vector {
        side,
        version,
        bytes,
        packet,
        ours,
    } in vectors
    {
        let mut state = decoder(*side, *version, bytes[0]);
        let mut buffer = BytesMut::from(&bytes[..]);
        buffer.extend_from_slice(b"after");
        let decoded = state
            .decode(&mut buffer)
            .unwrap_or_else(|e| panic!("{e}: {bytes:02x?}"));
        assert_eq!(decoded.as_ref(), Some(packet), "{bytes:02x?}");
        assert_eq!(&buffer[..], b"after");
        assert_eq!(state.version(), Some(*version));

        for length in 0..bytes.len() {
            let mut part = BytesMut::from(&bytes[..length]);
            let mut state = decoder(*side, *version, bytes[0]);
            assert_eq!(
                state.decode(&mut part),
                Ok(None),
                "{bytes:02x?} up to {length}"
            );
            assert_eq!(&part[..], &bytes[..length]);
        }
        let written = encoded(packet, *version);
        if *ours {
            assert_eq!(written, *bytes, "{packet:?}");
        } else {
            assert_ne!(written, *bytes, "{packet:?}");
            assert_eq!(decode(*side, *version, &written), Ok(Some(packet.clone())));
        }
    }
}

/// Refuses the packet with this reason code and a text that names the packet and `what`.
#[track_caller]
fn refuse(side: Side, version: ProtocolVersion, bytes: &[u8], reason: ReasonCode, what: &str) {
    let error = decode(side, version, bytes).expect_err(what);
    assert_eq!(error.reason_code(), reason, "{error}");
    assert_eq!(error.packet(), PacketType::from_u8(bytes[0] >> 4));
    let name = error.packet().map_or("packet", PacketType::name);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("{name}: ")) && text.contains(what),
        "{text}; not: {what}"
    );
    assert!(!error.label().is_empty());
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn s(text: &str) -> Str {
    Str::new(text).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn blob(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(Str, Str)> {
    pairs
        .iter()
        .map(|(name, value)| (s(name), s(value)))
        .collect()
}
