//! Messages on their way to the client: sent, and not yet acknowledged (section 4.4, 4.9).

use std::collections::{BTreeMap, hash_map::Entry};

use ibc::EntryId;
use mqtt::PacketId;

use super::{ByPacketId, PacketIds};
use crate::delivery::Delivery;

/// Where a message on its way stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its packet identifier is being stored; nothing was sent.
    Storing,
    /// PUBLISH is sent.
    Published,
    /// PUBREC has come [MQTT-4.3.3-4].
    Received,
}

/// What may be on its way to a client at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowLimits {
    pub(crate) messages: u16,
    /// Beyond it nothing follows; a message alone always goes.
    pub(crate) bytes: usize,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) delivery: Delivery,
    pub(crate) phase: Phase,
    /// The order in which the messages were let in.
    order: u64,
}

/// The messages on their way to one client, as many as its limits allow.
#[derive(Debug)]
pub(crate) struct Window {
    limits: WindowLimits,
    bytes: usize,
    next: u16,
    order: u64,
    in_flight: ByPacketId<InFlight>,
    /// Identifiers of messages that were sent on an earlier connection and still wait here.
    reserved: PacketIds,
}

impl Window {
    pub(crate) fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            bytes: 0,
            next: 1,
            order: 0,
            in_flight: ByPacketId::default(),
            reserved: PacketIds::default(),
        }
    }

    /// How many more messages may be sent [MQTT-3.3.4-9].
    pub(crate) fn room(&self) -> usize {
        if self.bytes >= self.limits.bytes && !self.in_flight.is_empty() {
            return 0;
        }
        usize::from(self.limits.messages).saturating_sub(self.in_flight.len())
    }

    /// How many messages are on their way.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// A packet identifier that is free [MQTT-2.2.1-3], for [`Window::insert`]: the one that the message had
    /// on an earlier connection [MQTT-4.4.0-1], or the next. `None`: there is none.
    pub(crate) fn free_id(&mut self, delivery: &Delivery) -> Option<PacketId> {
        let earlier = delivery
            .stored
            .and_then(|stored| stored.packet_id)
            .and_then(PacketId::new);
        match earlier {
            Some(packet_id) if !self.in_flight.contains_key(&packet_id) => {
                self.reserved.remove(&packet_id);
                Some(packet_id)
            }
            _ => self.next_id(),
        }
    }

    /// Lets a message in under a packet identifier that is free.
    pub(crate) fn insert(&mut self, packet_id: PacketId, delivery: Delivery, phase: Phase) {
        self.order += 1;
        let order = self.order;
        self.bytes += delivery.publication.size_bytes();
        self.in_flight.insert(
            packet_id,
            InFlight {
                delivery,
                phase,
                order,
            },
        );
    }

    /// Keeps identifiers for the messages that had them on an earlier connection.
    pub(crate) fn reserve(&mut self, packet_ids: impl Iterator<Item = u16>) {
        self.reserved.extend(packet_ids.filter_map(PacketId::new));
    }

    fn next_id(&mut self) -> Option<PacketId> {
        for _ in 0..u16::MAX {
            let packet_id = PacketId::new(self.next);
            self.next = self.next.checked_add(1).unwrap_or(1);
            if let Some(packet_id) = packet_id
                && !self.in_flight.contains_key(&packet_id)
                && (self.reserved.is_empty() || !self.reserved.contains(&packet_id))
            {
                return Some(packet_id);
            }
        }
        None
    }

    pub(crate) fn get(&self, packet_id: PacketId) -> Option<&InFlight> {
        self.in_flight.get(&packet_id)
    }

    pub(crate) fn set_phase(&mut self, packet_id: PacketId, phase: Phase) {
        if let Some(in_flight) = self.in_flight.get_mut(&packet_id) {
            in_flight.phase = phase;
        }
    }

    pub(crate) fn remove(&mut self, packet_id: PacketId) -> Option<InFlight> {
        self.remove_if(packet_id, |_| true)
    }

    /// Takes a message out if `is_wanted`.
    pub(crate) fn remove_if(
        &mut self,
        packet_id: PacketId,
        is_wanted: impl FnOnce(&InFlight) -> bool,
    ) -> Option<InFlight> {
        let Entry::Occupied(entry) = self.in_flight.entry(packet_id) else {
            return None;
        };
        if !is_wanted(entry.get()) {
            return None;
        }
        let removed = entry.remove();
        self.bytes -= removed.delivery.publication.size_bytes();
        Some(removed)
    }

    /// Takes out an entry that is not to be sent after all.
    pub(crate) fn withdraw(&mut self, entry: EntryId) {
        let is_it = |in_flight: &InFlight| {
            in_flight.phase == Phase::Storing
                && in_flight
                    .delivery
                    .stored
                    .is_some_and(|stored| stored.entry == entry)
        };
        let found = self.in_flight.iter().find(|(_, one)| is_it(one));
        if let Some(packet_id) = found.map(|(packet_id, _)| *packet_id) {
            self.remove(packet_id);
        }
    }

    /// Everything on its way, in the order in which it was let in.
    pub(crate) fn take_all(&mut self) -> Vec<(PacketId, InFlight)> {
        self.bytes = 0;
        let sorted: BTreeMap<u64, _> = self
            .in_flight
            .drain()
            .map(|(id, in_flight)| (in_flight.order, (id, in_flight)))
            .collect();
        sorted.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use mqtt::{Message, Qos, Str, TopicName};

    use super::*;
    use crate::delivery::Publication;

    fn delivery(bytes: usize) -> Delivery {
        let message = Message {
            topic_name: TopicName::new("t").unwrap(),
            payload: vec![0; bytes - 1].into(),
            qos: Qos::AtLeastOnce,
            ..Message::default()
        };
        Delivery {
            publication: Arc::new(Publication::new(Str::default(), message)),
            qos: Qos::AtLeastOnce,
            retain: false,
            identifiers: None,
            stored: None,
            share: None,
        }
    }

    #[test]
    fn bytes_close_the_window_but_a_message_alone_always_goes() {
        let mut window = Window::new(WindowLimits {
            messages: 10,
            bytes: 100,
        });
        let insert = |window: &mut Window, bytes| {
            let delivery = delivery(bytes);
            let packet_id = window.free_id(&delivery).unwrap();
            window.insert(packet_id, delivery, Phase::Published);
            packet_id
        };
        let large = insert(&mut window, 5000);
        assert_eq!(window.room(), 0);
        window.remove(large);
        assert_eq!(window.room(), 10);
        let first = insert(&mut window, 60);
        assert_eq!(window.room(), 9);
        insert(&mut window, 60);
        assert_eq!(window.room(), 0);
        window.remove(first);
        assert_eq!(window.room(), 9);
        assert_eq!(window.take_all().len(), 1);
        assert_eq!(window.room(), 10);
    }
}
