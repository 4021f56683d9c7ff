//! What must be durable, packed per commit.
//!
//! Everybody adds to the batch that is being filled and gets its number; one task commits batch
//! after batch. No timer paces it: while one commit is under way the next batch fills.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ahash::AHashMap;
use ibc::{Batch, Committed, NewEntry, NewMessage, RetainedChange, StoreError};
use tokio::sync::Notify;
use tracing::error;

use super::{Cluster, Ticket, outage::Witness};
use crate::{
    delivery::Publication,
    shutdown::{Failure, Shutdown},
    telemetry::chain,
};

/// How soon a change must be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Now,
    /// With the next urgent one, or after [`LINGER`].
    Later,
}

/// What a client has in the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stake {
    /// It waits for an acknowledgement.
    Waiting,
    /// Nothing that it waits for.
    Nothing,
}

/// How long a change that nobody waits for may lie.
const LINGER: Duration = Duration::from_millis(20);
/// A batch is closed at this many changes or bytes.
const BATCH_CHANGES: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;
/// Publishers that wait for an acknowledgement are not read when this much has piled up.
const FULL_BYTES: usize = 64 << 20;
const FULL_BATCHES: usize = 16;
/// Nobody is read when it is so many times that much.
const FLOOD: usize = 2;

/// A batch with the messages it stands for.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    batch: Batch,
    /// Beside `batch.messages`.
    messages: Vec<Arc<Publication>>,
    /// Beside `batch.moved`.
    moved: Vec<Arc<Publication>>,
    /// Beside `batch.retained`.
    retained: Vec<Option<Arc<Publication>>>,
    topics: AHashMap<String, usize>,
    changes: usize,
    bytes: usize,
    is_urgent: bool,
}

impl Filling {
    /// A message for the queues of stored sessions.
    pub(crate) fn enqueue(&mut self, publication: &Arc<Publication>, entries: Vec<NewEntry>) {
        let body = publication.encoded();
        self.count(1 + entries.len(), body.len() + 32 * entries.len());
        self.batch.messages.push(NewMessage { body, entries });
        self.messages.push(Arc::clone(publication));
    }

    /// A message of a shared subscription goes to another member.
    pub(crate) fn move_entry(&mut self, publication: &Arc<Publication>, moved: ibc::Moved) {
        self.count(1, 64);
        self.batch.moved.push(moved);
        self.moved.push(Arc::clone(publication));
    }

    /// A retained message is set, or removed. The last change of a topic in a batch counts.
    pub(crate) fn retain(&mut self, topic_name: &str, publication: Option<&Arc<Publication>>) {
        let body = publication.map(|publication| publication.encoded());
        self.count(1, 64 + body.as_ref().map_or(0, bytes::Bytes::len));
        let change = RetainedChange {
            topic_name: topic_name.to_owned(),
            body,
            expiry_interval: publication.and_then(|publication| publication.remaining_expiry()),
        };
        let publication = publication.map(Arc::clone);
        if let Some(index) = self.topics.get(topic_name)
            && let Some(old) = self.batch.retained.get_mut(*index)
            && let Some(old_publication) = self.retained.get_mut(*index)
        {
            *old = change;
            *old_publication = publication;
            return;
        }
        self.topics
            .insert(topic_name.to_owned(), self.batch.retained.len());
        self.batch.retained.push(change);
        self.retained.push(publication);
    }

    /// Any other change.
    pub(crate) fn change(&mut self, add: impl FnOnce(&mut Batch)) {
        self.count(1, 48);
        add(&mut self.batch);
    }

    fn count(&mut self, changes: usize, bytes: usize) {
        self.changes += changes;
        self.bytes += bytes;
    }

    fn is_closed(&self) -> bool {
        self.changes >= BATCH_CHANGES || self.bytes >= BATCH_BYTES
    }
}

/// A committed batch.
pub(crate) struct Written {
    filling: Filling,
    committed: Committed,
}

