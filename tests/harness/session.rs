//! What a client remembers between two connections (section 4.1).

use std::collections::{BTreeSet, HashMap};

use mqtt::{PacketId, Publish, ReasonCode};

/// A message on its way from the client.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) packet_id: PacketId,
    pub(crate) publish: Publish,
    /// PUBREC has come: PUBREL is owed, not the PUBLISH.
    pub(crate) is_released: bool,
}

/// The client's half of a session: hand it to the next connection of the same client.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// In the order of their first sending.
    pub(crate) outgoing: Vec<Outgoing>,
    /// QoS 2 packet identifiers received and not yet released [MQTT-4.3.3-10].
    pub(crate) incoming: BTreeSet<PacketId>,
    pub(crate) last_packet_id: u16,
    /// How each completed QoS 1 or 2 message ended.
    pub(crate) completed: HashMap<PacketId, ReasonCode>,
}

impl Session {
    /// A packet identifier that is not in use.
    pub(crate) fn free_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            if let Some(packet_id) = PacketId::new(self.last_packet_id)
                && !self.outgoing.iter().any(|one| one.packet_id == packet_id)
            {
                return packet_id;
            }
        }
    }

    /// Counts a packet of the test's own as under way.
    pub fn keep(&mut self, publish: &Publish) {
        if let Some(packet_id) = publish.packet_id {
            self.outgoing.push(Outgoing {
                packet_id,
                publish: publish.clone(),
                is_released: false,
            });
        }
    }

    /// How many QoS 1 and 2 messages are not completely acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.outgoing.len()
    }
}
