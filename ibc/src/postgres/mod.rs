//! The shared state on Postgres, and frames from node to node through it.
//!
//! SQL of a table is in the file of that name; `claims`, `commits`, `burial` and `sweep` are the transactions
//! that touch several. Every node has its own [`Postgres`]. All objects are in the current schema of
//! the connection; advisory locks and channels carry a hash of its name.

mod absence;
mod burial;
mod claims;
mod commits;
mod doorbell;
mod ended_session;
mod fence;
mod frame;
mod locks;
mod message;
mod mqtt_user;
mod node;
mod open;
mod outcome;
mod pool;
mod presence;
mod queue;
mod received;
mod retained;
mod secret;
mod session;
mod signs;
mod subscription;
mod sweep;
mod trim;
mod will;

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use self::absence::Absences;
use self::doorbell::Doorbell;
use self::locks::Names;
use self::node::{Judge, Look};
use self::pool::{Pool, limited};
use self::presence::Presence;
use self::signs::{Lasting, Signs};
use crate::{
    Batch, Buried, Claim, Claimed, Committed, Cursor, DueWill, Ended, EntryId, Epoch, Forward,
    Frame, FramePage, JoinError, Joined, Kept, Member, NodeId, NodeState, OpenError, PageLimit,
    QueuedPage, RetainedMessage, SessionId, SessionSnapshot, SharedEntry, Store, StoreError, Trim,
    Trimmed, User, Users,
};

/// How a node uses the database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Most connections for calls. Two more are for presence and for the doorbell. At least 1.
    pub max_connections: u32,
    /// How long a call waits for a connection. Then it fails with [`StoreError::Unreachable`].
    pub acquire_timeout: Duration,
    /// The lease that will be given to `join`: how long an answer to a renewal is of use.
    pub lease: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(5),
        }
    }
}

/// A Postgres database that nodes share: [`Store`] and [`Forward`].
///
/// One for each node: [`join`](Store::join) makes its presence that of the node that joined last.
pub struct Postgres {
    names: Names,
    pool: Pool,
    presence: Presence,
    signs: Signs,
    doorbell: Doorbell,
    absences: Absences,
    streams: frame::Streams,
    swept: Mutex<sweep::Position>,
}

impl Postgres {
    /// Connects to `url` and brings the schema up to date, whichever node comes first.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which names `cluster.database_url`; within about ten seconds if nobody answers.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let opened = open::open(url).await?;
        let names = Names::new(opened.schema_hash);
        let connect = opened.options;
        let lasting = Lasting {
            options: connect.clone(),
            names,
            signs: Signs::default(),
            lease: options.lease,
        };
        Ok(Self {
            names,
            pool: Pool::new(
                connect.clone(),
                options.max_connections,
                options.acquire_timeout,
            ),
            signs: lasting.signs.clone(),
            presence: Presence::new(lasting.clone()),
            doorbell: Doorbell::new(lasting),
            absences: Absences::default(),
            streams: frame::Streams::default(),
            swept: Mutex::default(),
        })
    }

    /// Asked anew for each look: meanwhile the connection may have been lost.
    async fn judge(&self, node: NodeId) -> Judge {
        Judge {
            names: self.names,
            node,
            is_settled: self.presence.is_settled().await,
        }
    }
}

/// Runs a call on a connection of the pool.
macro_rules! on_connection {
    ($self:ident, $c:ident => $call:expr) => {{
        let mut taken = $self.pool.take().await?;
        let $c = &mut taken.connection;
        let result = limited($call).await;
        taken.give_back(&result);
        result
    }};
}

#[async_trait]
impl Store for Postgres {
    async fn join(&self, name: &str, version: &str, lease: Duration) -> Result<Joined, JoinError> {
        self.presence.join(name, version, lease).await
    }

    async fn renew(
        &self,
        node: NodeId,
        state: NodeState,
        lease: Duration,
    ) -> Result<Vec<Member>, StoreError> {
        let members = self.presence.renew(node, state, lease).await?;
        self.absences.note(&members);
        Ok(members)
    }

    fn is_lapsed(&self) -> bool {
        self.signs.is_lapsed()
    }

    async fn must_renew(&self) {
        self.doorbell.changed().await;
    }

    async fn bury(&self, node: NodeId, suspect: NodeId) -> Result<Option<Buried>, StoreError> {
        let judge = self.judge(node).await;
        match on_connection!(self, c => node::look(c, judge, suspect))? {
            Look::Nothing => return Ok(None),
            Look::Dead => {}
            Look::Absent => self.absences.second_look(suspect).await,
        }
        let judge = self.judge(node).await;
        on_connection!(self, c => burial::bury(c, judge, suspect))
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        let result = on_connection!(self, c => node::leave(c, node));
        self.presence.release().await;
        result
    }

    async fn claim(
        &self,
        node: NodeId,
        number: u64,
        claims: &[Claim],
    ) -> Result<Vec<Claimed>, StoreError> {
        on_connection!(self, c => claims::claim(c, (self.names, node), number, claims))
    }

    async fn owned(&self, node: NodeId, clients: &[String]) -> Result<Vec<String>, StoreError> {
        on_connection!(self, c => session::owned(c, node, clients))
    }

