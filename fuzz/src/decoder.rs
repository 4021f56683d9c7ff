//! The packet decoder and encoder of `mqtt`.
//!
//! An input is a byte that says who decodes which version, a byte that says in what pieces the
//! bytes arrive, and the bytes.

use bytes::BytesMut;
use mqtt::{
    DecodeError, Decoder, MAXIMUM_PACKET_SIZE_BYTES, Packet, PacketType, ProtocolVersion, Publish,
    Qos, Side, encode, encode_publish_header, publish_size,
};

use crate::pieces::pieces;

/// Who decodes what.
#[derive(Clone, Copy)]
struct Setting {
    side: Side,
    /// None: a server before CONNECT.
    version: Option<ProtocolVersion>,
    maximum_packet_size: u32,
}

impl Setting {
    fn new(control: u8) -> Self {
        let side = if control & 1 == 0 {
            Side::Server
        } else {
            Side::Client
        };
        let version = match control >> 1 & 3 {
            0 if side == Side::Server => None,
            0 | 1 => Some(ProtocolVersion::V3_1),
            2 => Some(ProtocolVersion::V3_1_1),
            _ => Some(ProtocolVersion::V5),
        };
        let maximum_packet_size = if control & 8 == 0 {
            MAXIMUM_PACKET_SIZE_BYTES
        } else {
            24
        };
        Self {
            side,
            version,
            maximum_packet_size,
        }
    }

    fn decoder(self) -> Decoder {
        let mut decoder = Decoder::new(self.side, self.maximum_packet_size);
        if let Some(version) = self.version {
            decoder.set_version(version);
        }
        decoder
    }
}

/// What a stream of bytes comes to: the packets and the length of each, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    packets: Vec<(Packet, usize)>,
    error: Option<DecodeError>,
    /// The version that the decoder goes by at the end.
    version: Option<ProtocolVersion>,
    /// What waits for the rest of a packet; nothing after an error.
    rest: Vec<u8>,
}

/// Decodes the stream as it arrives in `pieces`.
fn decode<'a>(setting: Setting, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = setting.decoder();
    let mut outcome = Outcome::default();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.clone();
            match decoder.decode(&mut buffer) {
                Ok(Some(packet)) => {
                    let length = before.len() - buffer.len();
                    assert_eq!(
                        length,
                        framed_length(&before),
                        "the Remaining Length is taken"
                    );
                    assert!(length <= setting.maximum_packet_size as usize);
                    outcome.packets.push((packet, length));
                }
                Ok(None) => {
                    assert_eq!(before, buffer, "nothing is taken of half a packet");
                    break;
                }
                Err(error) => {
                    assert!(error.reason_code().is_error() && !error.to_string().is_empty());
                    outcome.error = Some(error);
                    outcome.version = decoder.version();
                    return outcome;
                }
            }
        }
    }
    outcome.rest = buffer.to_vec();
    outcome.version = decoder.version();
    outcome
}

/// The length of the first packet, by section 2.1.4.
fn framed_length(bytes: &[u8]) -> usize {
    let mut value = 0;
    for (index, byte) in bytes[1..].iter().enumerate() {
        value += usize::from(byte % 128) * 128_usize.pow(index as u32);
        if *byte < 128 {
            return value + index + 2;
        }
    }
    panic!("a packet without a length");
}

/// Whole or in pieces, the same bytes are the same packets; and what is read can be written, and
/// is then read as the same again.
pub fn check(input: &[u8]) {
    let [control, seed, bytes @ ..] = input else {
        return;
    };
    let setting = Setting::new(*control);
    let whole = decode(setting, std::iter::once(bytes));
    let parts = decode(setting, pieces(*seed, bytes));
    assert_eq!(whole, parts, "how bytes arrive makes no difference");
    for (packet, length) in &whole.packets {
        may_arrive(packet, setting.side);
        let version = match packet {
            Packet::Connect(connect) => connect.version,
            _ => whole.version.expect("known with the first packet"),
        };
        written_and_read(packet, version, setting.side, *length);
    }
}

