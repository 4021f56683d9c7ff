//! A database of its own for each test, of either kind.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ibc::postgres::{Postgres, PostgresOptions};
use ibc::sqlite::{Sqlite, Synchronous};
use ibc::{
    Batch, Claim, Claimed, Joined, NewEntry, NewMessage, NewWill, NodeId, PageLimit, SessionId,
    Store, StoredSubscription, Users,
};
use mqtt::{SubscriptionOptions, TopicFilter};
use sqlx::{Connection as _, SqliteConnection};

use crate::server;

pub const LEASE: Duration = Duration::from_secs(5);
/// A page of so many entries, however large they are.
pub const fn page(entries: usize) -> PageLimit {
    PageLimit {
        entries,
        bytes: usize::MAX,
    }
}

pub const NEVER: u32 = u32::MAX;

/// A database with one node.
pub struct Bed {
    store: Option<Box<dyn Both>>,
    pub node: NodeId,
    place: Place,
}

trait Both: Store + Users {}
impl<T: Store + Users> Both for T {}

enum Place {
    Postgres(String),
    Sqlite(PathBuf),
}

impl Bed {
    pub async fn postgres() -> Self {
        Self::open(Place::Postgres(server::new_database().await)).await
    }

    pub async fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(server::unique("causeway_ibc_sqlite"));
        Self::open(Place::Sqlite(folder.join("test.db"))).await
    }

    async fn open(place: Place) -> Self {
        let store = place.store().await;
        let joined = store.join("a", "1.0", LEASE).await.unwrap();
        assert!(joined.previous.is_empty());
        Self {
            store: Some(store),
            node: joined.node,
            place,
        }
    }

    pub fn store(&self) -> &dyn Store {
        &**self.store.as_ref().unwrap()
    }

    pub fn users(&self) -> &dyn Users {
        &**self.store.as_ref().unwrap()
    }

    /// Kills the node and starts it again.
    pub async fn restart(&mut self) -> Joined {
        self.store = None;
        let store = self.place.store().await;
        let joined = store.join("a", "1.0", LEASE).await.unwrap();
        self.store = Some(store);
        self.node = joined.node;
        joined
    }

    /// Lets `seconds` pass for a column with times.
    pub async fn age(&self, table: &str, column: &str, seconds: i64) {
        match &self.place {
            Place::Postgres(url) => {
                let sql = format!(
                    "update {table} set {column} = {column} - {seconds} * interval '1 second'"
                );
                server::execute(url, &sql).await.unwrap();
            }
            Place::Sqlite(path) => {
                let sql = format!("update {table} set {column} = {column} - {seconds} * 1000");
                let mut c = SqliteConnection::connect(path.to_str().unwrap())
                    .await
                    .unwrap();
                sqlx::raw_sql(&sql).execute(&mut c).await.unwrap();
                c.close().await.unwrap();
            }
        }
    }

    /// How many rows `table` has.
    pub async fn count(&self, table: &str) -> i64 {
        let sql = format!("select count(*) from {table}");
        match &self.place {
            Place::Postgres(url) => server::number(url, &sql).await,
            Place::Sqlite(path) => {
                let mut c = SqliteConnection::connect(path.to_str().unwrap())
                    .await
                    .unwrap();
                let count = sqlx::query_scalar(&sql).fetch_one(&mut c).await.unwrap();
                c.close().await.unwrap();
                count
            }
        }
    }

    pub async fn claim(&self, claim: Claim) -> Claimed {
        self.store()
            .claim(self.node, number(), &[claim])
            .await
            .unwrap()
            .remove(0)
    }

    /// Commits a batch and returns its first identifier.
    pub async fn commit(&self, batch: Batch) -> i64 {
        let batch = numbered(batch);
        self.store().commit(self.node, &batch).await.unwrap().base
    }

    /// The bodies in a queue.
    pub async fn bodies(&self, session: SessionId) -> Vec<String> {
        let queued = self
            .store()
            .queued(session, &[], page(1000))
            .await
            .unwrap()
            .entries;
        queued
            .iter()
            .map(|entry| String::from_utf8(entry.body.to_vec()).unwrap())
            .collect()
    }

    /// Takes all Wills that are due: client and body.
    pub async fn due(&self) -> Vec<(String, String)> {
        let due = self.store().due_wills(self.node, 1000).await.unwrap();
        let text = |body: &Bytes| String::from_utf8(body.to_vec()).unwrap();
        let mut due: Vec<_> = due
            .iter()
            .map(|will| (will.client_id.clone(), text(&will.body)))
            .collect();
        due.sort();
        due
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Place::Sqlite(path) = &self.place {
            let _ = std::fs::remove_dir_all(path.parent().unwrap());
        }
    }
}

impl Place {
    async fn store(&self) -> Box<dyn Both> {
        match self {
            Self::Postgres(url) => Box::new(postgres(url).await),
            Self::Sqlite(path) => Box::new(Sqlite::open(path, Synchronous::Normal).await.unwrap()),
        }
    }
}

/// A number larger than all before.
pub fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The batch with a number larger than all before.
pub fn numbered(batch: Batch) -> Batch {
    Batch {
        number: number(),
        ..batch
    }
}

/// A node on Postgres that has not joined.
pub async fn postgres(url: &str) -> Postgres {
    postgres_with(url, LEASE).await
}

/// One that is to have another lease.
pub async fn postgres_with(url: &str, lease: Duration) -> Postgres {
    let options = PostgresOptions {
        lease,
        ..PostgresOptions::default()
    };
    Postgres::open(url, options).await.unwrap()
}

pub fn claim(client_id: &str, expiry_interval: u32) -> Claim {
    Claim {
        client_id: client_id.into(),
        clean_start: false,
        expiry_interval,
        will: None,
    }
}

pub fn clean(client_id: &str, expiry_interval: u32) -> Claim {
    Claim {
        clean_start: true,
        ..claim(client_id, expiry_interval)
    }
}

pub fn with_will(claim: Claim, body: &'static str, delay_interval: u32) -> Claim {
    let will = NewWill {
        body: Bytes::from_static(body.as_bytes()),
        delay_interval,
    };
    Claim {
        will: Some(will),
        ..claim
    }
}

pub fn message(body: impl Into<String>, sessions: &[SessionId]) -> NewMessage {
    NewMessage {
        body: Bytes::from(body.into()),
        entries: sessions.iter().map(|session| entry(*session)).collect(),
    }
}

pub fn entry(session: SessionId) -> NewEntry {
    NewEntry {
        session,
        options: Bytes::from_static(&[1, 2]),
        share: None,
    }
}

pub fn messages(messages: Vec<NewMessage>) -> Batch {
    Batch {
        messages,
        ..Batch::default()
    }
}

pub fn detached(
    claimed: &Claimed,
    client_id: &str,
    expiry_interval: u32,
    will: ibc::WillFate,
) -> Batch {
    let detached = ibc::Detached {
        session: claimed.session,
        client_id: client_id.into(),
        epoch: claimed.epoch,
        expiry_interval,
        will,
    };
    Batch {
        detached: vec![detached],
        ..Batch::default()
    }
}

pub fn subscription(filter: &str, options: u8, identifier: Option<u32>) -> StoredSubscription {
    StoredSubscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::from_byte(options).unwrap(),
        identifier,
    }
}

pub fn subscribed(session: SessionId, subscriptions: Vec<StoredSubscription>) -> Batch {
    let change = |subscription| ibc::SubscriptionChange {
        session,
        subscription,
    };
    Batch {
        subscribed: subscriptions.into_iter().map(change).collect(),
        ..Batch::default()
    }
}
