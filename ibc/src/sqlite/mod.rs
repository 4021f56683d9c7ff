//! The shared state of one node alone, on SQLite.
//!
//! One process has the file; beside it `causeway user` may change the users. One connection writes, one transaction after the other; two
//! read. Each has a thread of its own, so nothing here blocks the runtime. SQL of a table is in the file
//! of that name.
//!
//! The file has a write-ahead log. A commit appends to the log and, with [`Synchronous::Full`], waits until the disk has it; from
//! time to time the log is copied into the file, and only when the disk has that does the log begin anew.

mod fleeting;
mod link;
mod mqtt_user;
mod node;
mod open;
mod queue;
mod received;
mod retained;
mod secret;
mod session;
mod subscription;
#[cfg(test)]
mod tests;
mod transactions;
mod trim;
mod will;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sqlx::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard};

use self::fleeting::Fleeting;
use self::link::Link;
use self::open::{Beside, Opened};
use crate::{
    Batch, Buried, Claim, Claimed, Committed, DueWill, Ended, EntryId, JoinError, Joined, Kept,
    Member, NodeId, NodeState, OpenError, PageLimit, QueuedPage, RetainedMessage, SessionId,
    SessionSnapshot, SharedEntry, Store, StoreError, Trim, Trimmed, User, Users,
};

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Loss of power: the disk has it.
    #[default]
    Full,
    /// The end of the process. The last commits may be lost with the power; the file is not damaged.
    Normal,
}

/// A SQLite file with the state of one node: [`Store`].
pub struct Sqlite {
    writer: Mutex<Writer>,
    readers: [Mutex<Link>; 2],
    /// Keeps other processes out.
    _lock: Option<Mutex<SqliteConnection>>,
}

struct Writer {
    link: Link,
    fleeting: Fleeting,
    swept: transactions::Position,
}

impl Writer {
    async fn claim(&mut self, node: NodeId, claims: &[Claim]) -> Result<Vec<Claimed>, StoreError> {
        let fleeting = &mut self.fleeting;
        fleeting.load(&mut self.link).await?;
        fleeting.reserve(&mut self.link, claims.len()).await?;
        let mut claimed: Vec<Option<Claimed>> = vec![None; claims.len()];
        let in_table: Vec<_> = claims.iter().map(|claim| !fleeting.takes(claim)).collect();
        if in_table.contains(&true) {
            let mut tx = self.link.begin().await?;
            node::check(&mut tx, node).await?;
            for ((claim, slot), in_table) in claims.iter().zip(&mut claimed).zip(&in_table) {
                if *in_table {
                    *slot = Some(transactions::claim(&mut tx, fleeting, node, claim).await?);
                }
            }
            tx.commit().await?;
        }
        let claimed = claims.iter().zip(claimed).map(|(claim, claimed)| {
            if let Some(claimed) = claimed {
                fleeting.store(&claim.client_id);
                return claimed;
            }
            fleeting.claim(node, claim)
        });
        Ok(claimed.collect())
    }

    async fn commit(&mut self, node: NodeId, batch: &Batch) -> Result<Committed, StoreError> {
        let fleeting = &mut self.fleeting;
        let mut committed = Committed::default();
        if !fleeting.is_all(batch) {
            let addressed = fleeting.addressed(batch);
            let mut tx = self.link.begin().await?;
            let (given, gone) =
                transactions::commit(&mut tx, (fleeting, &addressed), node, batch).await?;
            tx.commit().await?;
            committed = given;
            for (claim, _) in addressed.live {
                fleeting.store(&claim.client_id);
            }
            for client_id in gone {
                fleeting.unstore(&client_id);
            }
        }
        for detached in &batch.detached {
            fleeting.detach(detached);
        }
        Ok(committed)
    }

