//! Table `node`: this node, and its earlier runs.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::{millis, now};
use crate::{Joined, Member, NodeId, NodeState, StoreError};

/// `?1` now. Whoever else stands there is dead: the file is ours.
const DECLARE_OTHERS_DEAD: &str =
    "update node set state = 'dead', died_at = ?1 where state <> 'dead'";

/// `?1` name, `?2` version, `?3` end of the lease, `?4` now.
const INSERT: &str = "
    insert into node (name, version, state, lease_until, started_at)
    values (?1, ?2, 'joining', ?3, ?4)
    returning incarnation";

const FIND_UNBURIED: &str = "
    select incarnation from node where state = 'dead' and buried_at is null order by incarnation";

/// `?1` incarnation, `?2` state, `?3` end of the lease.
const RENEW: &str = "
    update node set state = ?2, lease_until = ?3
     where incarnation = ?1 and state <> 'dead'
    returning name, version";

/// `?1` incarnation.
const IS_ALIVE: &str =
    "select exists (select 1 from node where incarnation = ?1 and state <> 'dead')";

/// `?1` incarnation, `?2` now.
const MARK_BURIED: &str = "
    update node set buried_at = ?2
     where incarnation = ?1 and state = 'dead' and buried_at is null";

/// `?1` incarnation, `?2` now. Buried too, unless something is left to be buried.
const LEAVE: &str = "
    update node
       set state = 'dead', died_at = ?2,
           buried_at = case when exists (select 1 from session where owner = ?1)
                              or exists (select 1 from will where node = ?1 and due_at is null)
                            then null else ?2 end
     where incarnation = ?1 and state <> 'dead'";

/// `?1` time. Dead nodes to which nothing refers any more.
const FORGET: &str = "
    delete from node
     where state = 'dead' and buried_at < ?1
       and not exists (select 1 from session where owner = incarnation)
       and not exists (select 1 from will where node = incarnation and due_at is null)";

pub(super) async fn join(
    c: &mut SqliteConnection,
    name: &str,
    version: &str,
    lease: Duration,
) -> Result<Joined, StoreError> {
    let now = now();
    sqlx::query(DECLARE_OTHERS_DEAD)
        .bind(now)
        .execute(&mut *c)
        .await?;
    let previous: Vec<i64> = sqlx::query_scalar(FIND_UNBURIED).fetch_all(&mut *c).await?;
    let node: i64 = sqlx::query_scalar(INSERT)
        .bind(name)
        .bind(version)
        .bind(now + millis(lease))
        .bind(now)
        .fetch_one(c)
        .await?;
    Ok(Joined {
        node: NodeId(node),
        previous: previous.into_iter().map(NodeId).collect(),
    })
}

/// All members: this one.
pub(super) async fn renew(
    c: &mut SqliteConnection,
    node: NodeId,
    state: NodeState,
    lease: Duration,
) -> Result<Vec<Member>, StoreError> {
    let row: Option<(String, String)> = sqlx::query_as(RENEW)
        .bind(node.0)
        .bind(state.as_str())
        .bind(now() + millis(lease))
        .fetch_optional(c)
        .await?;
    let (name, version) = row.ok_or(StoreError::Fenced)?;
    Ok(vec![Member {
        node,
        name,
        version,
        state,
        is_expired: false,
        is_absent: false,
    }])
}

pub(super) async fn is_alive(c: &mut SqliteConnection, node: NodeId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(IS_ALIVE)
        .bind(node.0)
        .fetch_one(c)
        .await?)
}

/// # Errors
///
/// [`StoreError::Fenced`] if the node is dead.
pub(super) async fn check(c: &mut SqliteConnection, node: NodeId) -> Result<(), StoreError> {
    if is_alive(c, node).await? {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

/// False if it lives or is buried already.
pub(super) async fn mark_buried(
    c: &mut SqliteConnection,
    node: NodeId,
) -> Result<bool, StoreError> {
    let done = sqlx::query(MARK_BURIED)
        .bind(node.0)
        .bind(now())
        .execute(c)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn leave(c: &mut SqliteConnection, node: NodeId) -> Result<(), StoreError> {
    sqlx::query(LEAVE)
        .bind(node.0)
        .bind(now())
        .execute(c)
        .await?;
    Ok(())
}

/// Deletes nodes buried before `time`.
pub(super) async fn forget(c: &mut SqliteConnection, time: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query(FORGET)
        .bind(time)
        .execute(c)
        .await?
        .rows_affected())
}
