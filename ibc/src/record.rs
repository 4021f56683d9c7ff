//! How an Application Message is written in the database and in frames.

use bytes::{BufMut, Bytes, BytesMut};
use mqtt::{Message, MessageProperties, Qos, Str, TopicName};

use crate::wire::{Reader, put_bytes, put_text};

/// Bytes that are no record or event of a release this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The end came too early.
    #[error("record ends too early")]
    Short,
    /// A string is not what MQTT allows.
    #[error("record holds an invalid string")]
    Text,
    /// A number is out of its range.
    #[error("record holds an invalid value")]
    Value,
}

/// An Application Message with what the nodes need to know beside it.
#[derive(Debug, Clone)]
pub struct MessageRecord {
    /// The client that published it, for No Local [MQTT-3.8.3-3]. Empty: the broker itself.
    pub publisher: Str,
    /// When it expires, in milliseconds since 1970 UTC [MQTT-3.3.2-5].
    pub expires_at: Option<u64>,
    /// The message.
    pub message: Message,
}

const FORMAT: u8 = 0x01;
const CONTENT_TYPE: u8 = 0x02;
const RESPONSE_TOPIC: u8 = 0x04;
const CORRELATION_DATA: u8 = 0x08;
const USER_PROPERTIES: u8 = 0x10;
const EXPIRY: u8 = 0x20;
const TEXT: u8 = 0x40;
/// Written by this release; a later layout gets another number.
const VERSION: u8 = 1;

impl MessageRecord {
    /// The bytes that [`MessageRecord::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut buffer = BytesMut::with_capacity(self.size_hint());
        self.put_head(&mut buffer);
        buffer.extend_from_slice(&self.message.payload);
        buffer.freeze()
    }

    /// Bytes that it takes in a frame, or a few more.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let properties = &self.message.properties;
        let user_properties = properties.user_properties.iter();
        34 + self.publisher.len()
            + self.message.topic_name.len()
            + self.message.payload.len()
            + properties
                .content_type
                .as_ref()
                .map_or(0, |text| text.len())
            + properties
                .response_topic
                .as_ref()
                .map_or(0, |topic| topic.len())
            + properties.correlation_data.as_ref().map_or(0, Bytes::len)
            + user_properties
                .map(|(name, value)| 4 + name.len() + value.len())
                .sum::<usize>()
    }

    /// Everything before the payload, which ends the record.
    pub(crate) fn put_head(&self, buffer: &mut BytesMut) {
        let Message {
            topic_name,
            qos,
            retain,
            properties,
            ..
        } = &self.message;
        buffer.put_u8(VERSION);
        buffer.put_u8(qos.as_u8() | u8::from(*retain) << 2);
        buffer.put_u8(self.presence());
        put_text(&self.publisher, buffer);
        put_text(topic_name.as_str(), buffer);
        if let Some(expires_at) = self.expires_at {
            buffer.put_u64(expires_at);
            buffer.put_u32(properties.message_expiry_interval.unwrap_or(0));
        }
        if let Some(content_type) = &properties.content_type {
            put_text(content_type, buffer);
        }
        if let Some(response_topic) = &properties.response_topic {
            put_text(response_topic.as_str(), buffer);
        }
        if let Some(correlation_data) = &properties.correlation_data {
            put_bytes(correlation_data, buffer);
        }
        if !properties.user_properties.is_empty() {
            let count = u16::try_from(properties.user_properties.len()).unwrap_or(u16::MAX);
            buffer.put_u16(count);
            for (name, value) in properties.user_properties.iter().take(usize::from(count)) {
                put_text(name, buffer);
                put_text(value, buffer);
            }
        }
    }

    fn presence(&self) -> u8 {
        let properties = &self.message.properties;
        let mut flags = 0;
        if let Some(is_text) = properties.payload_format_indicator {
            flags |= FORMAT | if is_text { TEXT } else { 0 };
        }
        for (flag, is_present) in [
            (CONTENT_TYPE, properties.content_type.is_some()),
            (RESPONSE_TOPIC, properties.response_topic.is_some()),
            (CORRELATION_DATA, properties.correlation_data.is_some()),
            (USER_PROPERTIES, !properties.user_properties.is_empty()),
            (EXPIRY, self.expires_at.is_some()),
        ] {
            if is_present {
                flags |= flag;
            }
        }
        flags
    }

    /// Reads a record. Topic, payload and properties stay slices of `bytes`.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if this is no record, or one of a later release.
    pub fn decode(bytes: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return Err(RecordError::Value);
        }
        let qos_and_retain = reader.u8()?;
        let flags = reader.u8()?;
        let publisher = reader.text()?;
        let topic_name = TopicName::try_from(reader.text()?).map_err(|_| RecordError::Text)?;
        let mut properties = MessageProperties::default();
        let mut expires_at = None;
        if flags & FORMAT != 0 {
            properties.payload_format_indicator = Some(flags & TEXT != 0);
        }
        if flags & EXPIRY != 0 {
            expires_at = Some(reader.u64()?);
            properties.message_expiry_interval = Some(reader.u32()?);
        }
        if flags & CONTENT_TYPE != 0 {
            properties.content_type = Some(reader.text()?);
        }
        if flags & RESPONSE_TOPIC != 0 {
            let topic = TopicName::try_from(reader.text()?).map_err(|_| RecordError::Text)?;
            properties.response_topic = Some(topic);
        }
        if flags & CORRELATION_DATA != 0 {
            properties.correlation_data = Some(reader.bytes()?);
        }
        if flags & USER_PROPERTIES != 0 {
            for _ in 0..reader.u16()? {
                properties
                    .user_properties
                    .push((reader.text()?, reader.text()?));
            }
        }
        let message = Message {
            topic_name,
            payload: reader.0,
            qos: Qos::try_from(qos_and_retain & 3).map_err(|_| RecordError::Value)?,
            retain: qos_and_retain & 4 != 0,
            properties,
        };
        Ok(Self {
            publisher,
            expires_at,
            message,
        })
    }
}

/// How one session gets a message: what a queue entry holds beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// The QoS granted, or that of the message if lower [MQTT-3.8.4-8].
    pub qos: Qos,
    /// The RETAIN flag towards the subscriber [MQTT-3.3.1-12].
    pub retain: bool,
    /// The Subscription Identifiers of the subscriptions that match [MQTT-3.3.4-3].
    pub identifiers: Vec<u32>,
}

impl DeliveryOptions {
    /// The bytes that [`DeliveryOptions::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        if self.identifiers.is_empty() {
            // The usual case costs no allocation.
            const PLAIN: [&[u8]; 8] = [&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]];
            let index = usize::from(self.qos.as_u8() | u8::from(self.retain) << 2);
            return Bytes::from_static(PLAIN.get(index).copied().unwrap_or(&[]));
        }
        let mut buffer = BytesMut::with_capacity(1 + 4 * self.identifiers.len());
        buffer.put_u8(self.qos.as_u8() | u8::from(self.retain) << 2);
        for identifier in &self.identifiers {
            buffer.put_u32(*identifier);
        }
        buffer.freeze()
    }

    /// Reads what [`DeliveryOptions::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if these bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        let flags = reader.u8()?;
        let mut identifiers = Vec::new();
        while !reader.is_empty() {
            identifiers.push(reader.u32()?);
        }
        Ok(Self {
            qos: Qos::try_from(flags & 3).map_err(|_| RecordError::Value)?,
            retain: flags & 4 != 0,
            identifiers,
        })
    }
}