impl Written {
    /// Each message for queues: its identifier, the queues, the message.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (i64, &[NewEntry], &Arc<Publication>)> {
        let first = self.committed.base;
        let messages = self
            .filling
            .batch
            .messages
            .iter()
            .zip(&self.filling.messages);
        messages
            .zip(first..)
            .map(|((new, publication), id)| (id, new.entries.as_slice(), publication))
    }

    /// Entries of sessions connected here that other members of their shared subscriptions have got.
    pub(crate) fn moved_on(&self) -> &[(ibc::SessionId, ibc::EntryId)] {
        &self.committed.moved_on
    }

    /// Each moved entry: its new identifier, the move, the message.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (i64, &ibc::Moved, &Arc<Publication>)> {
        let first = self.committed.base + length(&self.filling.messages);
        let moved = self.filling.batch.moved.iter().zip(&self.filling.moved);
        moved
            .zip(first..)
            .map(|((moved, publication), id)| (id, moved, publication))
    }

    /// Each retained change: its version, the topic, the message.
    pub(crate) fn retained(&self) -> impl Iterator<Item = (i64, &str, Option<&Arc<Publication>>)> {
        let first =
            self.committed.base + length(&self.filling.messages) + length(&self.filling.moved);
        let retained = self
            .filling
            .batch
            .retained
            .iter()
            .zip(&self.filling.retained);
        retained
            .zip(first..)
            .map(|((change, publication), version)| {
                (version, change.topic_name.as_str(), publication.as_ref())
            })
    }
}

