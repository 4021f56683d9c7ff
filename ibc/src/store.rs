//! The truth: members, sessions, queues, retained messages and wills.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Batch, Buried, Claim, Claimed, Committed, DueWill, Ended, EntryId, JoinError, Joined, Kept,
    Member, NodeId, NodeState, PageLimit, QueuedPage, RetainedMessage, SessionId, SessionSnapshot,
    SharedEntry, StoreError, Trim, Trimmed,
};

/// What all nodes agree on, because it is in the database.
///
/// Every method is one transaction: after an error nothing of it has happened, except after
/// [`StoreError::Unreachable`], when it may have, and [`StoreError::Disk`], which says when. Methods are not cancel safe: run them in a task
/// that is never dropped half-way.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Enters this node as [`NodeState::Joining`] with a lease of `lease`.
    ///
    /// If a member of that name exists, waits for its lease to run out (a node killed a moment
    /// ago), or finds that it gives no sign of life, and declares it dead.
    ///
    /// # Errors
    ///
    /// [`JoinError::NameTaken`] if that member is alive.
    async fn join(&self, name: &str, version: &str, lease: Duration) -> Result<Joined, JoinError>;

    /// Renews the lease, sets the state, and returns all members that are not dead.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] if this node was declared dead.
    async fn renew(
        &self,
        node: NodeId,
        state: NodeState,
        lease: Duration,
    ) -> Result<Vec<Member>, StoreError>;

    /// Whether others may take this node for dead although its lease goes on: it has lost one of its
    /// lasting connections to the database, perhaps the other one too, and has not renewed since. It
    /// must not act in the name of the cluster then.
    fn is_lapsed(&self) -> bool;

    /// Returns when the lease should be renewed without delay, because connections to the database
    /// have broken, or can be had again. Noticed while [`Forward::wait`](crate::Forward::wait) is
    /// called. Cancel safe.
    async fn must_renew(&self);

    /// Declares `suspect` dead, if its lease has run out or it gives no sign of life, and lets
    /// its clients go: owners are cleared, expiry starts, sessions without expiry are deleted, wills
    /// become due after their delay. Returns `None` if it is alive or another node has buried it.
    /// Takes a quarter of a second if its lease goes on.
    async fn bury(&self, node: NodeId, suspect: NodeId) -> Result<Option<Buried>, StoreError>;

    /// Declares this node dead, after its clients were let go.
    async fn leave(&self, node: NodeId) -> Result<(), StoreError>;

    /// Claims client IDs for this node, in one transaction; the answers are in the same order.
    /// A client ID comes at most once. `number` is larger than that of all earlier claims of this node.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] if this node was declared dead. After [`StoreError::Unreachable`] the
    /// claims may have been made: call again with the same `number` and `claims`, and the answers are
    /// what they were, without a second claim.
    async fn claim(
        &self,
        node: NodeId,
        number: u64,
        claims: &[Claim],
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Those of `clients` whose last claim is one of this node.
    async fn owned(&self, node: NodeId, clients: &[String]) -> Result<Vec<String>, StoreError>;

    /// Makes `batch` durable.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] if this node was declared dead. After [`StoreError::Unreachable`] it may
    /// have become durable: commit it again, unchanged, before any other, and nothing is made twice.
    async fn commit(&self, node: NodeId, batch: &Batch) -> Result<Committed, StoreError>;

    /// The queue of a session in order, without what the caller has seen: for each writing node
    /// in `seen`, only entries above the given one. At most `limit`, the oldest first.
    async fn queued(
        &self,
        session: SessionId,
        seen: &[(NodeId, EntryId)],
        limit: PageLimit,
    ) -> Result<QueuedPage, StoreError>;

    /// Messages of shared subscriptions in the queues of sessions that have ended, that were not sent and
    /// that nobody has given to another member: in the order of sessions and entries, those after `after`,
    /// at most `limit`. Moving one that somebody else has moved does nothing.
    async fn stranded(
        &self,
        after: (SessionId, EntryId),
        limit: usize,
    ) -> Result<Vec<SharedEntry>, StoreError>;

    /// Cuts the queue of a session back to a limit, unless its owner is not the one that `trim`
    /// says. What was given a packet identifier is neither counted nor deleted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] if this node was declared dead.
    async fn trim(&self, node: NodeId, trim: &Trim) -> Result<Trimmed, StoreError>;

    /// What a session keeps beside its queue; empty if there is no such session.
    async fn kept(&self, session: SessionId) -> Result<Kept, StoreError>;

    /// Persistent sessions above `after` in the order of their identifiers, at most `limit`. Fewer if
    /// together they have more than [`FILTERS`] times `limit` subscriptions, but never none for that.
    async fn sessions(
        &self,
        after: SessionId,
        limit: usize,
    ) -> Result<Vec<SessionSnapshot>, StoreError>;

    /// Retained messages whose topic is above `after`, in the order of their topics, at most
    /// `limit`; without removed and expired ones.
    async fn retained(&self, after: &str, limit: usize)
    -> Result<Vec<RetainedMessage>, StoreError>;

    /// Retained messages changed in the last `period`, removed ones included.
    async fn retained_since(&self, period: Duration) -> Result<Vec<RetainedMessage>, StoreError>;

    /// Deletes at most `limit` sessions whose time is over; their wills become due.
    async fn expire(&self, limit: usize) -> Result<Vec<Ended>, StoreError>;

    /// Takes at most `limit` due wills for publication by this node. A will taken by a node that
    /// died is taken again. It stays stored until a [`Batch::wills`] names it.
    async fn due_wills(&self, node: NodeId, limit: usize) -> Result<Vec<DueWill>, StoreError>;

    /// Bulk clean-up of what nothing refers to any more: messages without entries, queues of ended
    /// sessions, tombstones of retained messages, frames to dead nodes, old dead members.
    /// At most one node does it at a time. Returns the number of rows deleted.
    async fn sweep(&self) -> Result<u64, StoreError>;
}

/// See [`Store::sessions`].
pub(crate) const FILTERS: usize = 8;
