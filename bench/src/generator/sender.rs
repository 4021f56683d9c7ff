//! One publisher: its packet identifiers, and how many messages it may send now.

use std::{collections::VecDeque, time::Duration};

use super::{BATCH_BYTES, engine::Engine};
use crate::packet::{Stamp, Template};

/// After so long without a delivery what is under way is given up, and the load goes on.
const STALL: u64 = Duration::from_millis(500).as_nanos() as u64;

/// A publisher and what it has under way.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) place: usize,
    pub(super) number: u32,
    /// How many deliveries a message leads to.
    pub(super) copies: u64,
    /// Deliveries of its messages, each counted once.
    pub(super) delivered: u64,
    /// Deliveries given up.
    pub(super) forgiven: u64,
    pub(super) ready: bool,
    pub(super) gone: bool,
    /// Messages sent, which is also the number of the next.
    pub(super) sent: u32,
    pub(super) unacknowledged: usize,
    template: Template,
    qos: u8,
    free: VecDeque<u16>,
    /// When the message of a packet identifier was sent; 0: the identifier is free.
    sent_at: Vec<u64>,
    seen: u64,
    seen_at: u64,
}

impl Sender {
    /// One that has at most `limit` messages unacknowledged (QoS 1, 2).
    pub(super) fn new(number: u32, qos: u8, template: Template, copies: u64, limit: u16) -> Self {
        let (free, sent_at) = match qos {
            0 => (VecDeque::new(), Vec::new()),
            _ => ((1..=limit).collect(), vec![0; usize::from(limit) + 1]),
        };
        Self {
            place: 0,
            number,
            copies,
            delivered: 0,
            forgiven: 0,
            ready: false,
            gone: false,
            sent: 0,
            unacknowledged: 0,
            template,
            qos,
            free,
            sent_at,
            seen: 0,
            seen_at: 0,
        }
    }

    /// How many it may send, of `window` not delivered and acknowledged.
    pub(super) fn credit(&self, window: usize) -> usize {
        let done = (self.delivered + self.forgiven) / self.copies.max(1);
        let under_way = u64::from(self.sent).saturating_sub(done) as usize;
        let credit = window.saturating_sub(under_way);
        match self.qos {
            0 => credit,
            _ => credit.min(self.free.len()),
        }
    }

    /// Whether its packet identifiers allow another message.
    pub(super) fn has_room(&self) -> bool {
        self.qos == 0 || !self.free.is_empty()
    }

    /// How many messages fit before `pending` bytes become a batch.
    pub(super) fn room(&self, pending: usize) -> usize {
        BATCH_BYTES.saturating_sub(pending) / self.template.len() + 1
    }

    /// Gives up what is under way if nothing was delivered for half a second. Returns how many
    /// deliveries that are.
    pub(super) fn forgive(&mut self, now: u64) -> u64 {
        let expected = u64::from(self.sent) * self.copies;
        let is_waiting = expected > self.delivered + self.forgiven;
        if self.delivered != self.seen || !is_waiting {
            (self.seen, self.seen_at) = (self.delivered, now);
            return 0;
        }
        if now.saturating_sub(self.seen_at) <= STALL {
            return 0;
        }
        let all = expected.saturating_sub(self.delivered);
        let more = all.saturating_sub(self.forgiven);
        self.forgiven = all;
        self.seen_at = now;
        more
    }

    /// Appends a message that was due at `due`. False: no packet identifier is free.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, due: u64, now: u64) -> bool {
        let Some(packet_id) = self.take_packet_id(now) else {
            return false;
        };
        let stamp = Stamp {
            publisher: self.number,
            number: self.sent,
            due,
        };
        self.template.put(out, packet_id, stamp);
        self.sent = self.sent.wrapping_add(1);
        true
    }

    /// Appends a message to a topic of its own, which says that it is the `number` of `publisher`.
    pub(super) fn put_as(
        &mut self,
        template: &Template,
        out: &mut Vec<u8>,
        (publisher, number): (u32, u32),
        now: u64,
    ) -> bool {
        let Some(packet_id) = self.take_packet_id(now) else {
            return false;
        };
        let stamp = Stamp {
            publisher,
            number,
            due: now,
        };
        template.put(out, packet_id, stamp);
        self.sent = self.sent.wrapping_add(1);
        true
    }

    /// 0 with QoS 0.
    fn take_packet_id(&mut self, now: u64) -> Option<u16> {
        if self.qos == 0 {
            return Some(0);
        }
        let packet_id = self.free.pop_front()?;
        if let Some(sent_at) = self.sent_at.get_mut(usize::from(packet_id)) {
            *sent_at = now;
        }
        self.unacknowledged += 1;
        Some(packet_id)
    }

    /// Takes a PUBACK or PUBCOMP and returns how long it took; `None` if nothing waited for it.
    pub(super) fn acknowledged(&mut self, packet_id: u16, now: u64) -> Option<u64> {
        let sent_at = self.sent_at.get_mut(usize::from(packet_id))?;
        if *sent_at == 0 {
            return None;
        }
        let took = now.saturating_sub(*sent_at);
        *sent_at = 0;
        self.free.push_back(packet_id);
        self.unacknowledged -= 1;
        Some(took)
    }

    /// Whether it can write at all.
    pub(super) fn is_stuck(&self, engine: &Engine) -> bool {
        self.gone || engine.is_blocked(self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(qos: u8, copies: u64, limit: u16) -> Sender {
        Sender::new(3, qos, Template::new("a", qos, 16), copies, limit)
    }

    #[test]
    fn credit_is_what_is_neither_delivered_nor_forgiven() {
        let mut sender = sender(0, 5, 0);
        assert_eq!(sender.credit(20), 20);
        for _ in 0..20 {
            assert!(sender.put(&mut Vec::new(), 1, 1));
        }
        assert_eq!(sender.credit(20), 0);
        sender.delivered = 14; // two messages to all, one to some
        assert_eq!(sender.credit(20), 2);
        assert_eq!(sender.forgive(1), 0); // the deliveries moved
        assert_eq!(sender.forgive(STALL), 0);
        assert_eq!(sender.forgive(2 * STALL), 86);
        assert_eq!(sender.credit(20), 20);
        assert_eq!(sender.forgive(4 * STALL), 0); // once
    }

    #[test]
    fn a_packet_identifier_is_free_again_once_acknowledged() {
        let mut sender = sender(1, 1, 2);
        assert!(sender.put(&mut Vec::new(), 5, 5) && sender.put(&mut Vec::new(), 6, 6));
        assert!(!sender.put(&mut Vec::new(), 7, 7));
        assert_eq!((sender.sent, sender.unacknowledged), (2, 2));
        assert_eq!(sender.acknowledged(2, 10), Some(4));
        assert_eq!(sender.acknowledged(2, 11), None);
        assert_eq!(sender.acknowledged(9, 11), None);
        assert!(sender.has_room());
        // Delivered or not, the window counts it too.
        assert_eq!(sender.credit(2), 0);
        sender.delivered = 1;
        assert_eq!(sender.credit(2), 1);
    }
}
