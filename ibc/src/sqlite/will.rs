//! Table `will`: Will Messages of connections, and those that wait for their delay.

use bytes::Bytes;
use sqlx::SqliteConnection;

use super::{limit, now};
use crate::{Detached, DueWill, Epoch, NewWill, NodeId, SessionId, StoreError, WillFate, WillKey};

/// `?1` client, `?2` epoch, `?3` node, `?4` session, `?5` body, `?6` delay in seconds.
const INSERT: &str = "
    insert into will (client_id, epoch, node, session_id, body, delay_interval)
    values (?1, ?2, ?3, ?4, ?5, ?6)";

/// `?1` client, `?2` now.
const CANCEL: &str = "delete from will where client_id = ?1 and due_at > ?2 and taken_by is null";

/// `?1` client, `?2` now.
const HASTEN: &str = "update will set due_at = ?2 where client_id = ?1 and due_at > ?2";

/// `?1` client, `?2` epoch.
const DELETE: &str = "delete from will where client_id = ?1 and epoch = ?2";

/// `?1` client, `?2` epoch. Delayed only.
const DELETE_DELAYED: &str =
    "delete from will where client_id = ?1 and epoch = ?2 and delay_interval > 0";

/// `?1` client, `?2` epoch, `?3` now, `?4` most seconds to wait.
const START_DELAY: &str = "
    update will set due_at = ?3 + min(delay_interval, ?4) * 1000
     where client_id = ?1 and epoch = ?2";

/// `?1` dead node. Relies on `will_connected`.
const CANCEL_RESUMED: &str = "
    delete from will
     where node = ?1 and due_at is null and delay_interval > 0
       and exists (select 1 from session s
                    where s.client_id = will.client_id and s.id = will.session_id
                      and s.epoch > will.epoch)";

/// `?1` dead node, `?2` now. Relies on `will_connected`.
const LET_GO: &str = "
    update will
       set due_at = ?2 + 1000 * coalesce(
               (select min(will.delay_interval, s.expiry_interval) from session s
                 where s.client_id = will.client_id and s.id = will.session_id
                   and s.epoch = will.epoch), 0)
     where node = ?1 and due_at is null";

/// `?1` now. Relies on `will_due_at`.
const IS_DUE: &str = "select exists (select 1 from will where due_at <= ?1)";

/// `?1` node, `?2` now, `?3` limit. Relies on `will_due_at`.
const TAKE: &str = "
    update will set taken_by = ?1
     where rowid in (
        select rowid from will
         where due_at <= ?2
           and (taken_by is null
                or not exists (select 1 from node
                                where incarnation = taken_by and state <> 'dead'))
           and exists (select 1 from node where incarnation = ?1 and state <> 'dead')
         order by due_at limit ?3)
    returning client_id, epoch, body";

pub(super) async fn insert(
    c: &mut SqliteConnection,
    node: NodeId,
    (client_id, session, epoch): (&str, SessionId, Epoch),
    will: &NewWill,
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(client_id)
        .bind(epoch.0)
        .bind(node.0)
        .bind(session.0)
        .bind(&*will.body)
        .bind(will.delay_interval)
        .execute(c)
        .await?;
    Ok(())
}

/// Deletes the Will of a resumed session whose delay is not over [MQTT-3.1.3-9].
pub(super) async fn cancel(c: &mut SqliteConnection, client_id: &str) -> Result<(), StoreError> {
    sqlx::query(CANCEL)
        .bind(client_id)
        .bind(now())
        .execute(c)
        .await?;
    Ok(())
}

/// Makes the Wills of an ended session due.
pub(super) async fn hasten(c: &mut SqliteConnection, client_id: &str) -> Result<(), StoreError> {
    sqlx::query(HASTEN)
        .bind(client_id)
        .bind(now())
        .execute(c)
        .await?;
    Ok(())
}

/// Of a connection that is gone. `is_last`: nobody has claimed the client since; `is_resumed`: the
/// session was resumed since.
pub(super) async fn detach(
    c: &mut SqliteConnection,
    detached: &Detached,
    is_last: bool,
    is_resumed: bool,
) -> Result<(), StoreError> {
    let (client_id, epoch) = (&detached.client_id, detached.epoch.0);
    if detached.will == WillFate::Discard {
        sqlx::query(DELETE)
            .bind(client_id)
            .bind(epoch)
            .execute(c)
            .await?;
        return Ok(());
    }
    if is_resumed {
        // [MQTT-3.1.3-9]
        sqlx::query(DELETE_DELAYED)
            .bind(client_id)
            .bind(epoch)
            .execute(&mut *c)
            .await?;
    }
    let most = if is_last { detached.expiry_interval } else { 0 };
    sqlx::query(START_DELAY)
        .bind(client_id)
        .bind(epoch)
        .bind(now())
        .bind(most)
        .execute(c)
        .await?;
    Ok(())
}

/// Starts the delay of the Wills of a dead node, before its sessions are let go.
pub(super) async fn let_go(c: &mut SqliteConnection, node: NodeId) -> Result<(), StoreError> {
    sqlx::query(CANCEL_RESUMED)
        .bind(node.0)
        .execute(&mut *c)
        .await?;
    sqlx::query(LET_GO)
        .bind(node.0)
        .bind(now())
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn delete(c: &mut SqliteConnection, will: &WillKey) -> Result<(), StoreError> {
    sqlx::query(DELETE)
        .bind(&will.client_id)
        .bind(will.epoch.0)
        .execute(c)
        .await?;
    Ok(())
}

/// See [`Store::due_wills`](crate::Store::due_wills).
/// Whether [`take`] would find one. To look is cheaper than to begin a transaction.
pub(super) async fn is_due(c: &mut SqliteConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(IS_DUE).bind(now()).fetch_one(c).await?)
}

pub(super) async fn take(
    c: &mut SqliteConnection,
    node: NodeId,
    most: usize,
) -> Result<Vec<DueWill>, StoreError> {
    let rows: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(TAKE)
        .bind(node.0)
        .bind(now())
        .bind(limit(most))
        .fetch_all(c)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(client_id, epoch, body)| DueWill {
            client_id,
            epoch: Epoch(epoch),
            body: Bytes::from(body),
        })
        .collect())
}
