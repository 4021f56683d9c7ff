//! Names that are global in a database: advisory locks and notification channels.
//!
//! Advisory locks are known by two 32-bit numbers: one for the purpose, which includes the schema, so
//! that two clusters in one database do not meet, and one for the node.

use sqlx::{PgExecutor, postgres::PgQueryResult};

use crate::NodeId;

/// `$1`, `$2` the lock.
const HOLD: &str = "select pg_try_advisory_lock_shared($1, $2)";

/// The names of one cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    schema_hash: u64,
}

/// A pair of numbers that `pg_advisory_lock(int, int)` takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockKey {
    pub(super) class: i32,
    pub(super) object: i32,
}

impl Names {
    pub(super) const fn new(schema_hash: u64) -> Self {
        Self { schema_hash }
    }

    /// Held by the connection on which a node renews its lease. With [`Names::ear`] a sign of life.
    pub(super) fn presence(self, node: NodeId) -> LockKey {
        LockKey {
            class: self.class(1),
            object: object(node),
        }
    }

    /// Held by the connection on which a node listens.
    pub(super) fn ear(self, node: NodeId) -> LockKey {
        LockKey {
            class: self.class(4),
            object: object(node),
        }
    }

    /// The classes of the signs of life: [`Names::presence`] and [`Names::ear`].
    pub(super) fn signs(self) -> [i64; 2] {
        [self.class(1), self.class(4)].map(i64::from)
    }

    /// Held shared by each transaction of a node, and exclusively by whoever declares it dead: so a
    /// transaction is either committed before that or finds its node dead.
    pub(super) fn fence(self, node: NodeId) -> LockKey {
        LockKey {
            class: self.class(2),
            object: object(node),
        }
    }

    /// Held by the node that sweeps.
    pub(super) fn sweep(self) -> LockKey {
        LockKey {
            class: self.class(3),
            object: 0,
        }
    }

    /// The channel on which frames to `node` are announced.
    pub(super) fn doorbell(self, node: NodeId) -> String {
        format!("{}{node}", self.doorbell_prefix())
    }

    /// The channel without the node.
    pub(super) fn doorbell_prefix(self) -> String {
        format!("causeway_{:016x}_", self.schema_hash)
    }

    /// 31 bits, because `pg_locks` shows the number without its sign.
    fn class(self, purpose: u64) -> i32 {
        let mixed = (self.schema_hash ^ purpose).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        i32::try_from(mixed).unwrap_or_default()
    }
}

fn object(node: NodeId) -> i32 {
    i32::try_from(node.0 & 0x7fff_ffff).unwrap_or_default()
}

/// Takes the lock `key` for as long as the connection lives.
///
/// Shared, so that a new connection has it at once, also while the server has not noticed that the
/// one before is gone. Only a stranger can be in the way; then the lock is not free either.
pub(super) async fn hold<'c>(
    c: impl PgExecutor<'c>,
    key: LockKey,
) -> Result<PgQueryResult, sqlx::Error> {
    sqlx::query(HOLD)
        .bind(key.class)
        .bind(key.object)
        .execute(c)
        .await
}
