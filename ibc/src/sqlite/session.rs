//! Tables `session` and `ended_session`: the registry of client IDs, and sessions that are gone, whose
//! queues wait for the sweep.

use sqlx::SqliteConnection;

use super::{limit, now, subscription, will};
use crate::claim::Found;
use crate::{Claim, Detached, Ended, Epoch, NodeId, SessionId, StoreError};

/// Stands for a session that never expires.
const NEVER: u32 = u32::MAX;

/// `?1` counter, `?2` by how much.
const ADVANCE: &str = "update counter set value = value + ?2 where name = ?1 returning value";

/// Everybody in the table.
pub(super) const CLIENTS: &str = "select client_id from session";

/// `?1` client, `?2` now.
const FIND: &str = "
    select id, epoch, owner, expiry_interval, coalesce(expires_at <= ?2, 0)
      from session where client_id = ?1";

/// `?1` client, `?2` owner.
const IS_OWNED: &str = "select exists (select 1 from session where client_id = ?1 and owner = ?2)";

/// `?1` client, `?2` session, `?3` epoch, `?4` owner, `?5` expiry in seconds, `?6` now.
const CLAIM: &str = "
    insert into session (client_id, id, epoch, owner, expiry_interval, connected_at)
    values (?1, ?2, ?3, ?4, ?5, ?6)
    on conflict (client_id) do update
       set id = excluded.id, epoch = excluded.epoch, owner = excluded.owner,
           expiry_interval = excluded.expiry_interval, expires_at = null,
           connected_at = excluded.connected_at, disconnected_at = null";

/// `?1` client.
const DELETE: &str = "delete from session where client_id = ?1";

/// `?1` client, `?2` expiry in seconds, `?3` expiry as a time or null, `?4` now.
const RELEASE: &str = "
    update session
       set owner = null, expiry_interval = ?2, expires_at = ?3, disconnected_at = ?4
     where client_id = ?1";

/// `?1` owner. Relies on `session_owner`.
const FIND_OWNED: &str =
    "select client_id, id, epoch, expiry_interval from session where owner = ?1";

/// `?1` now, `?2` limit. Relies on `session_expires_at`.
const FIND_EXPIRED: &str = "
    select client_id, id, epoch from session
     where expires_at <= ?1 and owner is null order by expires_at limit ?2";

/// `?1` after which session, `?2` limit.
const READ: &str = "
    select id, client_id, epoch, owner from session
     where id > ?1 and expiry_interval > 0 order by id limit ?2";

/// `?1` session, `?2` now.
const END: &str = "insert or ignore into ended_session (id, ended_at) values (?1, ?2)";

/// `?1` time, `?2` limit. Relies on `ended_session_ended_at`.
const FIND_ENDED: &str =
    "select id from ended_session where ended_at < ?1 order by ended_at limit ?2";

/// `?1` session.
const DELETE_ENDED: &str = "
    delete from ended_session
     where id = ?1 and not exists (select 1 from queue where session_id = ?1)";

/// `?1` after which session, `?2` how many to look at. Sessions that have left something and are neither
/// alive nor noted. Jumps from session to session by the primary keys.
const FIND_STRAY: &str = "
    with recursive page (id, n) as (
        select min(coalesce((select min(session_id) from queue where session_id > ?1), 1 << 62),
                   coalesce((select min(session_id) from received where session_id > ?1), 1 << 62),
                   coalesce((select min(session_id) from subscription where session_id > ?1), 1 << 62)), 1
        union all
        select min(coalesce((select min(session_id) from queue where session_id > p.id), 1 << 62),
                   coalesce((select min(session_id) from received where session_id > p.id), 1 << 62),
                   coalesce((select min(session_id) from subscription where session_id > p.id), 1 << 62)),
               p.n + 1
          from page p where p.id < 1 << 62 and p.n < ?2)
    select p.id, not exists (select 1 from session s where s.id = p.id)
             and not exists (select 1 from ended_session e where e.id = p.id)
      from page p where p.id < 1 << 62 order by p.id";

/// See [`Store::owned`](crate::Store::owned).
pub(super) async fn owned(
    c: &mut SqliteConnection,
    owner: NodeId,
    clients: &[String],
) -> Result<Vec<String>, StoreError> {
    let mut owned = Vec::new();
    for client_id in clients {
        let is_ours: bool = sqlx::query_scalar(IS_OWNED)
            .bind(client_id)
            .bind(owner.0)
            .fetch_one(&mut *c)
            .await?;
        if is_ours {
            owned.push(client_id.clone());
        }
    }
    Ok(owned)
}

/// Draws `count` identifiers; returns the last.
pub(super) async fn advance(
    c: &mut SqliteConnection,
    counter: &str,
    count: i64,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(ADVANCE)
        .bind(counter)
        .bind(count)
        .fetch_one(c)
        .await?)
}

/// What is stored of a client.
pub(super) async fn find(
    c: &mut SqliteConnection,
    client_id: &str,
) -> Result<Option<Found>, StoreError> {
    let row: Option<(i64, i64, Option<i64>, i64, bool)> = sqlx::query_as(FIND)
        .bind(client_id)
        .bind(now())
        .fetch_optional(c)
        .await?;
    Ok(row.map(
        |(session, epoch, owner, expiry_interval, is_expired)| Found {
            session: SessionId(session),
            epoch: Epoch(epoch),
            owner: owner.map(NodeId),
            expiry_interval,
            is_expired,
        },
    ))
}

