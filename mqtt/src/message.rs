//! Application Messages: what a PUBLISH or a will carries, apart from its delivery.

use std::fmt;
use std::ops::{Deref, DerefMut};

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
///
/// One pointer as long as there are none, because most messages have none and every message is
/// moved several times on its way.
#[derive(Clone, Default)]
pub struct MessageProperties(Option<Box<PropertyValues>>);

/// What [`MessageProperties`] are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyValues {
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

static NONE: PropertyValues = PropertyValues {
    payload_format_indicator: None,
    message_expiry_interval: None,
    content_type: None,
    response_topic: None,
    correlation_data: None,
    user_properties: Vec::new(),
};

impl MessageProperties {
    /// Whether there may be a property; if not, that is known at a glance.
    #[inline]
    pub(crate) const fn may_have_any(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is no property at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_deref().is_none_or(|values| *values == NONE)
    }
}

impl From<PropertyValues> for MessageProperties {
    fn from(values: PropertyValues) -> Self {
        Self(Some(Box::new(values)))
    }
}

impl Deref for MessageProperties {
    type Target = PropertyValues;

    fn deref(&self) -> &PropertyValues {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for MessageProperties {
    fn deref_mut(&mut self) -> &mut PropertyValues {
        self.0.get_or_insert_default()
    }
}

impl fmt::Debug for MessageProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for MessageProperties {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for MessageProperties {}
