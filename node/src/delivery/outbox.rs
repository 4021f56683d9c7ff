//! The mailbox of one connected session.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;
use ibc::{EntryId, NodeId, QueuedEntry};
use mqtt::ReasonCode;

use super::{
    Delivery, QueueLimits,
    waiting::{Amount, Waitings},
};

/// How much of the queue of a stored session is held in memory; the rest waits in the database.
const BUFFER: Amount = Amount {
    messages: 20_000,
    bytes: 8 << 20,
};

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
    /// Another member of a shared subscription has got this entry: it is not to be sent.
    Withdraw(EntryId),
    /// A page of the queue that the connection asked for.
    Page(QueuePage),
}

/// What the database had in the queue of a session.
pub(crate) use ibc::QueuedPage as QueuePage;

/// Where a mailbox stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// What was taken in of the queue in the database, see [`Outbox::start_page`].
    pub(crate) seen: Vec<(NodeId, EntryId)>,
    /// QoS 1 and 2 messages that wait in memory.
    pub(crate) held: Amount,
}

/// What became of a pushed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The connection will see it.
    Kept,
    /// It stays in the database, the connection will ask for it.
    LeftBehind,
    /// There is no room for it, and none was made: the message is gone.
    Dropped,
    /// The connection is ending; what is in the database stays there.
    Closed,
}

/// The mailbox of one connected session. It holds as much as its limits allow; beyond it see
/// [`Outbox::push`].
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    /// Something was put in since the connection looked last. Changed only under the lock of `inner`.
    has_news: AtomicBool,
    waker: AtomicWaker,
    limits: QueueLimits,
    /// Messages on their way to the client, for those who count.
    in_flight: AtomicUsize,
    has_overflowed: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Waitings,
    controls: VecDeque<Control>,
    /// The last entry of each writing node that was taken in, or dropped as seen.
    seen: Vec<(NodeId, EntryId)>,
    /// The database holds entries that were not taken in: read it before the live ones.
    is_behind: bool,
    /// An entry was left behind since the page under way was asked for.
    missed: bool,
    is_closed: bool,
    /// The connection was asked to close.
    is_closing: bool,
}

