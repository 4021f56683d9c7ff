//! The shared state of one node alone, on SQLite.
//!
//! One process has the file; beside it `causeway user` may change the users. One connection writes, one transaction after the other; two
//! read. Each has a thread of its own, so nothing here blocks the runtime. SQL of a table is in the file
//! of that name.

mod mqtt_user;
mod node;
mod open;
mod queue;
mod received;
mod retained;
mod secret;
mod session;
mod subscription;
mod transactions;
mod trim;
mod will;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use self::open::{Beside, Opened};
use crate::{
    Batch, Buried, Claim, Claimed, Committed, DueWill, Ended, EntryId, JoinError, Joined, Kept,
    Member, NodeId, NodeState, OpenError, PageLimit, QueuedPage, RetainedMessage, SessionId,
    SessionSnapshot, Store, StoreError, Trim, Trimmed, User, Users,
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
    readers: [Mutex<SqliteConnection>; 2],
    /// Keeps other processes out.
    _lock: Option<Mutex<SqliteConnection>>,
}

struct Writer {
    connection: SqliteConnection,
    swept: transactions::Position,
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
                connection: opened.writer,
                swept: transactions::Position::default(),
            }),
            readers: opened.readers.map(Mutex::new),
            _lock: opened.lock.map(Mutex::new),
        }
    }

    /// A connection for reading: one that is free, if there is one.
    async fn reader(&self) -> MutexGuard<'_, SqliteConnection> {
        let [first, second] = &self.readers;
        if let Ok(reader) = first.try_lock() {
            return reader;
        }
        second.lock().await
    }
}

/// A transaction starts with the lock for writing: `causeway user` may write from another process,
/// and one that had read before would then be refused at once and not wait.
const BEGIN: &str = "begin immediate";

/// Runs a call in a transaction of the writer.
macro_rules! write {
    ($self:ident, $c:ident => $call:expr) => {{
        let mut writer = $self.writer.lock().await;
        let mut $c = writer
            .connection
            .begin_with(BEGIN)
            .await
            .map_err(StoreError::from)?;
        let result = $call.await?;
        $c.commit().await.map_err(StoreError::from)?;
        Ok(result)
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
        write!(self, c => transactions::claim(&mut c, node, claims))
    }

    async fn commit(&self, node: NodeId, batch: &Batch) -> Result<Committed, StoreError> {
        write!(self, c => transactions::commit(&mut c, node, batch))
    }

    async fn queued(
        &self,
        session: SessionId,
        seen: &[(NodeId, EntryId)],
        limit: PageLimit,
    ) -> Result<QueuedPage, StoreError> {
        queue::read(&mut *self.reader().await, session, seen, limit).await
    }

    async fn trim(&self, node: NodeId, trim: &Trim) -> Result<Trimmed, StoreError> {
        write!(self, c => trim::trim(&mut c, node, trim))
    }

    async fn kept(&self, session: SessionId) -> Result<Kept, StoreError> {
        transactions::kept(&mut *self.reader().await, session).await
    }

    async fn sessions(
        &self,
        after: SessionId,
        limit: usize,
    ) -> Result<Vec<SessionSnapshot>, StoreError> {
        transactions::snapshots(&mut *self.reader().await, after, limit).await
    }

    async fn retained(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RetainedMessage>, StoreError> {
        retained::read(&mut *self.reader().await, after, limit).await
    }

    async fn retained_since(&self, period: Duration) -> Result<Vec<RetainedMessage>, StoreError> {
        let since = now() - millis(period);
        retained::read_since(&mut *self.reader().await, since).await
    }

    async fn expire(&self, limit: usize) -> Result<Vec<Ended>, StoreError> {
        write!(self, c => session::expire(&mut c, limit))
    }

    async fn due_wills(&self, node: NodeId, limit: usize) -> Result<Vec<DueWill>, StoreError> {
        write!(self, c => will::take(&mut c, node, limit))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let Writer { connection, swept } = &mut *writer;
        let mut tx = connection.begin_with(BEGIN).await?;
        let (position, rows) = transactions::sweep(&mut tx, *swept).await?;
        tx.commit().await?;
        *swept = position;
        Ok(rows)
    }
}

#[async_trait]
impl Users for Sqlite {
    async fn user(&self, username: &str) -> Result<Option<User>, StoreError> {
        mqtt_user::read_one(&mut *self.reader().await, username).await
    }

    async fn users(&self, after: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        mqtt_user::read(&mut *self.reader().await, after, limit).await
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
