//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use bytes::BytesMut;

use super::acknowledgement;
use super::error::Fault;
use super::property::Property;
use super::reader::Reader;
use super::writer::packet;
use crate::{AckProperties, EncodeError, ProtocolVersion, ReasonCode, UnsubAck, Unsubscribe};

/// Reason codes of UNSUBACK [MQTT-3.11.3-2].
const ANSWERS: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::NoSubscriptionExisted,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
];

pub(super) fn decode(
    mut reader: Reader<'_>,
    version: ProtocolVersion,
) -> Result<Unsubscribe, Fault> {
    let mut unsubscribe = Unsubscribe {
        packet_id: reader.packet_id()?,
        user_properties: Vec::new(),
        filters: Vec::new(),
    };
    if version == ProtocolVersion::V5 {
        let mut section = reader.properties()?;
        while let Some(property) = section.property()? {
            match property {
                Property::UserProperty => {
                    unsubscribe.user_properties.push(section.string_pair()?);
                }
                _ => return Err(Fault::PropertyNotAllowed),
            }
        }
    }
    while !reader.is_empty() {
        unsubscribe.filters.push(reader.topic_filter()?); // [MQTT-3.10.3-1]
    }
    if unsubscribe.filters.is_empty() {
        return Err(Fault::Empty); // [MQTT-3.10.3-2]
    }
    Ok(unsubscribe)
}

pub(super) fn decode_ack(
    mut reader: Reader<'_>,
    version: ProtocolVersion,
) -> Result<UnsubAck, Fault> {
    let mut unsuback = UnsubAck {
        packet_id: reader.packet_id()?,
        properties: AckProperties::default(),
        reason_codes: Vec::new(),
    };
    if version == ProtocolVersion::V5 {
        unsuback.properties = acknowledgement::decode_properties(&mut reader)?;
        while !reader.is_empty() {
            unsuback.reason_codes.push(reader.reason_code(ANSWERS)?);
        }
        if unsuback.reason_codes.is_empty() {
            return Err(Fault::Empty); // [MQTT-3.11.3-1]
        }
    }
    reader.finish()?;
    Ok(unsuback)
}

pub(super) fn encode(
    first_byte: u8,
    unsubscribe: &Unsubscribe,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    if unsubscribe.filters.is_empty() {
        return Err(EncodeError::Empty); // [MQTT-3.10.3-2]
    }
    packet(first_byte, buffer, |writer| {
        writer.packet_id(unsubscribe.packet_id);
        if version == ProtocolVersion::V5 {
            writer.properties(|writer| writer.user_properties(&unsubscribe.user_properties))?;
        }
        for filter in &unsubscribe.filters {
            writer.field(filter.as_shared().as_bytes())?;
        }
        Ok(())
    })
}

pub(super) fn encode_ack(
    first_byte: u8,
    unsuback: &UnsubAck,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    if version == ProtocolVersion::V5 && unsuback.reason_codes.is_empty() {
        return Err(EncodeError::Empty); // [MQTT-3.11.3-1]
    }
    packet(first_byte, buffer, |writer| {
        writer.packet_id(unsuback.packet_id);
        if version == ProtocolVersion::V5 {
            acknowledgement::encode_properties(&unsuback.properties, writer)?;
            for code in &unsuback.reason_codes {
                writer.u8(code.as_u8());
            }
        }
        Ok(())
    })
}
