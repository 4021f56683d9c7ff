//! Sessions that end with their connection, in memory: nothing of them is to outlive the process, so
//! the disk need not know them.
//!
//! One that has a Will is in the table, and so is one from the moment at which a message is queued for it
//! (shared subscriptions).

use std::collections::{HashMap, HashSet};

use super::link::Link;
use super::session::{self, CLIENTS};
use crate::claim::Found;
use crate::{Batch, Claim, Claimed, Detached, Epoch, Kept, NodeId, SessionId, StoreError};

/// Numbers taken from the file at once.
const BLOCK: i64 = 65_536;

/// Who is connected and not in the table, and who is in it.
#[derive(Debug, Default)]
pub(super) struct Fleeting {
    by_client: HashMap<String, (SessionId, Epoch)>,
    clients: HashMap<SessionId, String>,
    ended: Ended,
    /// Every client with a row in the table; some may have none.
    stored: HashSet<String>,
    is_loaded: bool,
    sessions: Numbers,
    epochs: Numbers,
}

/// Numbers that are taken from the file in blocks: one that is given later is larger, also after a
/// restart.
#[derive(Debug, Default)]
struct Numbers {
    last: i64,
    /// The last that is ours.
    end: i64,
}

impl Numbers {
    /// The next one, from the block. Never beyond it after [`Fleeting::reserve`].
    const fn draw(&mut self) -> i64 {
        self.last += 1;
        self.last
    }
}

impl Fleeting {
    /// Before the first claim: reads who is in the table.
    pub(super) async fn load(&mut self, link: &mut Link) -> Result<(), StoreError> {
        if !self.is_loaded {
            let clients: Vec<String> = sqlx::query_scalar(CLIENTS)
                .fetch_all(link.connection().await?)
                .await?;
            self.stored = clients.into_iter().collect();
            self.is_loaded = true;
        }
        Ok(())
    }

    /// Makes sure that there are numbers for `count` claims.
    pub(super) async fn reserve(
        &mut self,
        link: &mut Link,
        count: usize,
    ) -> Result<(), StoreError> {
        let count = super::limit(count);
        let is_enough = |numbers: &Numbers| numbers.end - numbers.last >= count;
        if is_enough(&self.sessions) && is_enough(&self.epochs) {
            return Ok(());
        }
        let block = BLOCK.max(count);
        let mut tx = link.begin().await?;
        let sessions = session::advance(&mut tx, "session", block).await?;
        let epochs = session::advance(&mut tx, "epoch", block).await?;
        tx.commit().await?;
        for (numbers, end) in [(&mut self.sessions, sessions), (&mut self.epochs, epochs)] {
            numbers.last = end - block;
            numbers.end = end;
        }
        Ok(())
    }

    pub(super) const fn next_session(&mut self) -> SessionId {
        SessionId(self.sessions.draw())
    }

    pub(super) const fn next_epoch(&mut self) -> Epoch {
        Epoch(self.epochs.draw())
    }

    /// Whether the table need not know of the claim.
    pub(super) fn takes(&self, claim: &Claim) -> bool {
        claim.expiry_interval == 0
            && claim.will.is_none()
            && !self.stored.contains(&claim.client_id)
    }

    /// What is known of a client that is connected.
    pub(super) fn find(&self, client_id: &str, node: NodeId) -> Option<Found> {
        let (session, epoch) = *self.by_client.get(client_id)?;
        Some(Found {
            session,
            epoch,
            owner: Some(node),
            expiry_interval: 0,
            is_expired: false,
        })
    }

    /// Makes a claim that it [takes](Self::takes).
    pub(super) fn claim(&mut self, node: NodeId, claim: &Claim) -> Claimed {
        let decision = self
            .find(&claim.client_id, node)
            .map(|found| found.decide(claim, |_| true));
        self.forget(&claim.client_id);
        if let Some(discarded) = decision.and_then(|decision| decision.discarded) {
            self.ended.add(discarded);
        }
        let (session, epoch) = (self.next_session(), self.next_epoch());
        let client_id = claim.client_id.clone();
        self.clients.insert(session, client_id.clone());
        self.by_client.insert(client_id, (session, epoch));
        Claimed {
            session,
            epoch,
            is_present: false,
            previous: decision.and_then(|decision| decision.previous),
            discarded: decision.and_then(|decision| decision.discarded),
            kept: Kept::default(),
        }
    }

