//! Packets out of a stream of bytes: the fixed header (section 2.1), and who may send what
//! and when. The rest of each packet is read in the file named after it.

use bytes::{Buf, BytesMut};

use super::error::Fault;
use super::reader::{Reader, variable};
use super::{acknowledgement, auth, connack, connect, disconnect, publish, subscribe, unsubscribe};
use crate::{Ack, DecodeError, Packet, PacketId, PacketType, ProtocolVersion, ReasonCode};

/// Who is decoding, and therefore which packets may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Decodes what clients send.
    Server,
    /// Decodes what the server sends.
    Client,
}

/// Takes packets off the read buffer of one connection.
///
/// A server's decoder learns the version from CONNECT, refuses any other packet before it
/// [MQTT-3.1.0-1] and a second one after it [MQTT-3.1.0-2]. A client's decoder must be
/// told the version.
#[derive(Debug, Clone)]
pub struct Decoder {
    side: Side,
    version: Option<ProtocolVersion>,
    maximum_packet_size: u32,
}

impl Decoder {
    /// A decoder for one connection, for packets of at most `maximum_packet_size` bytes,
    /// fixed header included.
    #[must_use]
    pub const fn new(side: Side, maximum_packet_size: u32) -> Self {
        Self {
            side,
            version: None,
            maximum_packet_size,
        }
    }

    /// The version, once it is known: also when the rest of CONNECT was refused, so that
    /// the refusal can be written as the client understands it.
    #[must_use]
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// Goes on as after a CONNECT of this version.
    pub const fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }

    /// Sets the largest packet to accept from now on, in bytes, fixed header included.
    pub const fn set_maximum_packet_size(&mut self, bytes: u32) {
        self.maximum_packet_size = bytes;
    }

    /// Takes the next packet off `buffer`; none if it has not arrived completely, and then
    /// nothing is taken.
    ///
    /// Strings and payloads are slices of `buffer`, not copies. What can be refused by the
    /// first byte or the length is refused without waiting for the rest.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; then the rest of the buffer has no meaning and the connection must
    /// be closed.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(first_byte) = buffer.first().copied() else {
            return Ok(None);
        };
        let packet_type = PacketType::from_u8(first_byte >> 4)
            .ok_or(DecodeError::new(None, Fault::ReservedType))?;
        let flags = first_byte & 0x0F;
        let fail = |fault| DecodeError::new(Some(packet_type), fault);
        let frame = self.frame(packet_type, flags, buffer).map_err(fail)?;
        let Some((header_bytes, packet_bytes)) = frame else {
            return Ok(None);
        };
        if let Some(packet) = short_acknowledgement(packet_type, buffer).map_err(fail)? {
            buffer.advance(packet_bytes);
            return Ok(Some(packet));
        }
        buffer.advance(header_bytes);
        let body = buffer
            .split_to(packet_bytes.saturating_sub(header_bytes))
            .freeze();
        match (packet_type, self.version) {
            (PacketType::Publish, Some(version)) => {
                publish::decode(body, flags, version, self.side)
            }
            (PacketType::Connect, _) => connect::decode(Reader::new(&body), &mut self.version)
                .map(|connect| Some(Packet::Connect(Box::new(connect))))
                .map_err(fail),
            (_, version) => other(packet_type, version, self.side, Reader::new(&body))
                .map(Some)
                .map_err(fail),
        }
    }

    /// Length of the fixed header and of the whole packet; none if it is not all there.
    fn frame(
        &self,
        packet_type: PacketType,
        flags: u8,
        buffer: &BytesMut,
    ) -> Result<Option<(usize, usize)>, Fault> {
        self.check_order(packet_type)?;
        self.check_flags(packet_type, flags)?;
        let Some((length, length_bytes)) = variable(buffer.get(1..).unwrap_or_default())? else {
            return Ok(None);
        };
        let header_bytes = 1 + length_bytes;
        let packet_bytes = usize::try_from(length)
            .ok()
            .and_then(|length| header_bytes.checked_add(length))
            .ok_or(Fault::TooLarge)?;
        if u32::try_from(packet_bytes).map_or(true, |bytes| bytes > self.maximum_packet_size) {
            return Err(Fault::TooLarge); // [MQTT-3.1.2-24] [MQTT-3.2.2-15]
        }
        Ok((buffer.len() >= packet_bytes).then_some((header_bytes, packet_bytes)))
    }

    /// Whether this kind of packet may arrive here and now.
    fn check_order(&self, packet_type: PacketType) -> Result<(), Fault> {
        use PacketType as P;
        let version = match (self.version, packet_type, self.side) {
            (None, P::Connect, Side::Server) => return Ok(()),
            (None, _, Side::Server) => return Err(Fault::NotConnected), // [MQTT-3.1.0-1]
            (None, _, Side::Client) => return Err(Fault::VersionUnknown),
            (Some(_), P::Connect, Side::Server) => return Err(Fault::ConnectedTwice), // [MQTT-3.1.0-2]
            (Some(version), _, _) => version,
        };
        let allowed = match packet_type {
            P::Connect => false,
            P::ConnAck | P::SubAck | P::UnsubAck | P::PingResp => self.side == Side::Client,
            P::Subscribe | P::Unsubscribe | P::PingReq => self.side == Side::Server,
            // Until MQTT 5 a server cannot say why it closes a connection.
            P::Disconnect => self.side == Side::Server || version == ProtocolVersion::V5,
            P::Auth if version != ProtocolVersion::V5 => return Err(Fault::ReservedType),
            P::Publish | P::PubAck | P::PubRec | P::PubRel | P::PubComp | P::Auth => true,
        };
        if allowed {
            Ok(())
        } else {
            Err(Fault::Direction)
        }
    }

    /// The flags of all packets but PUBLISH are fixed [MQTT-2.1.3-1].
    fn check_flags(&self, packet_type: PacketType, flags: u8) -> Result<(), Fault> {
        use PacketType as P;
        let wanted = match packet_type {
            P::Publish => return Ok(()),
            // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]; in MQTT 3.1 this is QoS 1, and
            // such a packet may be repeated with DUP (MQTT 3.1, sections 3.6, 3.8 and 3.10).
            P::PubRel | P::Subscribe | P::Unsubscribe => {
                if self.version == Some(ProtocolVersion::V3_1) && flags == 0b1010 {
                    return Ok(());
                }
                0b0010
            }
            P::Connect
            | P::ConnAck
            | P::PubAck
            | P::PubRec
            | P::PubComp
            | P::SubAck
            | P::UnsubAck
            | P::PingReq
            | P::PingResp
            | P::Disconnect
            | P::Auth => 0,
        };
        if flags == wanted {
            Ok(())
        } else {
            Err(Fault::ReservedFlags)
        }
    }
}