/// Writes the row of a claim.
pub(super) async fn claim(
    c: &mut SqliteConnection,
    node: NodeId,
    claim: &Claim,
    (session, epoch): (SessionId, Epoch),
) -> Result<(), StoreError> {
    sqlx::query(CLAIM)
        .bind(&claim.client_id)
        .bind(session.0)
        .bind(epoch.0)
        .bind(node.0)
        .bind(claim.expiry_interval)
        .bind(now())
        .execute(c)
        .await?;
    Ok(())
}

/// The session is gone; its queue waits for the sweep.
pub(super) async fn end(c: &mut SqliteConnection, session: SessionId) -> Result<(), StoreError> {
    sqlx::query(END)
        .bind(session.0)
        .bind(now())
        .execute(&mut *c)
        .await?;
    subscription::delete_of(c, session.0).await?;
    Ok(())
}

/// See [`Batch::detached`](crate::Batch::detached). Whether the client has no row any more.
pub(super) async fn detach(
    c: &mut SqliteConnection,
    detached: &Detached,
) -> Result<bool, StoreError> {
    let found = find(c, &detached.client_id).await?;
    let found = found.filter(|found| found.session == detached.session);
    let is_last = found.is_some_and(|found| found.epoch == detached.epoch);
    let is_resumed = found.is_some_and(|found| found.epoch > detached.epoch);
    will::detach(c, detached, is_last, is_resumed).await?;
    if is_last {
        let key = (&*detached.client_id, detached.session);
        release(c, key, detached.expiry_interval).await?;
    }
    Ok(is_last && detached.expiry_interval == 0)
}

/// The connection is gone: the session ends, or begins to expire.
async fn release(
    c: &mut SqliteConnection,
    (client_id, session): (&str, SessionId),
    expiry_interval: u32,
) -> Result<(), StoreError> {
    if expiry_interval == 0 {
        sqlx::query(DELETE).bind(client_id).execute(&mut *c).await?;
        return end(c, session).await;
    }
    let now = now();
    let expires_at = (expiry_interval != NEVER).then_some(now + i64::from(expiry_interval) * 1000);
    sqlx::query(RELEASE)
        .bind(client_id)
        .bind(expiry_interval)
        .bind(expires_at)
        .bind(now)
        .execute(c)
        .await?;
    Ok(())
}

/// Lets the clients of a dead node go.
pub(super) async fn let_go(c: &mut SqliteConnection, owner: NodeId) -> Result<(), StoreError> {
    let rows: Vec<(String, i64, i64, u32)> = sqlx::query_as(FIND_OWNED)
        .bind(owner.0)
        .fetch_all(&mut *c)
        .await?;
    for (client_id, session, _, expiry_interval) in rows {
        release(c, (&client_id, SessionId(session)), expiry_interval).await?;
    }
    Ok(())
}

/// Whether [`expire`] would find one. To look is cheaper than to begin a transaction.
pub(super) async fn has_expired(c: &mut SqliteConnection) -> Result<bool, StoreError> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(FIND_EXPIRED)
        .bind(now())
        .bind(limit(1))
        .fetch_all(c)
        .await?;
    Ok(!rows.is_empty())
}

/// See [`Store::expire`](crate::Store::expire).
pub(super) async fn expire(
    c: &mut SqliteConnection,
    most: usize,
) -> Result<Vec<Ended>, StoreError> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(FIND_EXPIRED)
        .bind(now())
        .bind(limit(most))
        .fetch_all(&mut *c)
        .await?;
    let mut ended = Vec::with_capacity(rows.len());
    for (client_id, session, epoch) in rows {
        let session = SessionId(session);
        sqlx::query(DELETE)
            .bind(&client_id)
            .execute(&mut *c)
            .await?;
        end(c, session).await?;
        will::hasten(c, &client_id).await?;
        ended.push(Ended {
            session,
            client_id,
            epoch: Epoch(epoch),
        });
    }
    Ok(ended)
}

/// Session, client, epoch and owner of persistent sessions, in order.
pub(super) async fn read(
    c: &mut SqliteConnection,
    after: SessionId,
    most: usize,
) -> Result<Vec<(i64, String, i64, Option<i64>)>, StoreError> {
    Ok(sqlx::query_as(READ)
        .bind(after.0)
        .bind(limit(most))
        .fetch_all(c)
        .await?)
}

/// Sessions that ended before `time`.
pub(super) async fn find_ended(
    c: &mut SqliteConnection,
    time: i64,
    most: usize,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar(FIND_ENDED)
        .bind(time)
        .bind(limit(most))
        .fetch_all(c)
        .await?)
}

/// Forgets a session that left nothing.
pub(super) async fn delete_ended(
    c: &mut SqliteConnection,
    session: i64,
) -> Result<u64, StoreError> {
    Ok(sqlx::query(DELETE_ENDED)
        .bind(session)
        .execute(c)
        .await?
        .rows_affected())
}

/// Looks at `most` sessions after `after`: each with whether it is a stray one.
pub(super) async fn find_stray(
    c: &mut SqliteConnection,
    after: i64,
    most: usize,
) -> Result<Vec<(i64, bool)>, StoreError> {
    Ok(sqlx::query_as(FIND_STRAY)
        .bind(after)
        .bind(limit(most))
        .fetch_all(c)
        .await?)
}
