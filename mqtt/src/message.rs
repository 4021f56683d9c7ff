//! Application Messages: what a PUBLISH or a will carries, apart from its delivery.

use bytes::Bytes;

use crate::{Qos, Str, TopicName};

/// An Application Message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it is published.
    pub topic_name: TopicName,
    /// What it says.
    pub payload: Bytes,
    /// The QoS it was sent with.
    pub qos: Qos,
    /// Whether it is to be retained, or was.
    pub retain: bool,
    /// What MQTT 5 adds; empty in MQTT 3.
    pub properties: MessageProperties,
}

/// Properties that travel with a message from its publisher to every subscriber.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Whether the payload is said to be UTF-8 text.
    pub payload_format_indicator: Option<bool>,
    /// Lifetime in seconds.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is, in the publisher's words.
    pub content_type: Option<Str>,
    /// Where a response is expected.
    pub response_topic: Option<TopicName>,
    /// Tells the requester which request a response is for; at most 65 535 bytes.
    pub correlation_data: Option<Bytes>,
    /// The publisher's own names and values, in order [MQTT-3.3.2-18].
    pub user_properties: Vec<(Str, Str)>,
}

impl MessageProperties {
    /// Whether there is no property at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload_format_indicator.is_none()
            && self.message_expiry_interval.is_none()
            && self.content_type.is_none()
            && self.response_topic.is_none()
            && self.correlation_data.is_none()
            && self.user_properties.is_empty()
    }
}