    async fn expire(&mut self, most: usize) -> Result<Vec<Ended>, StoreError> {
        if !session::has_expired(self.link.connection().await?).await? {
            return Ok(Vec::new());
        }
        let mut tx = self.link.begin().await?;
        let ended = session::expire(&mut tx, most).await?;
        tx.commit().await?;
        for Ended { client_id, .. } in &ended {
            self.fleeting.unstore(client_id);
        }
        Ok(ended)
    }

    async fn due_wills(&mut self, node: NodeId, most: usize) -> Result<Vec<DueWill>, StoreError> {
        if !will::is_due(self.link.connection().await?).await? {
            return Ok(Vec::new());
        }
        let mut tx = self.link.begin().await?;
        let due = will::take(&mut tx, node, most).await?;
        tx.commit().await?;
        Ok(due)
    }

    async fn owned(&mut self, node: NodeId, clients: &[String]) -> Result<Vec<String>, StoreError> {
        let (mut owned, others): (Vec<_>, Vec<_>) = clients
            .iter()
            .cloned()
            .partition(|client_id| self.fleeting.has(client_id));
        owned.extend(session::owned(self.link.connection().await?, node, &others).await?);
        Ok(owned)
    }
}

impl Sqlite {
    /// Opens the file at `path`, creates it and its folder if missing, and brings the schema up to
    /// date.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which names `store.path`; also if another process uses the file.
    pub async fn open(path: &Path, synchronous: Synchronous) -> Result<Self, OpenError> {
        let opened = open::open(path, synchronous, Beside::Nobody).await?;
        Ok(Self::new(opened))
    }

    /// Opens the file for [`Users`] only, also while a node uses it. If none does, the file and its
    /// schema are made as by [`Sqlite::open`].
    ///
    /// # Errors
    ///
    /// [`OpenError`]; also if the node that uses it has another schema than this program.
    pub async fn open_beside(
        path: &Path,
        synchronous: Synchronous,
    ) -> Result<impl Users, OpenError> {
        let opened = open::open(path, synchronous, Beside::Node).await?;
        Ok(Self::new(opened))
    }

    fn new(opened: Opened) -> Self {
        Self {
            writer: Mutex::new(Writer {
                link: opened.writer,
                fleeting: Fleeting::default(),
                swept: transactions::Position::default(),
            }),
            readers: opened.readers.map(Mutex::new),
            _lock: opened.lock.map(Mutex::new),
        }
    }

    /// A connection for reading: one that is free, if there is one.
    async fn reader(&self) -> MutexGuard<'_, Link> {
        let [first, second] = &self.readers;
        if let Ok(reader) = first.try_lock() {
            return reader;
        }
        second.lock().await
    }
}

/// Runs a call in a transaction of the writer.
macro_rules! write {
    ($self:ident, $c:ident => $call:expr) => {{
        let mut writer = $self.writer.lock().await;
        let link = &mut writer.link;
        let result = async {
            let mut $c = link.begin().await?;
            let value = $call.await?;
            $c.commit().await?;
            Ok::<_, StoreError>(value)
        }
        .await;
        Ok(link.settle(result).await?)
    }};
}

/// Runs a call on a connection for reading.
macro_rules! read {
    ($self:ident, $c:ident => $call:expr) => {{
        let mut link = $self.reader().await;
        let result = match link.connection().await {
            Ok($c) => $call.await,
            Err(error) => Err(error),
        };
        link.settle(result).await
    }};
}

#[async_trait]
impl Store for Sqlite {
    async fn join(&self, name: &str, version: &str, lease: Duration) -> Result<Joined, JoinError> {
        write!(self, c => node::join(&mut c, name, version, lease))
    }

    async fn renew(
        &self,
        node: NodeId,
        state: NodeState,
        lease: Duration,
    ) -> Result<Vec<Member>, StoreError> {
        write!(self, c => node::renew(&mut c, node, state, lease))
    }

    fn is_lapsed(&self) -> bool {
        false
    }

    async fn must_renew(&self) {
        std::future::pending().await
    }

