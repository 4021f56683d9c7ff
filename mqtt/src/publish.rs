//! PUBLISH (section 3.3).

use std::num::NonZeroU16;

use crate::{Message, MessageProperties, PacketId, Qos};

/// A PUBLISH packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may be a repetition; not written at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// Present if the QoS is above 0; not written at QoS 0 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// Stands for the topic name, or sets what stands for it.
    pub topic_alias: Option<NonZeroU16>,
    /// From the server only: the identifiers of the subscriptions that matched.
    pub subscription_identifiers: Vec<u32>,
    /// The message.
    pub message: Message,
}

impl Publish {
    /// The packet without its payload, to be encoded.
    #[must_use]
    pub fn header(&self) -> PublishHeader<'_> {
        PublishHeader {
            dup: self.dup,
            qos: self.message.qos,
            retain: self.message.retain,
            packet_id: self.packet_id,
            topic_name: self.message.topic_name.as_str(),
            topic_alias: self.topic_alias,
            message_expiry_interval: None,
            subscription_identifiers: &self.subscription_identifiers,
            properties: &self.message.properties,
            payload_bytes: self.message.payload.len(),
        }
    }
}

/// A PUBLISH packet without its payload, borrowed from wherever its parts are.
#[derive(Debug, Clone, Copy)]
pub struct PublishHeader<'a> {
    /// Whether this may be a repetition; not written at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// The QoS of this delivery.
    pub qos: Qos,
    /// Whether this is a retained message.
    pub retain: bool,
    /// Needed above QoS 0; not written at QoS 0 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// The text of a [`TopicName`](crate::TopicName); empty only together with an alias.
    pub topic_name: &'a str,
    /// Not written in MQTT 3.
    pub topic_alias: Option<NonZeroU16>,
    /// Seconds left to live, instead of what the properties say.
    pub message_expiry_interval: Option<u32>,
    /// 1 to 268 435 455 each; not written in MQTT 3.
    pub subscription_identifiers: &'a [u32],
    /// Not written in MQTT 3.
    pub properties: &'a MessageProperties,
    /// Length of the payload that will follow.
    pub payload_bytes: usize,
}
