//! What every writing statement of a node begins with: that the node is not dead.

use sqlx::postgres::PgArguments;
use sqlx::query::{QueryAs, QueryScalar};
use sqlx::{PgConnection, Postgres};

use super::locks::{LockKey, Names};
use super::node;
use crate::{NodeId, StoreError};

/// `$1` node, `$2` first identifier or null to draw one, `$3` and `$4` the fence lock of the node.
///
/// Gives one row, `base`, if the node is not dead and nobody is about to declare it dead, and none
/// otherwise. Whatever the statement does must come from this row, and it returns it at its end.
///
/// The lock is shared, in memory only and held until the end of the transaction: whoever declares
/// the node dead waits for it. What remains: the snapshot of the statement is a few microseconds older
/// than the lock, so a node that is declared dead and buried wholly in between gets one more
/// statement through.
macro_rules! fenced {
    ($body:literal) => {
        concat!(
            "with fence as materialized (
                select coalesce($2::bigint, nextval('batch') << 16) as base from node
                 where incarnation = $1 and state <> 'dead'
                   and pg_try_advisory_xact_lock_shared($3, $4))",
            $body
        )
    };
}
pub(super) use fenced;

/// The first four parameters of a fenced statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    pub(super) node: NodeId,
    /// `None`: the statement draws identifiers.
    pub(super) base: Option<i64>,
    key: LockKey,
}

impl Fence {
    pub(super) fn new(names: Names, node: NodeId, base: Option<i64>) -> Self {
        Self {
            node,
            base,
            key: names.fence(node),
        }
    }

    /// A fenced statement that returns `base`.
    pub(super) fn query<'q>(
        &self,
        sql: &'static str,
    ) -> QueryScalar<'q, Postgres, i64, PgArguments> {
        sqlx::query_scalar(sql)
            .bind(self.node.0)
            .bind(self.base)
            .bind(self.key.class)
            .bind(self.key.object)
    }

    /// A fenced statement that returns something else.
    pub(super) fn query_row<'q, R>(
        &self,
        sql: &'static str,
    ) -> QueryAs<'q, Postgres, R, PgArguments>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_as(sql)
            .bind(self.node.0)
            .bind(self.base)
            .bind(self.key.class)
            .bind(self.key.object)
    }
}

/// Why a fenced statement gave no row.
///
/// # Errors
///
/// [`StoreError::Fenced`] if the node is dead. Otherwise somebody was about to bury it: try again.
pub(super) async fn check(c: &mut PgConnection, node: NodeId) -> Result<(), StoreError> {
    if node::is_alive(c, node).await? {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}
