//! PUBLISH to bytes. This is done for every message and every subscriber.

use bytes::{Bytes, BytesMut};

use crate::codec::property::Property;
use crate::codec::writer::{
    MAXIMUM_REMAINING_LENGTH, check_subscription_identifier, put_variable, variable_size,
};
use crate::{EncodeError, PacketId, PacketType, ProtocolVersion, Publish, PublishHeader, Qos};

/// Size of the whole packet in bytes, payload included, if it can be written at all.
///
/// For comparison with the receiver's Maximum Packet Size [MQTT-3.1.2-24].
#[must_use]
pub fn publish_size(header: &PublishHeader<'_>, version: ProtocolVersion) -> usize {
    let (remaining, _) = match version {
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => sizes::<MQTT_3>(header),
        ProtocolVersion::V5 => sizes::<RICH>(header),
    };
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
#[inline]
pub fn encode_publish_header(
    header: &PublishHeader<'_>,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    match version {
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => put_header::<MQTT_3>(header, buffer),
        ProtocolVersion::V5 if is_plain(header) => put_header::<PLAIN>(header, buffer),
        ProtocolVersion::V5 => put_header::<RICH>(header, buffer),
    }
}

/// Appends a whole PUBLISH.
#[inline]
pub(in crate::codec) fn encode_publish(
    publish: &Publish,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    match version {
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => put::<MQTT_3>(publish, buffer),
        ProtocolVersion::V5 if is_plain(&publish.header()) => put::<PLAIN>(publish, buffer),
        ProtocolVersion::V5 => put::<RICH>(publish, buffer),
    }
}

/// How a PUBLISH is written: as in MQTT 3, or as in MQTT 5 without properties or with some.
const MQTT_3: u8 = 0;
const PLAIN: u8 = 1;
const RICH: u8 = 2;

/// A function for each form, so that the compiler keeps what it needs in registers.
#[inline(never)]
fn put<const FORM: u8>(publish: &Publish, buffer: &mut BytesMut) -> Result<(), EncodeError> {
    put_header::<FORM>(&publish.header(), buffer)?;
    buffer.extend_from_slice(&publish.message.payload);
    Ok(())
}

#[inline]
fn put_header<const FORM: u8>(
    header: &PublishHeader<'_>,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let (remaining, properties_bytes) = sizes::<FORM>(header);
    let topic_bytes = check::<FORM>(header, remaining)?;
    // [MQTT-2.2.1-2] [MQTT-2.2.1-4]
    let (packet_id, dup) = match (header.qos, header.packet_id) {
        (Qos::AtMostOnce, _) => (None, false), // [MQTT-3.3.1-2]
        (_, None) => return Err(EncodeError::NoPacketId),
        (_, Some(packet_id)) => (Some(packet_id), header.dup),
    };
    let flags = u8::from(dup) << 3 | header.qos.as_u8() << 1 | u8::from(header.retain);

    let first_byte = PacketType::Publish.as_u8() << 4 | flags;
    let [high, low] = topic_bytes.to_be_bytes();

    // The usual sizes in few pieces, because each piece asks for room; there is room for the payload.
    buffer.reserve(5 + remaining);
    match remaining {
        0..0x80 => buffer.extend_from_slice(&[first_byte, remaining as u8, high, low]),
        0x80..0x4000 => {
            let (one, two) = (remaining as u8 | 0x80, (remaining >> 7) as u8);
            buffer.extend_from_slice(&[first_byte, one, two, high, low]);
        }
        _ => {
            buffer.extend_from_slice(&[first_byte]);
            put_variable(remaining, buffer);
            buffer.extend_from_slice(&[high, low]);
        }
    }
    buffer.extend_from_slice(header.topic_name.as_bytes());
    let [high, low] = packet_id.map_or(0, PacketId::get).to_be_bytes();
    let has_no_properties = FORM != MQTT_3 && properties_bytes == 0;
    match (packet_id.is_some(), has_no_properties) {
        (true, true) => buffer.extend_from_slice(&[high, low, 0]),
        (true, false) => buffer.extend_from_slice(&[high, low]),
        (false, true) => buffer.extend_from_slice(&[0]),
        (false, false) => {}
    }
    if FORM == RICH && properties_bytes > 0 {
        put_properties(header, properties_bytes, buffer);
    }
    Ok(())
}

