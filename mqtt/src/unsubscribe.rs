//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use crate::{AckProperties, PacketId, ReasonCode, Str, TopicFilter};

/// An UNSUBSCRIBE packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Repeated in the UNSUBACK.
    pub packet_id: PacketId,
    /// The client's own names and values; not written in MQTT 3.
    pub user_properties: Vec<(Str, Str)>,
    /// At least one [MQTT-3.10.3-2].
    pub filters: Vec<TopicFilter>,
}

/// An UNSUBACK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// That of the UNSUBSCRIBE [MQTT-3.10.4-4].
    pub packet_id: PacketId,
    /// What MQTT 5 adds; not written in MQTT 3.
    pub properties: AckProperties,
    /// One for each filter, in order [MQTT-3.11.3-1]; not written in MQTT 3.
    pub reason_codes: Vec<ReasonCode>,
}
