//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use crate::{AckProperties, PacketId, Qos, ReasonCode, Str, TopicFilter};

/// A SUBSCRIBE packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Repeated in the SUBACK.
    pub packet_id: PacketId,
    /// 1 to 268 435 455; not written in MQTT 3.
    pub subscription_identifier: Option<u32>,
    /// The client's own names and values; not written in MQTT 3.
    pub user_properties: Vec<(Str, Str)>,
    /// At least one [MQTT-3.8.3-2].
    pub subscriptions: Vec<Subscription>,
}

/// One entry of a SUBSCRIBE packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Which topics.
    pub filter: TopicFilter,
    /// How.
    pub options: SubscriptionOptions,
}

/// Subscription Options (section 3.8.3.1). All but the QoS are of MQTT 5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// Highest QoS of delivery.
    pub qos: Qos,
    /// Whether the subscriber's own messages are kept from it.
    pub no_local: bool,
    /// Whether the retain flag is delivered as it was published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE, as in MQTT 3.
    #[default]
    SendAtSubscribe = 0,
    /// Only if the subscription is new.
    SendAtNewSubscription = 1,
    /// Never.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// The byte on the wire in MQTT 5. In MQTT 3 only its QoS is written.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.qos.as_u8()
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    /// What the byte means in MQTT 5, or none if it means nothing [MQTT-3.8.3-5].
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        let Some(qos) = Qos::from_u8(byte & 0b11) else {
            return None;
        };
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendAtNewSubscription,
            2 => RetainHandling::DoNotSend,
            _ => return None,
        };
        Some(Self {
            qos,
            no_local: byte & 0b100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }
}

/// A SUBACK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// That of the SUBSCRIBE [MQTT-3.8.4-2].
    pub packet_id: PacketId,
    /// What MQTT 5 adds; not written in MQTT 3.
    pub properties: AckProperties,
    /// One for each subscription, in order [MQTT-3.8.4-6]. In MQTT 3 each failure is
    /// written as 0x80.
    pub reason_codes: Vec<ReasonCode>,
}