/// Whether there is no property to be written, as in most messages.
#[inline]
const fn is_plain(header: &PublishHeader<'_>) -> bool {
    header.topic_alias.is_none()
        && header.message_expiry_interval.is_none()
        && header.subscription_identifiers.is_empty()
        && !header.properties.may_have_any()
}

fn check_properties(header: &PublishHeader<'_>) -> Result<(), EncodeError> {
    let correlation_data = header.properties.correlation_data.as_ref();
    if correlation_data.is_some_and(|data| data.len() > usize::from(u16::MAX)) {
        return Err(EncodeError::FieldTooLong);
    }
    for identifier in header.subscription_identifiers {
        check_subscription_identifier(*identifier)?;
    }
    Ok(())
}

/// The length of the topic name, unless something about the packet cannot be written.
#[inline]
fn check<const FORM: u8>(header: &PublishHeader<'_>, remaining: usize) -> Result<u16, EncodeError> {
    let topic_bytes =
        u16::try_from(header.topic_name.len()).map_err(|_| EncodeError::FieldTooLong)?;
    let has_alias = FORM == RICH && header.topic_alias.is_some();
    if topic_bytes == 0 && !has_alias {
        return Err(EncodeError::NoTopic);
    }
    if FORM == RICH {
        check_properties(header)?;
    }
    if remaining > MAXIMUM_REMAINING_LENGTH {
        return Err(EncodeError::TooLarge);
    }
    Ok(topic_bytes)
}

/// Remaining Length, payload included, and the length of the properties.
#[inline]
fn sizes<const FORM: u8>(header: &PublishHeader<'_>) -> (usize, usize) {
    let packet_id = match header.qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce | Qos::ExactlyOnce => 2,
    };
    let without_properties = 2 + header.topic_name.len() + packet_id + header.payload_bytes;
    match FORM {
        MQTT_3 => (without_properties, 0),
        PLAIN => (without_properties + 1, 0),
        _ => {
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

/// Appends the properties, with their length in front of them.
fn put_properties(header: &PublishHeader<'_>, properties_bytes: usize, buffer: &mut BytesMut) {
    use Property as P;
    put_variable(properties_bytes, buffer);
    let p = header.properties;
    if let Some(is_text) = p.payload_format_indicator {
        buffer.extend_from_slice(&[P::PayloadFormatIndicator as u8, u8::from(is_text)]);
    }
    if let Some(seconds) = expiry(header) {
        let [a, b, c, d] = seconds.to_be_bytes();
        buffer.extend_from_slice(&[P::MessageExpiryInterval as u8, a, b, c, d]);
    }
    if let Some(alias) = header.topic_alias {
        let [high, low] = alias.get().to_be_bytes();
        buffer.extend_from_slice(&[P::TopicAlias as u8, high, low]);
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
        buffer.extend_from_slice(&[P::SubscriptionIdentifier as u8]);
        put_variable(*identifier as usize, buffer);
    }
    for (name, value) in &p.user_properties {
        put_field(P::UserProperty, name.as_bytes(), buffer);
        buffer.extend_from_slice(&(value.len() as u16).to_be_bytes());
        buffer.extend_from_slice(value.as_bytes());
    }
}

/// Its length has been checked, or is that of a string, which has at most 65 535 bytes.
fn put_field(property: Property, bytes: &[u8], buffer: &mut BytesMut) {
    let [high, low] = (bytes.len() as u16).to_be_bytes();
    buffer.extend_from_slice(&[property as u8, high, low]);
    buffer.extend_from_slice(bytes);
}
