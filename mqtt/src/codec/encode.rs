//! Packets to bytes. Each packet is written in the file named after it.

use bytes::{BufMut, BytesMut};

use super::publish::encode_publish;
use super::{acknowledgement, auth, connack, connect, disconnect, subscribe, unsubscribe};
use crate::{EncodeError, Packet, PacketType, ProtocolVersion};

/// Appends `packet` as `version` writes it; a CONNECT says its own version.
///
/// What the version does not have is left out. A QoS 0 PUBLISH is written without DUP and
/// packet identifier whatever it says. Whether a reason code belongs to its packet is not
/// checked here; another decoder, like ours, may refuse one that does not.
///
/// # Errors
///
/// [`EncodeError`]; the buffer is then as before.
#[inline]
pub fn encode(
    packet: &Packet,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    match packet {
        Packet::Publish(publish) => encode_publish(publish, version, buffer),
        _ => encode_other(packet, version, buffer),
    }
}

fn encode_other(
    packet: &Packet,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let first_byte = first_byte(packet.packet_type());
    match packet {
        Packet::Connect(connect) => connect::encode(first_byte, connect, buffer),
        Packet::ConnAck(connack) => connack::encode(first_byte, connack, version, buffer),
        Packet::Publish(publish) => encode_publish(publish, version, buffer),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            acknowledgement::encode(first_byte, ack, version, buffer)
        }
        Packet::Subscribe(packet) => subscribe::encode(first_byte, packet, version, buffer),
        Packet::SubAck(suback) => subscribe::encode_ack(first_byte, suback, version, buffer),
        Packet::Unsubscribe(packet) => unsubscribe::encode(first_byte, packet, version, buffer),
        Packet::UnsubAck(unsuback) => {
            unsubscribe::encode_ack(first_byte, unsuback, version, buffer)
        }
        Packet::PingReq | Packet::PingResp => {
            buffer.put_slice(&[first_byte, 0]);
            Ok(())
        }
        Packet::Disconnect(packet) => disconnect::encode(first_byte, packet, version, buffer),
        Packet::Auth(_) if version != ProtocolVersion::V5 => Err(EncodeError::NotInVersion),
        Packet::Auth(auth) => auth::encode(first_byte, auth, buffer),
    }
}

/// The number of the packet and the flags that it always has [MQTT-2.1.3-1].
const fn first_byte(packet_type: PacketType) -> u8 {
    let flags = match packet_type {
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
        _ => 0,
    };
    packet_type.as_u8() << 4 | flags
}