    fn forget(&mut self, client_id: &str) {
        if let Some((session, _)) = self.by_client.remove(client_id) {
            self.clients.remove(&session);
        }
    }

    /// The table knows the client from now on.
    pub(super) fn store(&mut self, client_id: &str) {
        self.forget(client_id);
        self.stored.insert(client_id.to_owned());
    }

    /// The table has no row of the client any more.
    pub(super) fn unstore(&mut self, client_id: &str) {
        self.stored.remove(client_id);
    }

    /// Whether it is a session of a client that is connected, and not in the table.
    pub(super) fn has(&self, client_id: &str) -> bool {
        self.by_client.contains_key(client_id)
    }

    /// Whether the connection is that of a session here.
    pub(super) fn is_of(&self, detached: &Detached) -> bool {
        let here = self.by_client.get(&detached.client_id);
        here.is_some_and(|here| *here == (detached.session, detached.epoch))
    }

    /// Whether the end of connections of sessions here is all that `batch` has.
    pub(super) fn is_all(&self, batch: &Batch) -> bool {
        batch.has_only_detached() && batch.detached.iter().all(|detached| self.is_of(detached))
    }

    /// What the table must know before `batch`.
    pub(super) fn addressed(&self, batch: &Batch) -> Addressed {
        let mut addressed = Addressed::default();
        if self.clients.is_empty() && self.ended.is_empty() {
            return addressed;
        }
        let entries = batch.messages.iter().flat_map(|message| &message.entries);
        let moved = batch.moved.iter().map(|moved| &moved.to);
        let subscribed = batch.subscribed.iter().map(|change| change.session);
        let mut sessions: Vec<SessionId> = entries
            .chain(moved)
            .map(|entry| entry.session)
            .chain(subscribed)
            .filter(|session| self.clients.contains_key(session) || self.ended.has(*session))
            .collect();
        sessions.sort_unstable();
        sessions.dedup();
        for session in sessions {
            let client_id = self.clients.get(&session);
            let live = client_id.and_then(|id| Some((id, *self.by_client.get(id)?)));
            match live {
                Some((client_id, key)) => {
                    let claim = Claim {
                        client_id: client_id.clone(),
                        clean_start: true,
                        expiry_interval: 0,
                        will: None,
                    };
                    addressed.live.push((claim, key));
                }
                None => addressed.ended.push(session),
            }
        }
        addressed
    }

    /// The connection of a session here is gone, and with it the session.
    pub(super) fn detach(&mut self, detached: &Detached) {
        if self.is_of(detached) {
            self.forget(&detached.client_id);
            self.ended.add(detached.session);
        }
    }
}

/// Sessions that the table must know, because something is written for them.
#[derive(Debug, Default)]
pub(super) struct Addressed {
    /// Claims of clients that are connected.
    pub(super) live: Vec<(Claim, (SessionId, Epoch))>,
    /// They had ended when the message was on its way.
    pub(super) ended: Vec<SessionId>,
}

/// Sessions that have ended a moment ago.
#[derive(Debug, Default)]
struct Ended {
    young: HashSet<SessionId>,
    old: HashSet<SessionId>,
}

impl Ended {
    /// So many are remembered at least, and twice as many at most.
    const MOST: usize = 10_000;

    fn add(&mut self, session: SessionId) {
        if self.young.len() >= Self::MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(session);
    }

    fn has(&self, session: SessionId) -> bool {
        self.young.contains(&session) || self.old.contains(&session)
    }

    fn is_empty(&self) -> bool {
        self.young.is_empty()
    }
}
