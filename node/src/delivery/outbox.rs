//! The mailbox of one connected session.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ibc::{EntryId, NodeId, QueuedEntry};
use mqtt::{Qos, ReasonCode};
use tokio::sync::Notify;

use super::Delivery;

/// A word from another room to the connection.
#[derive(Debug)]
pub(crate) enum Control {
    /// Another connection has claimed the client: hand over and close with 0x8E
    /// [MQTT-3.1.4-3].
    Evict {
        /// Whether the session goes on there.
        is_resumed: bool,
    },
    /// Close with this reason.
    Close(ReasonCode),
    /// There may be more in the database than came by.
    Poke,
    /// A page of the queue that the connection asked for.
    Page(QueuePage),
}

/// What the database had in the queue of a session.
#[derive(Debug)]
pub(crate) struct QueuePage {
    pub(crate) entries: Vec<QueuedEntry>,
    /// Whether it was cut off at the page size.
    pub(crate) is_cut: bool,
}

/// What became of a pushed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The connection will see it.
    Kept,
    /// It stays in the database, the connection will ask for it.
    LeftBehind,
    /// The mailbox is full and the message is gone.
    Dropped,
    /// The connection is ending; what is in the database stays there.
    Closed,
}

/// The mailbox of one connected session. At most `capacity` messages; beyond it see [`Pushed`].
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// QoS 0: never held up by the window of the client.
    at_most_once: VecDeque<Delivery>,
    /// QoS 1 and 2, in order.
    acknowledged: VecDeque<Delivery>,
    controls: VecDeque<Control>,
    /// The last entry of each writing node that was taken in, or dropped as seen.
    seen: Vec<(NodeId, EntryId)>,
    /// The database holds entries that were not taken in: read it before the live ones.
    is_behind: bool,
    /// An entry was left behind since the page under way was asked for.
    missed: bool,
    /// The connection has been woken and has not looked yet.
    is_awake: bool,
    is_closed: bool,
    /// The connection was asked to close.
    is_closing: bool,
}

impl Outbox {
    /// An empty mailbox. One of a stored session starts behind: its queue is read first.
    pub(crate) fn new(capacity: usize, is_stored: bool) -> Self {
        let inner = Inner {
            is_behind: is_stored,
            missed: is_stored,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            wake: Notify::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        if !inner.is_awake {
            inner.is_awake = true;
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Puts a message in. Entries of the queue in the database are taken in once and in order,
    /// however often they come.
    pub(crate) fn push(&self, delivery: Delivery) -> Pushed {
        let mut inner = self.lock();
        if inner.is_closed {
            return Pushed::Closed;
        }
        let is_full = inner.at_most_once.len() + inner.acknowledged.len() >= self.capacity;
        if let Some(stored) = delivery.stored {
            if inner.has_seen(stored.source, stored.entry) {
                return Pushed::Kept;
            }
            if is_full || inner.is_behind {
                inner.is_behind = true;
                inner.missed = true;
                self.wake(inner);
                return Pushed::LeftBehind;
            }
            inner.see(stored.source, stored.entry);
        } else if is_full {
            return Pushed::Dropped;
        }
        match delivery.qos {
            Qos::AtMostOnce => inner.at_most_once.push_back(delivery),
            Qos::AtLeastOnce | Qos::ExactlyOnce => inner.acknowledged.push_back(delivery),
        }
        self.wake(inner);
        Pushed::Kept
    }

    /// Leaves a word for the connection.
    pub(crate) fn control(&self, control: Control) {
        let mut inner = self.lock();
        match control {
            Control::Poke => {
                inner.is_behind = true;
                inner.missed = true;
            }
            end @ (Control::Evict { .. } | Control::Close(_)) => {
                inner.is_closing = true;
                inner.controls.push_back(end);
            }
            page @ Control::Page(_) => inner.controls.push_back(page),
        }
        self.wake(inner);
    }

    /// Whether the connection was asked to close, or is closing.
    pub(crate) fn is_closing(&self) -> bool {
        let inner = self.lock();
        inner.is_closing || inner.is_closed
    }

    /// Returns when there may be something new. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// The next word, and from now on new arrivals wake again.
    pub(crate) fn take_control(&self) -> Option<Control> {
        let mut inner = self.lock();
        inner.is_awake = false;
        inner.controls.pop_front()
    }

    /// Moves QoS 0 messages and at most `window` others into `into`; in all at most `limit`.
    pub(crate) fn take(&self, window: usize, limit: usize, into: &mut Vec<Delivery>) {
        let mut inner = self.lock();
        let count = inner.at_most_once.len().min(limit);
        into.extend(inner.at_most_once.drain(..count));
        let count = inner.acknowledged.len().min(window).min(limit - count);
        into.extend(inner.acknowledged.drain(..count));
        if inner.at_most_once.is_empty() && inner.acknowledged.is_empty() {
            // An idle client holds no buffers.
            inner.at_most_once.shrink_to(0);
            inner.acknowledged.shrink_to(0);
        }
    }

    /// If the database holds more and there is room: what of it was seen, to ask for the rest.
    pub(crate) fn start_page(&self) -> Option<Vec<(NodeId, EntryId)>> {
        let mut inner = self.lock();
        if !inner.is_behind || inner.acknowledged.len() * 2 > self.capacity {
            return None;
        }
        inner.missed = false;
        Some(inner.seen.clone())
    }

    /// Takes a page in: `deliver` turns each entry that was not seen into a delivery, or drops
    /// it. Entries that come live are taken in again once the database has no more.
    pub(crate) fn finish_page(
        &self,
        page: QueuePage,
        mut deliver: impl FnMut(QueuedEntry) -> Option<Delivery>,
    ) {
        let mut inner = self.lock();
        for entry in page.entries {
            if !inner.has_seen(entry.source, entry.entry) {
                inner.see(entry.source, entry.entry);
                if let Some(delivery) = deliver(entry) {
                    inner.acknowledged.push_back(delivery);
                }
            }
        }
        inner.is_behind = page.is_cut || inner.missed;
    }

    /// Takes nothing in any more and returns the QoS 1 and 2 messages not seen yet.
    pub(crate) fn close(&self) -> Vec<Delivery> {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.at_most_once.clear();
        inner.controls.clear();
        std::mem::take(&mut inner.acknowledged).into()
    }
}

impl Inner {
    fn has_seen(&self, source: NodeId, entry: EntryId) -> bool {
        self.seen
            .iter()
            .any(|(node, last)| *node == source && entry <= *last)
    }

    fn see(&mut self, source: NodeId, entry: EntryId) {
        match self.seen.iter_mut().find(|(node, _)| *node == source) {
            Some((_, last)) => *last = entry.max(*last),
            None => self.seen.push((source, entry)),
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
