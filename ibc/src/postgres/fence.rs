//! What every writing statement of a node begins with: that the node is not dead.

use sqlx::postgres::PgArguments;
use sqlx::query::{QueryAs, QueryScalar};
use sqlx::{PgConnection, Postgres};

use super::locks::{LockKey, Names};
use super::node;
use crate::{NodeId, StoreError};

/// `$1` node, `$2` first identifier, `$3` and `$4` the fence lock of the node.
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
                select $2::bigint as base from node
                 where incarnation = $1 and state <> 'dead'
                   and pg_try_advisory_xact_lock_shared($3, $4))",
            $body
        )
    };
}
pub(super) use fenced;

/// The two forms of a statement that needs identifiers.
///
/// The first statement of a batch draws them: its `$2` is the number of the batch, and it gives no row
/// either if a batch of that number, or a later one, has been committed. While a transaction whose
/// answer was lost is still under way it waits for its end, because both write the same row.
macro_rules! numbered {
    ($body:literal) => {
        Numbered {
            first: concat!(
                "with alive as materialized (
                    select nextval('batch') << 16 as base from node
                     where incarnation = $1 and state <> 'dead'
                       and pg_try_advisory_xact_lock_shared($3, $4))
                 , fence as (
                    insert into outcome as o (node, kind, number, base)
                    select $1, 0, $2::bigint, base from alive
                    on conflict (node, kind) do update
                       set number = excluded.number, base = excluded.base
                     where o.number < excluded.number
                    returning base)",
                $body
            ),
            later: fenced!($body),
        }
    };
}
pub(super) use numbered;

/// See [`numbered!`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) first: &'static str,
    pub(super) later: &'static str,
}

/// Where the identifiers of a batch come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    /// Its first statement draws them, for the batch of this number.
    Draw(i64),
    /// They are known, or none are needed.
    Known(i64),
}

/// The first four parameters of a fenced statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    pub(super) node: NodeId,
    pub(super) base: Base,
    key: LockKey,
}

impl Fence {
    pub(super) fn new(names: Names, node: NodeId, base: Base) -> Self {
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
            .bind(self.number())
            .bind(self.key.class)
            .bind(self.key.object)
    }

    /// The same for one that needs identifiers.
    pub(super) fn numbered<'q>(
        &self,
        sql: Numbered,
    ) -> QueryScalar<'q, Postgres, i64, PgArguments> {
        match self.base {
            Base::Draw(_) => self.query(sql.first),
            Base::Known(_) => self.query(sql.later),
        }
    }

    /// The number of the batch, or its first identifier.
    pub(super) const fn number(&self) -> i64 {
        match self.base {
            Base::Draw(number) | Base::Known(number) => number,
        }
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
            .bind(self.number())
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
