//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), and the properties they share
//! with SUBACK and UNSUBACK.

use bytes::{BufMut, BytesMut};

use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::{Writer, packet};
use crate::{Ack, AckProperties, EncodeError, ProtocolVersion, ReasonCode};

/// Reason codes of PUBACK and PUBREC [MQTT-3.4.2-1] [MQTT-3.5.2-1].
pub(super) const RECEIVED: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::NoMatchingSubscribers,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::PayloadFormatInvalid,
];

/// Reason codes of PUBREL and PUBCOMP [MQTT-3.6.2-1] [MQTT-3.7.2-1].
pub(super) const RELEASED: &[ReasonCode] =
    &[ReasonCode::Success, ReasonCode::PacketIdentifierNotFound];

pub(super) fn decode(
    mut reader: Reader<'_>,
    version: ProtocolVersion,
    allowed: &[ReasonCode],
) -> Result<Ack, Fault> {
    let mut ack = Ack::new(reader.packet_id()?, ReasonCode::Success);
    // The reason code and then the properties may be left out (sections 3.4.2.1, 3.4.2.2.1).
    if version == ProtocolVersion::V5 && !reader.is_empty() {
        ack.reason_code = reader.reason_code(allowed)?;
        if !reader.is_empty() {
            ack.properties = decode_properties(&mut reader)?;
        }
    }
    reader.finish()?;
    Ok(ack)
}

pub(super) fn decode_properties(reader: &mut Reader<'_>) -> Result<AckProperties, Fault> {
    let mut properties = AckProperties::default();
    let mut section = reader.properties()?;
    while let Some(property) = section.property()? {
        match property {
            Property::ReasonString => once(&mut properties.reason_string, section.string()?)?,
            Property::UserProperty => properties.user_properties.push(section.string_pair()?),
            _ => return Err(Fault::PropertyNotAllowed),
        }
    }
    Ok(properties)
}

pub(super) fn encode(
    first_byte: u8,
    ack: &Ack,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let says_more = version == ProtocolVersion::V5
        && (ack.reason_code != ReasonCode::Success || !ack.properties.is_empty());
    if !says_more {
        let [high, low] = ack.packet_id.get().to_be_bytes();
        buffer.put_slice(&[first_byte, 2, high, low]);
        return Ok(());
    }
    packet(first_byte, buffer, |writer| {
        writer.packet_id(ack.packet_id);
        writer.u8(ack.reason_code.as_u8());
        if ack.properties.is_empty() {
            return Ok(());
        }
        encode_properties(&ack.properties, writer)
    })
}

pub(super) fn encode_properties(
    properties: &AckProperties,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    writer.properties(|writer| {
        writer.property_string(Property::ReasonString, properties.reason_string.as_ref())?;
        writer.user_properties(&properties.user_properties)
    })
}
