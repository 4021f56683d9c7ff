//! Bulk clean-up of what nothing refers to any more.
//!
//! Bounded work per call; where the next call goes on is remembered by the node.

use std::sync::{Mutex, PoisonError};

use sqlx::{Connection, PgConnection};

use super::locks::{LockKey, Names};
use super::{
    burial, ended_session, frame, message, node, queue, received, retained, session, subscription,
    will,
};
use crate::StoreError;

/// `$1`, `$2` the lock.
const LOCK: &str = "select pg_try_advisory_xact_lock($1, $2)";

/// How long messages of an ended session wait to be given to other members of a shared subscription.
const ENDED_SECONDS: i64 = 60;
/// How long a dead node waits to be buried by whoever declared it dead.
const UNBURIED_SECONDS: i64 = 30;
/// How long it is remembered that a retained message was removed.
const REMOVED_SECONDS: i64 = 3600;
/// How long dead nodes are remembered.
const DEAD_SECONDS: i64 = 3600;
const ROWS: i64 = 10_000;
const SESSIONS: i32 = 1_000;

/// Where the next call goes on.
#[derive(Debug, Default)]
pub(super) struct Position {
    session: i64,
    message: i64,
}

/// See [`Store::sweep`](crate::Store::sweep).
pub(super) async fn sweep(
    c: &mut PgConnection,
    names: Names,
    position: &Mutex<Position>,
) -> Result<u64, StoreError> {
    let mut tx = c.begin().await?;
    let LockKey { class, object } = names.sweep();
    let is_ours: bool = sqlx::query_scalar(LOCK)
        .bind(class)
        .bind(object)
        .fetch_one(&mut *tx)
        .await?;
    if !is_ours {
        tx.rollback().await?;
        return Ok(0);
    }
    repair(&mut tx).await?;
    let (after_session, after_message) = {
        let position = position.lock().unwrap_or_else(PoisonError::into_inner);
        (position.session, position.message)
    };
    let (session, of_sessions) = sessions(&mut tx, after_session).await?;
    let (message, messages) = message::sweep(&mut tx, after_message, ROWS).await?;
    let rest = retained::sweep(&mut tx, REMOVED_SECONDS, ROWS).await?
        + frame::sweep(&mut tx, ROWS).await?
        + node::forget(&mut tx, DEAD_SECONDS).await?;
    tx.commit().await?;
    let mut position = position.lock().unwrap_or_else(PoisonError::into_inner);
    *position = Position {
        session: session.unwrap_or(0),
        message: message.unwrap_or(0),
    };
    Ok(of_sessions + u64::try_from(messages).unwrap_or(0) + rest)
}

/// Buries who was forgotten, and lets go what a dead node still has.
async fn repair(tx: &mut PgConnection) -> Result<(), StoreError> {
    for dead in node::unburied(tx, UNBURIED_SECONDS).await? {
        if node::mark_buried(tx, dead).await? {
            burial::let_go(tx, dead).await?;
        }
    }
    for dead in session::lost_owners(tx, UNBURIED_SECONDS).await? {
        burial::let_go(tx, dead).await?;
    }
    will::repair(tx, UNBURIED_SECONDS).await?;
    Ok(())
}

/// Deletes what ended sessions left. Returns where to go on and the number of rows.
async fn sessions(tx: &mut PgConnection, after: i64) -> Result<(Option<i64>, u64), StoreError> {
    let ended = ended_session::find(tx, ENDED_SECONDS, i64::from(SESSIONS)).await?;
    let page = ended_session::find_stray(tx, after, SESSIONS).await?;
    let is_full = i64::try_from(page.len()).unwrap_or(0) >= i64::from(SESSIONS);
    let next = page.last().map(|(id, _)| *id).filter(|_| is_full);
    let stray = page
        .into_iter()
        .filter_map(|(id, is_stray)| is_stray.then_some(id));
    let all: Vec<i64> = ended.into_iter().chain(stray).collect();
    if all.is_empty() {
        return Ok((next, 0));
    }
    let mut messages = queue::delete_of(tx, &all, ROWS).await?;
    let mut rows = u64::try_from(messages.len()).unwrap_or(0);
    messages.sort_unstable();
    messages.dedup();
    rows += message::delete_unused(tx, &messages).await?;
    rows += received::delete_of(tx, &all).await?;
    rows += subscription::delete_of(tx, &all).await?;
    rows += ended_session::delete(tx, &all).await?;
    Ok((next, rows))
}
