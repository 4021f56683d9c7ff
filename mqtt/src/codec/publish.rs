//! PUBLISH (section 3.3), and the properties it shares with a will.

use std::num::NonZeroU16;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Side;
use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::{
    MAXIMUM_REMAINING_LENGTH, Writer, check_subscription_identifier, put_variable, variable_size,
};
use crate::{
    DecodeError, EncodeError, Message, MessageProperties, Packet, PacketId, PacketType,
    ProtocolVersion, Publish, PublishHeader, Qos, TopicName,
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

/// Size of the whole packet in bytes, payload included, if it can be written at all.
///
/// For comparison with the receiver's Maximum Packet Size [MQTT-3.1.2-24].
#[must_use]
pub fn publish_size(header: &PublishHeader<'_>, version: ProtocolVersion) -> usize {
    let remaining = sizes(header, version).0;
    1 + variable_size(remaining) + remaining
}

/// Appends everything but the payload, whose `payload_bytes` bytes the caller writes next.
///
/// Reads the topic name as it is: it must be the text of a topic name. Does not allocate,
/// except for what `buffer` lacks.
///
/// # Errors
///
/// [`EncodeError`]; the buffer is then as before.
pub fn encode_publish_header(
    header: &PublishHeader<'_>,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let (remaining, properties_bytes) = sizes(header, version);
    let topic_bytes = check(header, version, remaining)?;
    // [MQTT-2.2.1-2] [MQTT-2.2.1-4]
    let (packet_id, dup) = match (header.qos, header.packet_id) {
        (Qos::AtMostOnce, _) => (None, false), // [MQTT-3.3.1-2]
        (_, None) => return Err(EncodeError::NoPacketId),
        (_, Some(packet_id)) => (Some(packet_id), header.dup),
    };
    let flags = u8::from(dup) << 3 | header.qos.as_u8() << 1 | u8::from(header.retain);

    let first_byte = PacketType::Publish.as_u8() << 4 | flags;
    let [high, low] = topic_bytes.to_be_bytes();

    // The usual sizes in few pieces, because each piece asks for room.
    buffer.reserve(5 + remaining - header.payload_bytes);
    match remaining {
        0..0x80 => buffer.put_slice(&[first_byte, remaining as u8, high, low]),
        0x80..0x4000 => {
            let (one, two) = (remaining as u8 | 0x80, (remaining >> 7) as u8);
            buffer.put_slice(&[first_byte, one, two, high, low]);
        }
        _ => {
            buffer.put_u8(first_byte);
            put_variable(remaining, buffer);
            buffer.put_slice(&[high, low]);
        }
    }
    buffer.put_slice(header.topic_name.as_bytes());
    if let Some(packet_id) = packet_id {
        buffer.put_slice(&packet_id.get().to_be_bytes());
    }
    if version == ProtocolVersion::V5 {
        put_variable(properties_bytes, buffer);
        if properties_bytes > 0 {
            put_properties(header, buffer);
        }
    }
    Ok(())
}

/// The length of the topic name, unless something about the packet cannot be written.
fn check(
    header: &PublishHeader<'_>,
    version: ProtocolVersion,
    remaining: usize,
) -> Result<u16, EncodeError> {
    let topic_bytes =
        u16::try_from(header.topic_name.len()).map_err(|_| EncodeError::FieldTooLong)?;
    let has_alias = version == ProtocolVersion::V5 && header.topic_alias.is_some();
    if topic_bytes == 0 && !has_alias {
        return Err(EncodeError::NoTopic);
    }
    if version == ProtocolVersion::V5 {
        let correlation_data = header.properties.correlation_data.as_ref();
        if correlation_data.is_some_and(|data| data.len() > usize::from(u16::MAX)) {
            return Err(EncodeError::FieldTooLong);
        }
        for identifier in header.subscription_identifiers {
            check_subscription_identifier(*identifier)?;
        }
    }
    if remaining > MAXIMUM_REMAINING_LENGTH {
        return Err(EncodeError::TooLarge);
    }
    Ok(topic_bytes)
}

/// Remaining Length, payload included, and the length of the properties.
fn sizes(header: &PublishHeader<'_>, version: ProtocolVersion) -> (usize, usize) {
    let packet_id = match header.qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce | Qos::ExactlyOnce => 2,
    };
    let without_properties = 2 + header.topic_name.len() + packet_id + header.payload_bytes;
    match version {
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => (without_properties, 0),
        ProtocolVersion::V5 => {
            let bytes = properties_size(header);
            (without_properties + variable_size(bytes) + bytes, bytes)
        }
    }
}

fn expiry(header: &PublishHeader<'_>) -> Option<u32> {
    header
        .message_expiry_interval
        .or(header.properties.message_expiry_interval)
}

fn properties_size(header: &PublishHeader<'_>) -> usize {
    let p = header.properties;
    let field = |length: Option<usize>| length.map_or(0, |length| 3 + length);
    let identifiers = header.subscription_identifiers.iter();
    let users = p.user_properties.iter();
    p.payload_format_indicator.map_or(0, |_| 2)
        + expiry(header).map_or(0, |_| 5)
        + header.topic_alias.map_or(0, |_| 3)
        + field(p.content_type.as_ref().map(|text| text.len()))
        + field(p.response_topic.as_ref().map(|topic| topic.len()))
        + field(p.correlation_data.as_ref().map(Bytes::len))
        + identifiers
            .map(|identifier| 1 + variable_size(*identifier as usize))
            .sum::<usize>()
        + users
            .map(|(name, value)| 5 + name.len() + value.len())
            .sum::<usize>()
}

fn put_properties(header: &PublishHeader<'_>, buffer: &mut BytesMut) {
    use Property as P;
    let p = header.properties;
    if let Some(is_text) = p.payload_format_indicator {
        buffer.put_slice(&[P::PayloadFormatIndicator as u8, u8::from(is_text)]);
    }
    if let Some(seconds) = expiry(header) {
        buffer.put_u8(P::MessageExpiryInterval as u8);
        buffer.put_u32(seconds);
    }
    if let Some(alias) = header.topic_alias {
        buffer.put_u8(P::TopicAlias as u8);
        buffer.put_u16(alias.get());
    }
    if let Some(content_type) = &p.content_type {
        put_field(P::ContentType, content_type.as_bytes(), buffer);
    }
    if let Some(topic) = &p.response_topic {
        put_field(P::ResponseTopic, topic.as_bytes(), buffer);
    }
    if let Some(data) = &p.correlation_data {
        put_field(P::CorrelationData, data, buffer);
    }
    for identifier in header.subscription_identifiers {
        buffer.put_u8(P::SubscriptionIdentifier as u8);
        put_variable(*identifier as usize, buffer);
    }
    for (name, value) in &p.user_properties {
        put_field(P::UserProperty, name.as_bytes(), buffer);
        buffer.put_u16(value.len() as u16);
        buffer.put_slice(value.as_bytes());
    }
}

/// Its length has been checked, or is that of a string, which has at most 65 535 bytes.
fn put_field(property: Property, bytes: &[u8], buffer: &mut BytesMut) {
    buffer.put_u8(property as u8);
    buffer.put_u16(bytes.len() as u16);
    buffer.put_slice(bytes);
}