/// Who may send what (table 2-1), and what holds for each packet in it.
fn may_arrive(packet: &Packet, side: Side) {
    use PacketType as P;
    let packet_type = packet.packet_type();
    let is_from_server = matches!(
        packet_type,
        P::ConnAck | P::SubAck | P::UnsubAck | P::PingResp
    );
    let is_from_client = matches!(
        packet_type,
        P::Connect | P::Subscribe | P::Unsubscribe | P::PingReq
    );
    assert!(!(is_from_server && side == Side::Server), "{packet:?}");
    assert!(!(is_from_client && side == Side::Client), "{packet:?}");
    match packet {
        Packet::Publish(publish) => publish_holds(publish, side),
        Packet::Connect(connect) => {
            if let Some(will) = &connect.will {
                assert!(!will.message.topic_name.is_empty());
                assert!(!will.message.topic_name.contains(['+', '#', '\0']));
            }
        }
        Packet::Subscribe(subscribe) => assert!(!subscribe.subscriptions.is_empty()),
        Packet::Unsubscribe(unsubscribe) => assert!(!unsubscribe.filters.is_empty()),
        _ => {}
    }
}

fn publish_holds(publish: &Publish, side: Side) {
    let qos = publish.message.qos;
    let topic_name = &publish.message.topic_name;
    assert_eq!(publish.packet_id.is_some(), qos != Qos::AtMostOnce); // [MQTT-2.2.1-2]
    assert!(!(publish.dup && qos == Qos::AtMostOnce)); // [MQTT-3.3.1-2]
    assert!(!topic_name.contains(['+', '#', '\0'])); // [MQTT-3.3.2-2]
    assert!(!topic_name.is_empty() || publish.topic_alias.is_some());
    assert!(side == Side::Client || publish.subscription_identifiers.is_empty()); // [MQTT-3.3.4-6]
}

fn written_and_read(packet: &Packet, version: ProtocolVersion, side: Side, length: usize) {
    let mut written = BytesMut::from(&b"before"[..]);
    encode(packet, version, &mut written)
        .unwrap_or_else(|error| panic!("what is read can be written: {error}: {packet:?}"));
    let mut written = written.split_off(6);
    assert!(
        written.len() <= length + 2,
        "{length} bytes became {}: {packet:?}",
        written.len()
    );
    if let Packet::Publish(publish) = packet {
        in_two_parts(publish, version, &written);
    }
    let bytes = written.clone().freeze();
    let setting = Setting {
        side,
        version: (packet.packet_type() != PacketType::Connect).then_some(version),
        maximum_packet_size: MAXIMUM_PACKET_SIZE_BYTES,
    };
    let again = setting.decoder().decode(&mut written);
    assert_eq!(again.as_ref(), Ok(&Some(packet.clone())), "{bytes:?}");
    assert!(written.is_empty());
}

/// PUBLISH is also written without its payload, which goes beside it.
fn in_two_parts(publish: &Publish, version: ProtocolVersion, whole: &[u8]) {
    let header = publish.header();
    let mut parts = BytesMut::new();
    encode_publish_header(&header, version, &mut parts).unwrap();
    parts.extend_from_slice(&publish.message.payload);
    assert_eq!(parts, whole);
    assert_eq!(publish_size(&header, version), whole.len());
}

/// Which packet an input starts with, if it decodes: for the test that the seeds have them all.
#[must_use]
pub fn first_packet(input: &[u8]) -> Option<(Side, ProtocolVersion, PacketType)> {
    let [control, _, bytes @ ..] = input else {
        return None;
    };
    let setting = Setting::new(*control);
    let mut decoder = setting.decoder();
    let packet = decoder.decode(&mut BytesMut::from(bytes)).ok()??;
    Some((setting.side, decoder.version()?, packet.packet_type()))
}
