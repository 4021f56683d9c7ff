//! PUBLISH (section 3.3), and the properties it shares with a will.

mod encode;

use std::num::NonZeroU16;

use bytes::{Buf, Bytes};

pub(in crate::codec) use encode::encode_publish;
pub use encode::{encode_publish_header, publish_size};

use super::Side;
use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::Writer;
use crate::{
    DecodeError, EncodeError, Message, MessageProperties, Packet, PacketId, PacketType,
    ProtocolVersion, Publish, Qos, TopicName,
};

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// What the properties of a PUBLISH say.
#[derive(Default)]
struct Properties {
    topic_alias: Option<NonZeroU16>,
    subscription_identifiers: Vec<u32>,
    message: MessageProperties,
}

/// What comes before the properties, and where they are.
struct Start<'a> {
    topic_name: TopicName,
    packet_id: Option<PacketId>,
    qos: Qos,
    section: Option<Reader<'a>>,
    payload_bytes: usize,
}

/// Reads a PUBLISH. The payload takes over `body`, so its bytes are shared, not copied.
///
/// The packet is put together where it is returned, twice, because moving it would cost as
/// much as reading it.
pub(super) fn decode(
    mut body: Bytes,
    flags: u8,
    version: ProtocolVersion,
    side: Side,
) -> Result<Option<Packet>, DecodeError> {
    let fail = |fault| DecodeError::new(Some(PacketType::Publish), fault);
    let start = decode_start(&body, flags, version).map_err(fail)?;
    let Start {
        topic_name,
        packet_id,
        qos,
        section,
        payload_bytes,
    } = start;
    let (dup, retain) = (flags & DUP != 0, flags & RETAIN != 0);
    let Some(section) = section else {
        if topic_name.is_empty() {
            return Err(fail(match version {
                ProtocolVersion::V5 => Fault::NoTopic,
                ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => Fault::TopicEmpty,
            }));
        }
        body.advance(body.len().saturating_sub(payload_bytes));
        return Ok(Some(Packet::Publish(Publish {
            dup,
            packet_id,
            topic_alias: None,
            subscription_identifiers: Vec::new(),
            message: Message {
                topic_name,
                payload: body,
                qos,
                retain,
                properties: MessageProperties::default(),
            },
        })));
    };
    let mut properties = Properties::default();
    decode_properties(section, &mut properties, side).map_err(fail)?;
    if topic_name.is_empty() && properties.topic_alias.is_none() {
        return Err(fail(Fault::NoTopic));
    }
    body.advance(body.len().saturating_sub(payload_bytes));
    Ok(Some(Packet::Publish(Publish {
        dup,
        packet_id,
        topic_alias: properties.topic_alias,
        subscription_identifiers: properties.subscription_identifiers,
        message: Message {
            topic_name,
            payload: body,
            qos,
            retain,
            properties: properties.message,
        },
    })))
}

#[inline]
fn decode_start(body: &Bytes, flags: u8, version: ProtocolVersion) -> Result<Start<'_>, Fault> {
    let qos = Qos::from_u8(flags >> 1 & 0b11).ok_or(Fault::Qos)?; // [MQTT-3.3.1-4]
    if flags & DUP != 0 && qos == Qos::AtMostOnce {
        return Err(Fault::DupAtQos0); // [MQTT-3.3.1-2]
    }
    let mut reader = Reader::new(body);
    let topic_name = reader.topic_name(Fault::TopicWildcard)?; // [MQTT-3.3.2-1] [MQTT-3.3.2-2]
    let packet_id = match qos {
        Qos::AtMostOnce => None, // [MQTT-2.2.1-2]
        Qos::AtLeastOnce | Qos::ExactlyOnce => Some(reader.packet_id()?),
    };
    let section = match version {
        ProtocolVersion::V5 => Some(reader.properties()?).filter(|section| !section.is_empty()),
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => None,
    };
    Ok(Start {
        topic_name,
        packet_id,
        qos,
        section,
        payload_bytes: reader.remaining(),
    })
}

fn decode_properties(
    mut section: Reader<'_>,
    properties: &mut Properties,
    side: Side,
) -> Result<(), Fault> {
    while let Some(property) = section.property()? {
        match property {
            Property::TopicAlias => {
                let alias = NonZeroU16::new(section.u16()?).ok_or(Fault::TopicAliasZero)?; // [MQTT-3.3.2-8]
                once(&mut properties.topic_alias, alias)?;
            }
            Property::SubscriptionIdentifier if side == Side::Server => {
                return Err(Fault::SubscriptionIdFromClient); // [MQTT-3.3.4-6]
            }
            Property::SubscriptionIdentifier => match section.variable()? {
                0 => return Err(Fault::SubscriptionIdZero), // section 3.3.2.3.8
                identifier => properties.subscription_identifiers.push(identifier),
            },
            other => decode_message_property(other, &mut section, &mut properties.message)?,
        }
    }
    Ok(())
}

/// A property of the message itself, in a PUBLISH or in the will of a CONNECT.
pub(super) fn decode_message_property(
    property: Property,
    section: &mut Reader<'_>,
    properties: &mut MessageProperties,
) -> Result<(), Fault> {
    use Property as P;
    match property {
        P::PayloadFormatIndicator => {
            once(&mut properties.payload_format_indicator, section.bool()?)
        }
        P::MessageExpiryInterval => once(&mut properties.message_expiry_interval, section.u32()?),
        P::ContentType => once(&mut properties.content_type, section.string()?),
        P::ResponseTopic => {
            let topic = section.topic_name(Fault::ResponseTopic)?; // [MQTT-3.3.2-14]
            if topic.is_empty() {
                return Err(Fault::ResponseTopic); // [MQTT-4.7.3-1]
            }
            once(&mut properties.response_topic, topic)
        }
        P::CorrelationData => once(&mut properties.correlation_data, section.binary()?),
        P::UserProperty => {
            properties.user_properties.push(section.string_pair()?);
            Ok(())
        }
        _ => Err(Fault::PropertyNotAllowed),
    }
}

/// The message's own properties, for a will.
pub(super) fn encode_message_properties(
    properties: &MessageProperties,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    use Property as P;
    let (w, p) = (writer, properties);
    w.property_bool(P::PayloadFormatIndicator, p.payload_format_indicator);
    w.property_u32(P::MessageExpiryInterval, p.message_expiry_interval);
    w.property_string(P::ContentType, p.content_type.as_ref())?;
    let response_topic = p.response_topic.as_deref().map(str::as_bytes);
    w.property_field(P::ResponseTopic, response_topic)?;
    w.property_field(P::CorrelationData, p.correlation_data.as_deref())?;
    w.user_properties(&p.user_properties)
}