/// The body of any packet but CONNECT and PUBLISH.
fn other(
    packet_type: PacketType,
    version: Option<ProtocolVersion>,
    side: Side,
    reader: Reader<'_>,
) -> Result<Packet, Fault> {
    use acknowledgement::{RECEIVED, RELEASED};
    let version = version.ok_or(Fault::VersionUnknown)?;
    let ack = |allowed| acknowledgement::decode(reader, version, allowed);
    match packet_type {
        PacketType::Connect | PacketType::Publish => Err(Fault::Direction),
        PacketType::ConnAck => connack::decode(reader, version).map(Packet::ConnAck),
        PacketType::PubAck => ack(RECEIVED).map(Packet::PubAck),
        PacketType::PubRec => ack(RECEIVED).map(Packet::PubRec),
        PacketType::PubRel => ack(RELEASED).map(Packet::PubRel),
        PacketType::PubComp => ack(RELEASED).map(Packet::PubComp),
        PacketType::Subscribe => subscribe::decode(reader, version).map(Packet::Subscribe),
        PacketType::SubAck => subscribe::decode_ack(reader, version).map(Packet::SubAck),
        PacketType::Unsubscribe => unsubscribe::decode(reader, version).map(Packet::Unsubscribe),
        PacketType::UnsubAck => unsubscribe::decode_ack(reader, version).map(Packet::UnsubAck),
        PacketType::PingReq => reader.finish().map(|()| Packet::PingReq),
        PacketType::PingResp => reader.finish().map(|()| Packet::PingResp),
        PacketType::Disconnect => disconnect::decode(reader, version, side).map(Packet::Disconnect),
        PacketType::Auth => auth::decode(reader, side).map(Packet::Auth),
    }
}

/// An acknowledgement of nothing but a packet identifier, which is what almost all of them
/// are: read without taking a share of the buffer.
fn short_acknowledgement(
    packet_type: PacketType,
    buffer: &BytesMut,
) -> Result<Option<Packet>, Fault> {
    let make = match packet_type {
        PacketType::PubAck => Packet::PubAck,
        PacketType::PubRec => Packet::PubRec,
        PacketType::PubRel => Packet::PubRel,
        PacketType::PubComp => Packet::PubComp,
        _ => return Ok(None),
    };
    let Some([_, 2, high, low]) = buffer.first_chunk() else {
        return Ok(None);
    };
    let packet_id = PacketId::new(u16::from_be_bytes([*high, *low])).ok_or(Fault::PacketIdZero)?;
    Ok(Some(make(Ack::new(packet_id, ReasonCode::Success))))
}