impl Outbox {
    /// An empty mailbox. One of a stored session starts behind: its queue is read first.
    pub(crate) fn new(limits: QueueLimits, is_stored: bool) -> Self {
        let inner = Inner {
            is_behind: is_stored,
            missed: is_stored,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            has_news: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            limits,
            in_flight: AtomicUsize::new(0),
            has_overflowed: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection, unless it is awake and has not looked yet.
    fn wake(&self, inner: MutexGuard<'_, Inner>) {
        if !self.has_news.load(Ordering::Relaxed) {
            self.has_news.store(true, Ordering::Release);
            drop(inner);
            self.waker.wake();
        }
    }

    /// Puts a message in. Entries of the queue in the database are taken in once and in order,
    /// however often they come. If there are too many messages, those that go for it are added to
    /// `displaced`; if they are stored, they must be taken out of the database too, and so must a
    /// stored one that was [`Pushed::Dropped`] itself.
    pub(crate) fn push(&self, delivery: Delivery, displaced: &mut Vec<Delivery>) -> Pushed {
        let bytes = delivery.publication.size_bytes();
        let mut inner = self.lock();
        if inner.is_closed {
            return Pushed::Closed;
        }
        if let Some(stored) = delivery.stored {
            if inner.has_seen(stored.source, stored.entry) {
                return Pushed::Kept;
            }
            if inner.is_behind || reaches(inner.waiting.held(), BUFFER) {
                inner.is_behind = true;
                inner.missed = true;
                self.wake(inner);
                return Pushed::LeftBehind;
            }
            inner.see(stored.source, stored.entry);
        }
        if !inner.waiting.make_room(&self.limits, bytes, displaced) {
            return Pushed::Dropped;
        }
        inner.waiting.push(delivery, bytes);
        self.wake(inner);
        Pushed::Kept
    }

    /// Whether nothing has been dropped yet; from now on something has.
    pub(crate) fn is_first_overflow(&self) -> bool {
        !self.has_overflowed.load(Ordering::Relaxed)
            && !self.has_overflowed.swap(true, Ordering::Relaxed)
    }

    /// Where it stands now.
    pub(crate) fn standing(&self) -> Standing {
        let inner = self.lock();
        Standing {
            seen: inner.seen.clone(),
            held: inner.waiting.held(),
        }
    }

    /// Takes out the QoS 1 and 2 messages that have waited longest, until both `messages` and `bytes`
    /// are reached or nothing is left.
    pub(crate) fn discard(&self, messages: usize, bytes: usize) -> Vec<Delivery> {
        let mut inner = self.lock();
        let before = inner.waiting.held();
        let mut gone = Vec::new();
        while (gone.len() < messages || before.bytes - inner.waiting.held().bytes < bytes)
            && let Some(delivery) = inner.waiting.pop_acknowledged()
        {
            gone.push(delivery);
        }
        gone
    }

    /// Notes how many messages are on their way to the client.
    pub(crate) fn set_in_flight(&self, messages: usize) {
        // Only this connection writes it, and others look at what is beside it.
        if self.in_flight.load(Ordering::Relaxed) != messages {
            self.in_flight.store(messages, Ordering::Relaxed);
        }
    }

    /// What waits in memory, and how many messages are on their way to the client.
    pub(crate) fn count(&self) -> (Amount, usize) {
        let waiting = self.lock().waiting.all();
        (waiting, self.in_flight.load(Ordering::Relaxed))
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
            word @ (Control::Page(_) | Control::Withdraw(_)) => inner.controls.push_back(word),
        }
        self.wake(inner);
    }

    /// Whether the connection was asked to close, or is closing.
    pub(crate) fn is_closing(&self) -> bool {
        let inner = self.lock();
        inner.is_closing || inner.is_closed
    }

    /// Returns when there is something new, until [`Outbox::look`]. For one task only. Cancel safe.
    pub(crate) async fn changed(&self) {
        poll_fn(|cx| {
            if self.has_news() {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            if self.has_news() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Whether something was put in since the last [`Outbox::look`].
    pub(crate) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    /// The words left for the connection; from now on new arrivals wake again.
    pub(crate) fn look(&self) -> VecDeque<Control> {
        let mut inner = self.lock();
        self.has_news.store(false, Ordering::Relaxed);
        std::mem::take(&mut inner.controls)
    }

    /// Moves QoS 0 messages and at most `window` others into `into`; in all at most `limit`, and fewer
    /// if they are large. Returns whether any are left, here or in the database.
    pub(crate) fn take(&self, window: usize, limit: usize, into: &mut Vec<Delivery>) -> bool {
        let mut inner = self.lock();
        inner.waiting.take(window, limit, into);
        inner.is_behind || inner.waiting.all().messages > 0
    }

    /// If the database holds more and there is room: what of it was seen, to ask for the rest.
    pub(crate) fn start_page(&self) -> Option<Vec<(NodeId, EntryId)>> {
        let mut inner = self.lock();
        let half = Amount {
            messages: self.limits.messages.min(BUFFER.messages) / 2 + 1,
            bytes: self.limits.bytes.min(BUFFER.bytes) / 2 + 1,
        };
        if !inner.is_behind || reaches(inner.waiting.held(), half) {
            return None;
        }
        inner.missed = false;
        Some(inner.seen.clone())
    }

    /// Takes a page in: `deliver` turns each entry that was not seen into a delivery, or drops
    /// it. Entries that come live are taken in again once the database has no more. Returns what
    /// goes because there are too many, which is to be taken out of the database too; never what was
    /// sent on an earlier connection.
    pub(crate) fn finish_page(
        &self,
        page: QueuePage,
        mut deliver: impl FnMut(QueuedEntry) -> Option<Delivery>,
    ) -> Vec<Delivery> {
        let mut gone = Vec::new();
        let mut inner = self.lock();
        for entry in page.entries {
            if !inner.has_seen(entry.source, entry.entry) {
                inner.see(entry.source, entry.entry);
                if let Some(delivery) = deliver(entry) {
                    let bytes = delivery.publication.size_bytes();
                    let was_sent = delivery
                        .stored
                        .is_some_and(|stored| stored.packet_id.is_some());
                    if was_sent || inner.waiting.make_room(&self.limits, bytes, &mut gone) {
                        inner.waiting.push(delivery, bytes);
                    } else {
                        gone.push(delivery);
                    }
                }
            }
        }
        inner.is_behind = page.is_cut || inner.missed;
        gone
    }

    /// Takes nothing in any more and returns the QoS 1 and 2 messages not seen yet.
    pub(crate) fn close(&self) -> Vec<Delivery> {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.controls.clear();
        inner.waiting.take_acknowledged()
    }
}

fn reaches(amount: Amount, limit: Amount) -> bool {
    amount.messages >= limit.messages || amount.bytes >= limit.bytes
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