    async fn commit(&self, node: NodeId, batch: &Batch) -> Result<Committed, StoreError> {
        on_connection!(self, c => commits::commit(c, self.names, node, batch))
    }

    async fn queued(
        &self,
        session: SessionId,
        seen: &[(NodeId, EntryId)],
        limit: PageLimit,
    ) -> Result<QueuedPage, StoreError> {
        on_connection!(self, c => queue::read(c, session, seen, limit))
    }

    async fn stranded(
        &self,
        after: (SessionId, EntryId),
        limit: usize,
    ) -> Result<Vec<SharedEntry>, StoreError> {
        on_connection!(self, c => queue::stranded(c, after, limit))
    }

    async fn trim(&self, node: NodeId, trim: &Trim) -> Result<Trimmed, StoreError> {
        on_connection!(self, c => trim::trim(c, self.names, node, trim))
    }

    async fn kept(&self, session: SessionId) -> Result<Kept, StoreError> {
        on_connection!(self, c => claims::kept(c, session))
    }

    async fn sessions(
        &self,
        after: SessionId,
        limit: usize,
    ) -> Result<Vec<SessionSnapshot>, StoreError> {
        on_connection!(self, c => snapshots(c, after, limit))
    }

    async fn retained(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RetainedMessage>, StoreError> {
        on_connection!(self, c => retained::read(c, after, limit))
    }

    async fn retained_since(&self, period: Duration) -> Result<Vec<RetainedMessage>, StoreError> {
        on_connection!(self, c => retained::read_since(c, period))
    }

    async fn expire(&self, limit: usize) -> Result<Vec<Ended>, StoreError> {
        on_connection!(self, c => session::expire(c, limit))
    }

    async fn due_wills(&self, node: NodeId, limit: usize) -> Result<Vec<DueWill>, StoreError> {
        on_connection!(self, c => will::take(c, node, limit))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        on_connection!(self, c => sweep::sweep(c, self.names, &self.swept))
    }
}

#[async_trait]
impl Users for Postgres {
    async fn user(&self, username: &str) -> Result<Option<User>, StoreError> {
        on_connection!(self, c => mqtt_user::read_one(c, username))
    }

    async fn users(&self, after: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        on_connection!(self, c => mqtt_user::read(c, after, limit))
    }

    async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        on_connection!(self, c => mqtt_user::insert(c, user))
    }

    async fn put_user(&self, user: &User) -> Result<(), StoreError> {
        on_connection!(self, c => mqtt_user::upsert(c, user))
    }

    async fn remove_user(&self, username: &str) -> Result<bool, StoreError> {
        on_connection!(self, c => mqtt_user::delete(c, username))
    }

    async fn secret(&self, name: &str, candidate: &[u8]) -> Result<Vec<u8>, StoreError> {
        on_connection!(self, c => secret::share(c, name, candidate))
    }
}

#[async_trait]
impl Forward for Postgres {
    async fn append(&self, node: NodeId, frames: &[Frame]) -> Result<(), StoreError> {
        on_connection!(self, c => frame::append(c, self.names, node, frames))
    }

    async fn read(
        &self,
        node: NodeId,
        cursors: &[Cursor],
        limit: usize,
    ) -> Result<FramePage, StoreError> {
        on_connection!(self, c => self.streams.read(c, node, cursors, limit))
    }

    async fn consumed(&self, node: NodeId, cursors: &[Cursor]) -> Result<(), StoreError> {
        on_connection!(self, c => self.streams.consume(c, node, cursors))
    }

    async fn vacuum(&self) -> Result<(), StoreError> {
        if self.streams.wants_vacuum() {
            on_connection!(self, c => self.streams.vacuum(c))
        } else {
            Ok(())
        }
    }

    async fn life(&self) -> Result<i64, StoreError> {
        on_connection!(self, c => frame::life(c))
    }

    async fn wait(&self, node: NodeId, patience: Duration) -> Result<(), StoreError> {
        let result = self.doorbell.wait(node, patience).await;
        self.streams.look();
        result
    }
}

async fn snapshots(
    c: &mut PgConnection,
    after: SessionId,
    limit: usize,
) -> Result<Vec<SessionSnapshot>, StoreError> {
    let mut rows = session::read(c, after, limit).await?;
    let ids: Vec<i64> = rows.iter().map(|(id, ..)| *id).collect();
    let most = limit.saturating_mul(crate::store::FILTERS);
    let (mut subscriptions, cut) = subscription::read_first(c, &ids, most).await?;
    if let Some(cut) = cut {
        // In order: all before that one are complete. The first comes in any case.
        let first = ids.first().copied().unwrap_or(cut);
        rows.retain(|(id, ..)| *id < cut || *id == first);
        if cut == first {
            subscriptions = subscription::read(c, &[first]).await?;
        }
    }
    Ok(rows
        .into_iter()
        .map(|(id, client_id, epoch, owner)| SessionSnapshot {
            session: SessionId(id),
            client_id,
            epoch: Epoch(epoch),
            owner: owner.map(NodeId),
            subscriptions: subscriptions.remove(&id).unwrap_or_default(),
        })
        .collect())
}

/// A limit as SQL has it.
fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
