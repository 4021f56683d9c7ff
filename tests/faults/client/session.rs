//! What a client remembers between two connections (section 4.1).

use std::collections::{BTreeMap, HashMap};

use history::MessageId;
use mqtt::{PacketId, Qos};

/// A message on its way from the client.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub packet_id: PacketId,
    pub message: MessageId,
    pub topic: String,
    pub qos: Qos,
    pub is_retained: bool,
    /// What is sent again is the same to the last byte.
    pub padding: usize,
    /// PUBREC has come: PUBREL is owed, not the PUBLISH.
    pub is_released: bool,
}

/// What a SUBSCRIBE or UNSUBSCRIBE under way is about.
#[derive(Debug, Clone)]
pub struct Request {
    pub filter: String,
    pub subscribes: bool,
}

/// The client's half of a session.
#[derive(Debug)]
pub struct Session {
    /// In the order of their first sending.
    pub outgoing: Vec<Outgoing>,
    /// QoS 2 packet identifiers received and not yet released, and for what [MQTT-4.3.3-10].
    pub incoming: HashMap<PacketId, MessageId>,
    /// Requests of this connection that are not answered.
    pub requests: HashMap<PacketId, Request>,
    /// What the server has confirmed: whether there is a subscription. Absent: not known.
    pub confirmed: BTreeMap<String, bool>,
    last_packet_id: u16,
    /// Packet identifiers are reused after so many.
    packet_ids: u16,
}

impl Session {
    /// None yet.
    pub fn new(packet_ids: u16) -> Self {
        Self {
            outgoing: Vec::new(),
            incoming: HashMap::new(),
            requests: HashMap::new(),
            confirmed: BTreeMap::new(),
            last_packet_id: 0,
            packet_ids,
        }
    }

    /// A packet identifier that is not in use.
    pub fn free_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id % self.packet_ids + 1;
            if let Some(packet_id) = PacketId::new(self.last_packet_id)
                && !self.outgoing.iter().any(|one| one.packet_id == packet_id)
                && !self.requests.contains_key(&packet_id)
            {
                return packet_id;
            }
        }
    }

    /// The server knows nothing of this client: messages that it has not taken are to be sent as
    /// new, the others are its own.
    pub fn forget(&mut self) {
        self.incoming.clear();
        self.confirmed.clear();
        self.outgoing.retain(|one| !one.is_released);
        for outgoing in &mut self.outgoing {
            outgoing.packet_id = PacketId::MAX; // until it gets a new one
        }
        for index in 0..self.outgoing.len() {
            let packet_id = self.free_packet_id();
            self.outgoing[index].packet_id = packet_id;
        }
    }
}