    async fn bury(&self, node: NodeId, suspect: NodeId) -> Result<Option<Buried>, StoreError> {
        write!(self, c => transactions::bury(&mut c, node, suspect))
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        write!(self, c => node::leave(&mut c, node))
    }

    async fn claim(
        &self,
        node: NodeId,
        _number: u64,
        claims: &[Claim],
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut writer = self.writer.lock().await;
        let result = writer.claim(node, claims).await;
        writer.link.settle(result).await
    }

    async fn owned(&self, node: NodeId, clients: &[String]) -> Result<Vec<String>, StoreError> {
        // It may wait for a commit; it is asked for once after a start.
        let mut writer = self.writer.lock().await;
        let result = writer.owned(node, clients).await;
        writer.link.settle(result).await
    }

    async fn commit(&self, node: NodeId, batch: &Batch) -> Result<Committed, StoreError> {
        let mut writer = self.writer.lock().await;
        let result = writer.commit(node, batch).await;
        writer.link.settle(result).await
    }

    async fn queued(
        &self,
        session: SessionId,
        seen: &[(NodeId, EntryId)],
        limit: PageLimit,
    ) -> Result<QueuedPage, StoreError> {
        read!(self, c => queue::read(c, session, seen, limit))
    }

    async fn stranded(
        &self,
        after: (SessionId, EntryId),
        limit: usize,
    ) -> Result<Vec<SharedEntry>, StoreError> {
        read!(self, c => queue::stranded(c, after, limit))
    }

    async fn trim(&self, node: NodeId, trim: &Trim) -> Result<Trimmed, StoreError> {
        write!(self, c => trim::trim(&mut c, node, trim))
    }

    async fn kept(&self, session: SessionId) -> Result<Kept, StoreError> {
        read!(self, c => transactions::kept(c, session))
    }

    async fn sessions(
        &self,
        after: SessionId,
        limit: usize,
    ) -> Result<Vec<SessionSnapshot>, StoreError> {
        read!(self, c => transactions::snapshots(c, after, limit))
    }

    async fn retained(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RetainedMessage>, StoreError> {
        read!(self, c => retained::read(c, after, limit))
    }

    async fn retained_since(&self, period: Duration) -> Result<Vec<RetainedMessage>, StoreError> {
        let since = now() - millis(period);
        read!(self, c => retained::read_since(c, since))
    }

    async fn expire(&self, limit: usize) -> Result<Vec<Ended>, StoreError> {
        let mut writer = self.writer.lock().await;
        let result = writer.expire(limit).await;
        writer.link.settle(result).await
    }

    async fn due_wills(&self, node: NodeId, limit: usize) -> Result<Vec<DueWill>, StoreError> {
        let mut writer = self.writer.lock().await;
        let result = writer.due_wills(node, limit).await;
        writer.link.settle(result).await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let Writer { link, swept, .. } = &mut *writer;
        let result = async {
            let mut tx = link.begin().await?;
            let swept = transactions::sweep(&mut tx, *swept).await?;
            tx.commit().await?;
            Ok(swept)
        }
        .await;
        let (position, rows) = link.settle(result).await?;
        *swept = position;
        Ok(rows)
    }
}

#[async_trait]
impl Users for Sqlite {
    async fn user(&self, username: &str) -> Result<Option<User>, StoreError> {
        read!(self, c => mqtt_user::read_one(c, username))
    }

    async fn users(&self, after: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        read!(self, c => mqtt_user::read(c, after, limit))
    }

    async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        write!(self, c => mqtt_user::insert(&mut c, user))
    }

    async fn put_user(&self, user: &User) -> Result<(), StoreError> {
        write!(self, c => mqtt_user::upsert(&mut c, user))
    }

    async fn remove_user(&self, username: &str) -> Result<bool, StoreError> {
        write!(self, c => mqtt_user::delete(&mut c, username))
    }

    async fn secret(&self, name: &str, candidate: &[u8]) -> Result<Vec<u8>, StoreError> {
        write!(self, c => secret::share(&mut c, name, candidate))
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// A number as SQL has it.
fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
