//! The connection by which a node shows that it lives.
//!
//! It holds an advisory lock that the server gives up as soon as the connection is gone, and so does
//! the [doorbell](super::doorbell): a process without both was killed, which is noticed before its
//! lease runs out. The lease is renewed on it too. It belongs to no pool, and is opened again when it
//! broke.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::locks::LockKey;
use super::signs::{Lasting, Sign};
use super::{node, pool};
use crate::{JoinError, Joined, Member, NodeId, NodeState, StoreError};

/// How often a joining node looks at a member of its name.
const POLL: Duration = Duration::from_millis(100);
/// A predecessor must be absent at looks over this time.
const SILENCE: Duration = Duration::from_millis(300);

/// `$1`, `$2` the lock. Waits for transactions of that node.
const CLOSE_FENCE: &str = "select pg_advisory_xact_lock($1, $2)";

/// The presence of this process.
pub(super) struct Presence {
    lasting: Lasting,
    /// Longer than this, and an answer is useless.
    patience: Duration,
    held: Mutex<Option<Held>>,
}

struct Held {
    /// Goes before the connection.
    _sign: Sign,
    connection: PgConnection,
    node: NodeId,
    /// When it took the lock.
    since: Instant,
}

impl Presence {
    pub(super) fn new(lasting: Lasting) -> Self {
        let patience = lasting.lease.max(Duration::from_secs(1));
        Self {
            lasting,
            patience,
            held: Mutex::new(None),
        }
    }

    /// See [`Store::join`](crate::Store::join).
    pub(super) async fn join(
        &self,
        name: &str,
        version: &str,
        lease: Duration,
    ) -> Result<Joined, JoinError> {
        let mut held = self.held.lock().await;
        // An earlier incarnation of this very process is over.
        *held = None;
        let mut c = self.connect().await?;
        let node = node::next_incarnation(&mut c)
            .await
            .map_err(StoreError::from)?;
        // Before the row, so that no one sees the row without the lock.
        let key = self.lasting.names.presence(node);
        let sign = self.lasting.hold(&mut c, key).await;
        let sign = sign.map_err(StoreError::from)?;
        let since = Instant::now();
        let mut watched: Option<(node::Namesake, u32)> = None;
        loop {
            if node::insert(&mut c, node, name, version, lease)
                .await
                .map_err(StoreError::from)?
            {
                let previous = node::find_unburied(&mut c, name)
                    .await
                    .map_err(StoreError::from)?;
                *held = Some(Held {
                    _sign: sign,
                    connection: c,
                    node,
                    since,
                });
                self.lasting.signs.renewed();
                return Ok(Joined { node, previous });
            }
            let found = node::find_by_name(&mut c, self.lasting.names, name).await;
            let Some(namesake) = found.map_err(StoreError::from)? else {
                continue;
            };
            watched = Some(self.watch(&mut c, name, namesake, watched).await?);
        }
    }

    /// One look at a member of our name; `watched` is the first one with the number of looks at
    /// which it was absent.
    async fn watch(
        &self,
        c: &mut PgConnection,
        name: &str,
        namesake: node::Namesake,
        watched: Option<(node::Namesake, u32)>,
    ) -> Result<(node::Namesake, u32), JoinError> {
        let (first, looks) = watched.unwrap_or((namesake, 0));
        if namesake.node != first.node || namesake.lease_until != first.lease_until {
            return Err(JoinError::NameTaken {
                name: name.to_owned(),
            });
        }
        let looks = if namesake.is_absent { looks + 1 } else { 0 };
        let is_gone = POLL * looks.saturating_sub(1) >= SILENCE;
        if namesake.is_expired || is_gone {
            self.declare_dead(c, &namesake).await?;
        } else {
            sleep(POLL).await;
        }
        Ok((first, looks))
    }

    async fn declare_dead(
        &self,
        c: &mut PgConnection,
        namesake: &node::Namesake,
    ) -> Result<(), StoreError> {
        use sqlx::Connection;

        let mut tx = c.begin().await?;
        close_fence(&mut tx, self.lasting.names.fence(namesake.node)).await?;
        node::declare_dead(&mut tx, namesake).await?;
        tx.commit().await?;
        Ok(())
    }

    /// See [`Store::renew`](crate::Store::renew).
    pub(super) async fn renew(
        &self,
        node: NodeId,
        state: NodeState,
        lease: Duration,
    ) -> Result<Vec<Member>, StoreError> {
        let mut held = self.held.lock().await;
        if let Some(used) = held.take().filter(|held| held.node == node) {
            match timeout(self.patience, self.renew_on(used, state, lease)).await {
                Ok(Ok((used, members))) => {
                    *held = Some(used);
                    return Ok(members);
                }
                Ok(Err(error)) if !error.is_transient() => return Err(error),
                // It broke: try once more on a new one.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let mut connection = self.connect().await?;
        let renewed = timeout(self.patience, async {
            let key = self.lasting.names.presence(node);
            let sign = self.lasting.hold(&mut connection, key).await?;
            let since = Instant::now();
            let used = Held {
                _sign: sign,
                connection,
                node,
                since,
            };
            self.renew_on(used, state, lease).await
        });
        let (used, members) = renewed.await.map_err(|_| pool::timed_out())??;
        *held = Some(used);
        Ok(members)
    }

    async fn renew_on(
        &self,
        mut held: Held,
        state: NodeState,
        lease: Duration,
    ) -> Result<(Held, Vec<Member>), StoreError> {
        if !node::renew(&mut held.connection, held.node, state, lease).await? {
            return Err(StoreError::Fenced);
        }
        self.lasting.signs.renewed();
        let members = node::members(&mut held.connection, self.lasting.names).await?;
        Ok((held, members))
    }

    /// Whether the connection, as far as is known here, has lasted for a whole lease.
    pub(super) async fn is_settled(&self) -> bool {
        let held = self.held.lock().await;
        held.as_ref()
            .is_some_and(|held| held.since.elapsed() >= self.lasting.lease)
    }

    /// Gives up the lock.
    pub(super) async fn release(&self) {
        *self.held.lock().await = None;
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        Ok(pool::connect_for(
            &self.lasting.options,
            self.patience,
            self.patience,
            self.lasting.lease,
        )
        .await?)
    }
}

/// Waits until no transaction of a node is under way, and lets none begin until this one ends.
pub(super) async fn close_fence(c: &mut PgConnection, key: LockKey) -> Result<(), StoreError> {
    sqlx::query(CLOSE_FENCE)
        .bind(key.class)
        .bind(key.object)
        .execute(c)
        .await?;
    Ok(())
}
