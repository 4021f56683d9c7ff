//! The messages in a mailbox, and which of them goes when there are too many.

use std::collections::VecDeque;

use mqtt::Qos;

use super::Delivery;
use crate::config::{DropPolicy, Mqtt};

/// After so many bytes no more are taken at once: they are copied into the output of the connection.
const TAKEN_BYTES: usize = 256 * 1024;

/// How much may wait for one client, see [`Mqtt::max_queued_messages`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) policy: DropPolicy,
}

impl QueueLimits {
    pub(crate) fn new(settings: &Mqtt) -> Self {
        Self {
            messages: usize::try_from(settings.max_queued_messages).unwrap_or(usize::MAX),
            bytes: usize::try_from(settings.max_queued_bytes).unwrap_or(usize::MAX),
            policy: settings.queue_drop_policy,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    order: u64,
    bytes: usize,
    delivery: Delivery,
}

/// Messages and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Amount {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

/// What waits in memory for one client.
#[derive(Debug, Default)]
pub(super) struct Waitings {
    /// QoS 0: never held up by the window of the client.
    at_most_once: VecDeque<Waiting>,
    /// QoS 1 and 2, in order.
    acknowledged: VecDeque<Waiting>,
    order: u64,
    all: Amount,
    /// QoS 1 and 2 only.
    held: Amount,
}

impl Waitings {
    /// Everything that waits.
    pub(super) const fn all(&self) -> Amount {
        self.all
    }

    /// QoS 1 and 2 messages.
    pub(super) const fn held(&self) -> Amount {
        self.held
    }

    fn fits(&self, limits: &QueueLimits, bytes: usize) -> bool {
        self.all.messages == 0
            || (self.all.messages < limits.messages && self.all.bytes + bytes <= limits.bytes)
    }

    /// Makes room for a message of `bytes`; what goes for it is added to `displaced`. Returns whether
    /// there is room now.
    pub(super) fn make_room(
        &mut self,
        limits: &QueueLimits,
        bytes: usize,
        displaced: &mut Vec<Delivery>,
    ) -> bool {
        while !self.fits(limits, bytes) {
            let victim = match limits.policy {
                DropPolicy::Newest => None,
                DropPolicy::Oldest => self.pop_oldest(),
                DropPolicy::Qos0First => self.pop_at_most_once(),
            };
            match victim {
                Some(victim) => displaced.push(victim),
                None => return false,
            }
        }
        true
    }

    pub(super) fn push(&mut self, delivery: Delivery, bytes: usize) {
        self.order += 1;
        self.all.add(bytes);
        let qos = delivery.qos;
        let waiting = Waiting {
            order: self.order,
            bytes,
            delivery,
        };
        if qos == Qos::AtMostOnce {
            self.at_most_once.push_back(waiting);
        } else {
            self.held.add(bytes);
            self.acknowledged.push_back(waiting);
        }
    }

    fn pop_at_most_once(&mut self) -> Option<Delivery> {
        let waiting = self.at_most_once.pop_front()?;
        self.all.subtract(waiting.bytes);
        Some(waiting.delivery)
    }

    /// The QoS 1 or 2 message that has waited longest.
    pub(super) fn pop_acknowledged(&mut self) -> Option<Delivery> {
        let waiting = self.acknowledged.pop_front()?;
        self.all.subtract(waiting.bytes);
        self.held.subtract(waiting.bytes);
        Some(waiting.delivery)
    }

    fn pop_oldest(&mut self) -> Option<Delivery> {
        let order = |queue: &VecDeque<Waiting>| queue.front().map(|waiting| waiting.order);
        match (order(&self.at_most_once), order(&self.acknowledged)) {
            (Some(zero), Some(other)) if other < zero => self.pop_acknowledged(),
            (None, _) => self.pop_acknowledged(),
            (Some(_), _) => self.pop_at_most_once(),
        }
    }

    /// Moves QoS 0 messages and at most `window` others into `into`; in all at most `limit`, and fewer
    /// if they are large.
    pub(super) fn take(&mut self, window: usize, limit: usize, into: &mut Vec<Delivery>) {
        let end = self.all.bytes.saturating_sub(TAKEN_BYTES);
        let is_full = |bytes: usize| end > 0 && bytes <= end;
        let most = into.len().saturating_add(limit);
        while into.len() < most
            && !is_full(self.all.bytes)
            && let Some(delivery) = self.pop_at_most_once()
        {
            into.push(delivery);
        }
        let most = most.min(into.len().saturating_add(window));
        while into.len() < most
            && !is_full(self.all.bytes)
            && let Some(delivery) = self.pop_acknowledged()
        {
            into.push(delivery);
        }
        if self.all.messages == 0 {
            // An idle client holds no buffers.
            self.at_most_once.shrink_to(0);
            self.acknowledged.shrink_to(0);
        }
    }

    /// Gives up everything; the QoS 1 and 2 messages are returned.
    pub(super) fn take_acknowledged(&mut self) -> Vec<Delivery> {
        let acknowledged = std::mem::take(self).acknowledged;
        acknowledged
            .into_iter()
            .map(|waiting| waiting.delivery)
            .collect()
    }
}
