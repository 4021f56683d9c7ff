//! Queues in the database that grow beyond what may wait for a client.
//!
//! A node cannot know how long the queue of a stored session is: every node adds to it. So each counts
//! what it has added itself, or seen go by, since the queue was counted last. After a quarter of the
//! limit the database counts, and cuts off what is too much. While the client is connected, only its
//! node does so, because it knows what is in memory already.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use ahash::AHashSet;
use ibc::{QueuedPage, SessionId, Surplus, Trim};
use mqtt::Str;
use tokio::sync::Notify;
use tracing::warn;

use super::Router;
use crate::{
    cluster::Urgency,
    config::DropPolicy,
    delivery::{Outbox, Stored},
    telemetry::{Dropped, chain},
};

/// After how much of the limit a queue is counted again.
const SHARE: u64 = 4;

/// What has come into a queue since it was counted.
#[derive(Debug, Default)]
pub(super) struct Growth {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Sessions whose queues must be counted.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    sessions: Mutex<AHashSet<SessionId>>,
    added: Notify,
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Router {
    /// A message has come into the queue of a session and waits in the database alone.
    pub(super) fn has_grown(&self, session: SessionId, growth: &Growth, bytes: usize) {
        let messages = growth.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = number(bytes) + growth.bytes.fetch_add(number(bytes), Ordering::Relaxed);
        let limit = |limit: usize| (number(limit) / SHARE).max(1);
        if messages < limit(self.limits.messages) && bytes < limit(self.limits.bytes) {
            return;
        }
        growth.messages.store(0, Ordering::Relaxed);
        growth.bytes.store(0, Ordering::Relaxed);
        let mut sessions = self
            .crowds
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if sessions.insert(session) {
            drop(sessions);
            self.crowds.added.notify_one();
        }
    }

    /// Waits for sessions whose queues must be counted. Cancel safe.
    pub(crate) async fn crowded(&self) -> Vec<SessionId> {
        loop {
            let sessions = std::mem::take(
                &mut *self
                    .crowds
                    .sessions
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if !sessions.is_empty() {
                return sessions.into_iter().collect();
            }
            self.crowds.added.notified().await;
        }
    }

    /// Whether the first page of a queue is more than may wait, or may be the beginning of it.
    pub(crate) fn is_surplus(&self, page: &QueuedPage) -> bool {
        let bytes = page.entries.iter().map(|entry| entry.body.len());
        page.is_cut
            || page.entries.len() > self.limits.messages
            || bytes.sum::<usize>() > self.limits.bytes
    }

    /// Cuts the queue of a session back to what may wait, if that is the business of this node. What
    /// is dropped is counted. Without the database it is left to the next time.
    pub(crate) async fn trim(&self, session: SessionId) {
        let Some(subscriber) = self.subscriber(session) else {
            return;
        };
        let owner = subscriber.owner();
        let outbox = subscriber.outbox();
        if owner.is_some_and(|owner| owner != self.node()) {
            return;
        }
        let standing = outbox.as_ref().map(|outbox| outbox.standing());
        let (seen, held) =
            standing.map_or_else(Default::default, |standing| (standing.seen, standing.held));
        let is_oldest = self.limits.policy == DropPolicy::Oldest;
        // What goes first is in memory if it is the oldest, and in the database otherwise.
        let (in_memory, surplus) = if is_oldest {
            (Default::default(), Surplus::Oldest)
        } else {
            (held, Surplus::Newest)
        };
        let trim = Trim {
            session,
            owner,
            seen,
            max_entries: self.limits.messages.saturating_sub(in_memory.messages),
            max_bytes: self.limits.bytes.saturating_sub(in_memory.bytes),
            surplus,
        };
        let store = &self.cluster.databases.store;
        let trimmed = match store.trim(self.node(), &trim).await {
            Ok(trimmed) => trimmed,
            Err(error) => {
                warn!(error = %chain(&error), "queue not cut back, will repeat");
                return;
            }
        };
        if trimmed.dropped > 0 {
            let client_id = &subscriber.client_id;
            warn!(%client_id, count = trimmed.dropped, "messages dropped: too many wait");
            self.metrics
                .drop_messages(Dropped::QueueFull, trimmed.dropped);
        }
        if let Some(outbox) = outbox.filter(|_| is_oldest) {
            let left = |left: u64| usize::try_from(left).unwrap_or(usize::MAX);
            let messages = (held.messages + left(trimmed.left_entries))
                .saturating_sub(self.limits.messages)
                .min(held.messages);
            let bytes = (held.bytes + left(trimmed.left_bytes))
                .saturating_sub(self.limits.bytes)
                .min(held.bytes);
            let gone = outbox.discard(messages, bytes);
            let gone = gone.iter().map(|delivery| delivery.stored);
            self.lose(session, &subscriber.client_id, &outbox, gone);
        }
    }

    /// Messages have gone because too many wait for a client: they are counted, what is stored of them
    /// is deleted, and the first on a connection is logged.
    pub(crate) fn lose(
        &self,
        session: SessionId,
        client_id: &Str,
        outbox: &Outbox,
        gone: impl IntoIterator<Item = Option<Stored>>,
    ) {
        for stored in gone {
            self.metrics.drop_message(Dropped::QueueFull);
            if outbox.is_first_overflow() {
                warn!(%client_id, "messages dropped: too many wait");
            }
            if let Some(stored) = stored {
                self.forget_entry(session, stored);
            }
        }
    }

    /// Takes an entry that was dropped out of the queue in the database.
    fn forget_entry(&self, session: SessionId, stored: Stored) {
        let done = ibc::Acknowledged {
            session,
            entry: stored.entry,
            message: stored.message,
        };
        self.cluster.durable.add(Urgency::Later, |filling| {
            filling.change(|batch| batch.acknowledged.push(done));
        });
    }
}
