//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): one shape, four meanings.

use crate::{PacketId, ReasonCode, Str};

/// The contents of PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The packet that is acknowledged.
    pub packet_id: PacketId,
    /// Success in MQTT 3, where it is not written.
    pub reason_code: ReasonCode,
    /// What MQTT 5 adds; not written in MQTT 3.
    pub properties: AckProperties,
}

impl Ack {
    /// An acknowledgement without properties.
    #[must_use]
    pub const fn new(packet_id: PacketId, reason_code: ReasonCode) -> Self {
        Self {
            packet_id,
            reason_code,
            properties: AckProperties {
                reason_string: None,
                user_properties: Vec::new(),
            },
        }
    }
}

/// The properties of the acknowledgements, SUBACK and UNSUBACK included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckProperties {
    /// For people who diagnose.
    pub reason_string: Option<Str>,
    /// The sender's own names and values.
    pub user_properties: Vec<(Str, Str)>,
}

impl AckProperties {
    /// Whether there is no property at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}
