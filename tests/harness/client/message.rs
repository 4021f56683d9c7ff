//! Short ways to make and to look at messages.

use bytes::Bytes;
use mqtt::{Message, MessageProperties, Qos, TopicName};

/// A message that is not retained and has no properties.
///
/// # Panics
///
/// If `topic` is not a topic name.
#[must_use]
pub fn message(topic: &str, payload: impl Into<Bytes>, qos: Qos) -> Message {
    Message {
        topic_name: TopicName::new(topic).unwrap(),
        payload: payload.into(),
        qos,
        retain: false,
        properties: MessageProperties::default(),
    }
}

/// What tests do with a message.
pub trait MessageExt {
    /// The same, to be retained.
    #[must_use]
    fn retained(self) -> Self;
    /// The same, with a Message Expiry Interval in seconds.
    #[must_use]
    fn expiring(self, seconds: u32) -> Self;
    /// The payload as text.
    fn text(&self) -> String;
}

impl MessageExt for Message {
    fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    fn expiring(mut self, seconds: u32) -> Self {
        self.properties.message_expiry_interval = Some(seconds);
        self
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}