fn length<T>(items: &[T]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

/// What must be durable and is not yet.
pub(crate) struct Lane {
    state: Mutex<State>,
    /// Read in every turn of every connection; changed under the lock only.
    is_full: AtomicBool,
    is_flooded: AtomicBool,
    work: Notify,
}

struct State {
    filling: Filling,
    /// The number of `filling`.
    number: u64,
    /// Closed batches, with the numbers before `number`.
    closed: VecDeque<Filling>,
    closed_bytes: usize,
    /// The last batch with a retained change.
    retained: u64,
}

impl Lane {
    pub(super) fn new() -> Self {
        let state = State {
            filling: Filling::default(),
            number: 1,
            closed: VecDeque::new(),
            closed_bytes: 0,
            retained: 0,
        };
        Self {
            state: Mutex::new(state),
            is_full: AtomicBool::new(false),
            is_flooded: AtomicBool::new(false),
            work: Notify::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the lock held when a batch was closed or cut.
    fn weigh(&self, state: &State) {
        let holds = |times: usize| {
            state.closed.len() >= FULL_BATCHES * times || state.closed_bytes >= FULL_BYTES * times
        };
        self.is_full.store(holds(1), Ordering::Relaxed);
        self.is_flooded.store(holds(FLOOD), Ordering::Relaxed);
    }

    /// Adds changes that are committed together. The ticket is reached when they are durable.
    pub(crate) fn add(&self, urgency: Urgency, add: impl FnOnce(&mut Filling)) -> Ticket {
        let mut state = self.lock();
        let number = state.number;
        let (was_empty, was_urgent) = (state.filling.changes == 0, state.filling.is_urgent);
        let retained = state.filling.batch.retained.len();
        add(&mut state.filling);
        if state.filling.changes == 0 {
            return Ticket::default();
        }
        if state.filling.batch.retained.len() != retained || retained > 0 {
            state.retained = number;
        }
        state.filling.is_urgent |= urgency == Urgency::Now;
        let must_wake = was_empty || (!was_urgent && state.filling.is_urgent);
        if state.filling.is_closed() {
            let closed = std::mem::take(&mut state.filling);
            state.closed_bytes += closed.bytes;
            state.closed.push_back(closed);
            self.weigh(&state);
            state.number += 1;
        }
        drop(state);
        if must_wake {
            self.work.notify_one();
        }
        Ticket {
            durable: number,
            forwarded: 0,
        }
    }

    /// Reached when every retained message set so far is durable and in the tree of this node.
    pub(crate) fn retained(&self) -> Ticket {
        Ticket {
            durable: self.lock().retained,
            forwarded: 0,
        }
    }

    /// Reached when everything added so far is durable.
    pub(crate) fn everything(&self) -> Ticket {
        let state = self.lock();
        let is_empty = state.filling.changes == 0;
        Ticket {
            durable: state.number - u64::from(is_empty),
            forwarded: 0,
        }
    }

    /// Whether a client with this stake should wait.
    pub(crate) fn is_full(&self, stake: Stake) -> bool {
        let level = match stake {
            Stake::Waiting => &self.is_full,
            Stake::Nothing => &self.is_flooded,
        };
        level.load(Ordering::Relaxed)
    }

    /// The next batch with its number, if it is due.
    fn cut(&self, is_lingered: bool) -> Option<(u64, Filling)> {
        let mut state = self.lock();
        if let Some(filling) = state.closed.pop_front() {
            state.closed_bytes -= filling.bytes;
            self.weigh(&state);
            let behind = u64::try_from(state.closed.len()).unwrap_or(0);
            return Some((state.number - 1 - behind, filling));
        }
        if state.filling.changes == 0 || !(state.filling.is_urgent || is_lingered) {
            return None;
        }
        let number = state.number;
        state.number += 1;
        Some((number, std::mem::take(&mut state.filling)))
    }

    /// Commits batch after batch until `shutdown` stops and nothing is left. After each, `landed`
    /// hands it on before anybody who waits for it is told.
    pub(crate) async fn write(
        cluster: Arc<Cluster>,
        shutdown: Shutdown,
        landed: impl Fn(&Written) + Send + Sync,
    ) {
        let lane = &cluster.durable;
        loop {
            let mut next = lane.cut(false);
            if next.is_none() {
                let is_stopping = tokio::select! {
                    () = lane.work.notified() => false,
                    () = shutdown.stopped() => true,
                };
                next = lane.cut(is_stopping);
                if next.is_none() && !is_stopping {
                    tokio::select! {
                        () = lane.work.notified() => {}
                        () = tokio::time::sleep(LINGER) => {}
                    }
                    next = lane.cut(true);
                }
                if next.is_none() && is_stopping {
                    return;
                }
            }
            let Some((number, mut filling)) = next else {
                continue;
            };
            filling.batch.number = number;
            let Some(committed) = commit(&cluster, &filling.batch, &shutdown).await else {
                return;
            };
            landed(&Written { filling, committed });
            cluster.progress.set_durable(number);
        }
    }
}

/// Repeats until the batch is durable; its number sees to it that it becomes so once. `None` if it never will be: the process is ending.
async fn commit(cluster: &Cluster, batch: &Batch, shutdown: &Shutdown) -> Option<Committed> {
    let mut pause = Duration::from_millis(20);
    loop {
        let started = std::time::Instant::now();
        match cluster.databases.store.commit(cluster.node, batch).await {
            Ok(committed) => {
                cluster
                    .metrics
                    .commit_seconds
                    .observe(started.elapsed().as_secs_f64());
                cluster.outage.end(Witness::Lane);
                return Some(committed);
            }
            Err(error @ (StoreError::Unreachable(_) | StoreError::Disk { .. })) => {
                cluster.outage.begin(Witness::Lane, &error);
                cluster.progress.nudge();
                cluster.metrics.commit_retries.inc();
            }
            Err(error @ (StoreError::Refused(_) | StoreError::Corrupt { .. })) => {
                error!(error = %chain(&error), "database refused what must be durable");
                let text = format!("the database refused a change: {}", chain(&error));
                shutdown.fail(Failure::Broken(text));
                return None;
            }
            Err(StoreError::Fenced) => {
                shutdown.fail(Failure::Fenced);
                return None;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
