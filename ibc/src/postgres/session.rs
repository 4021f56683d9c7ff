//! Table `session`: the registry of client IDs.
//!
//! Whoever changes several rows locks them in the order of the client IDs, so that no two
//! transactions wait for each other; or skips what is locked.
//!
//! What runs for each connection reads its arrays as `(select $1)`: the planner does not see how long they
//! are then, and keeps the plan. Otherwise it makes a new one each time, which takes longer than to
//! carry it out.

use sqlx::PgConnection;

use super::fence::{Fence, fenced};
use crate::claim::Found;
use crate::{Detached, Ended, Epoch, NodeId, SessionId, StoreError, WillFate};

/// `$1` clients, in order. Makes a row of epoch 0 for each new one and locks the others.
const PLACE: &str = "
    insert into session (client_key, client_id, id, epoch, expiry_interval)
    select sha256(convert_to(c.client_id, 'UTF8')), c.client_id, nextval('session_id'), 0, 0
      from unnest($1::text[]) with ordinality c (client_id, n)
     order by c.n
    on conflict (client_key) do update set owner = session.owner where false";

/// `$1` clients.
const FIND: &str = "
    select client_id, id, epoch, owner, expiry_interval,
           coalesce(expires_at <= clock_timestamp(), false)
      from session
     where client_key in (select sha256(convert_to(c, 'UTF8')) from unnest((select $1::text[])) c)";

/// `$1` owner, `$2` clients.
const OWNED: &str = "
    select s.client_id
      from unnest($2::text[]) c (client_id)
     cross join lateral (
        select s.client_id, s.owner from session s
         where s.client_key = sha256(convert_to(c.client_id, 'UTF8')) offset 0) s
     where s.owner = $1";

/// `$1` owner; per claim: `$2` client, `$3` whether it gets a new session, `$4` expiry in seconds.
const CLAIM: &str = "
    update session s
       set id = case when c.is_new then nextval('session_id') else s.id end,
           epoch = nextval('session_epoch'), owner = $1, expiry_interval = c.expiry_interval,
           expires_at = null, connected_at = clock_timestamp(), disconnected_at = null
      from unnest((select $2::text[]), (select $3::boolean[]), (select $4::bigint[])) c (client_id, is_new, expiry_interval)
     where s.client_key = sha256(convert_to(c.client_id, 'UTF8'))
    returning s.client_id, s.id, s.epoch";

/// Per connection: `$5` client, `$6` session, `$7` epoch, `$8` expiry in seconds, `$9` whether the Will
/// is discarded.
///
/// `held` is the client's row, whoever has it now. The session is touched only if the claim is still the
/// last one. A Will that is not discarded waits for its delay or the end of the session, whichever
/// is first; it is not published if the client has resumed the session elsewhere and there
/// was a delay [MQTT-3.1.3-9], and at once if the client came back in another way.
const DETACH: &str = fenced!(
    ", gone as materialized (
        select sha256(convert_to(d.client_id, 'UTF8')) as client_key, d.*
          from fence, unnest((select $5::text[]), (select $6::bigint[]), (select $7::bigint[]), (select $8::bigint[]), (select $9::boolean[]))
                      d (client_id, session_id, epoch, expiry_interval, is_discarded))
     , held as materialized (
        select s.client_key, s.id, s.epoch, g.epoch as gone_epoch, g.expiry_interval,
               s.id = g.session_id and s.epoch = g.epoch as is_last,
               s.id = g.session_id and s.epoch > g.epoch as is_resumed
          from gone g
          join session s on s.client_key = g.client_key
         order by g.client_id
           for update of s)
     , deleted as (
        delete from session s using held h
         where s.client_key = h.client_key and h.is_last and h.expiry_interval = 0
        returning s.id)
     , ended as (
        insert into ended_session (id, ended_at) select id, clock_timestamp() from deleted
        on conflict (id) do nothing)
     , unsubscribed as (
        delete from subscription u using deleted d where u.session_id = d.id)
     , kept as (
        update session s
           set owner = null, expiry_interval = h.expiry_interval, disconnected_at = clock_timestamp(),
               expires_at = case when h.expiry_interval < 4294967295 then
                   clock_timestamp() + h.expiry_interval * interval '1 second' end
          from held h
         where s.client_key = h.client_key and h.is_last and h.expiry_interval > 0)
     , fate as materialized (
        select g.client_key, g.epoch, g.expiry_interval, g.is_discarded,
               coalesce(h.is_last, false) as is_last, coalesce(h.is_resumed, false) as is_resumed
          from gone g
          left join held h on h.client_key = g.client_key and h.gone_epoch = g.epoch)
     , unwilled as (
        delete from will w using fate f
         where w.client_key = f.client_key and w.epoch = f.epoch
           and (f.is_discarded or f.is_resumed and w.delay_interval > 0))
     , due as (
        update will w
           set due_at = clock_timestamp() + case when f.is_last
                            then least(w.delay_interval, f.expiry_interval) else 0 end
                                            * interval '1 second'
          from fate f
         where w.client_key = f.client_key and w.epoch = f.epoch
           and not (f.is_discarded or f.is_resumed and w.delay_interval > 0))
     select base from fence"
);

/// `$1` owner. Locks its sessions. Relies on `session_owner`.
const LOCK_OWNED: &str = "
    select id from session where owner = $1 order by client_id for update";

/// `$1` owner, all of whose rows are locked. Relies on `session_owner`.
const DELETE_OWNED: &str = "
    with deleted as (
        delete from session where owner = $1 and expiry_interval = 0 returning id)
    insert into ended_session (id, ended_at) select id, clock_timestamp() from deleted
    on conflict (id) do nothing
    returning id";

/// `$1` owner, all of whose rows are locked. Relies on `session_owner`.
const RELEASE_OWNED: &str = "
    update session
       set owner = null, disconnected_at = clock_timestamp(),
           expires_at = case when expiry_interval < 4294967295 then
               clock_timestamp() + expiry_interval * interval '1 second' end
     where owner = $1";

/// `$1` limit. Relies on `session_expires_at`.
const EXPIRE: &str = "
    with page as materialized (
        select client_key from session
         where expires_at <= clock_timestamp() and owner is null
         order by expires_at
         limit $1
           for update skip locked),
    deleted as (
        delete from session s using page p
         where s.client_key = p.client_key
        returning s.client_key, s.client_id, s.id, s.epoch),
    ended as (
        insert into ended_session (id, ended_at) select id, clock_timestamp() from deleted
        on conflict (id) do nothing),
    unsubscribed as (
        delete from subscription u using deleted d where u.session_id = d.id),
    due as (
        update will w set due_at = clock_timestamp()
          from deleted d
         where w.client_key = d.client_key and w.due_at > clock_timestamp())
    select id, client_id, epoch from deleted";

/// `$1` after which session, `$2` limit. Relies on `session_id_key`.
const READ: &str = "
    select id, client_id, epoch, owner from session
     where id > $1 and expiry_interval > 0
     order by id
     limit $2";

/// `$1` seconds. Nodes that are buried or unknown and still own sessions. Relies on `session_owner`.
const LOST_OWNERS: &str = "
    with recursive owners (owner) as (
        select min(owner) from session where owner is not null
        union all
        select (select min(s.owner) from session s where s.owner > o.owner)
          from owners o where o.owner is not null)
    select o.owner from owners o
     where o.owner is not null
       and not exists (select 1 from node n where n.incarnation = o.owner
                          and (n.buried_at is null
                               or n.buried_at > clock_timestamp() - $1::bigint * interval '1 second'))";

/// See [`Store::owned`](crate::Store::owned).
pub(super) async fn owned(
    c: &mut PgConnection,
    owner: NodeId,
    clients: &[String],
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(OWNED)
        .bind(owner.0)
        .bind(clients)
        .fetch_all(c)
        .await?)
}

/// Locks the rows of `clients`, which are sorted, and makes those that are missing.
pub(super) async fn place(c: &mut PgConnection, clients: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query(PLACE).bind(clients).execute(c).await?;
    Ok(())
}

/// What is stored of `clients`, in no order. `is_owner_dead` tells of which nodes.
pub(super) async fn find(
    c: &mut PgConnection,
    clients: &[&str],
) -> Result<Vec<(String, Found)>, StoreError> {
    let rows: Vec<(String, i64, i64, Option<i64>, i64, bool)> =
        sqlx::query_as(FIND).bind(clients).fetch_all(c).await?;
    Ok(rows
        .into_iter()
        .map(
            |(client_id, id, epoch, owner, expiry_interval, is_expired)| {
                let owner = owner.map(NodeId);
                let (session, epoch) = (SessionId(id), Epoch(epoch));
                (
                    client_id,
                    Found {
                        session,
                        epoch,
                        owner,
                        expiry_interval,
                        is_expired,
                    },
                )
            },
        )
        .collect())
}

/// Takes the sessions. Returns client, session and epoch, in no order.
pub(super) async fn claim(
    c: &mut PgConnection,
    node: NodeId,
    clients: &[&str],
    is_new: &[bool],
    expiry_intervals: &[i64],
) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
    sqlx::query_as(CLAIM)
        .bind(node.0)
        .bind(clients)
        .bind(is_new)
        .bind(expiry_intervals)
        .fetch_all(c)
        .await
}

pub(super) async fn detach(
    c: &mut PgConnection,
    fence: &Fence,
    detached: &[Detached],
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .query(DETACH)
        .bind(
            detached
                .iter()
                .map(|d| d.client_id.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(detached.iter().map(|d| d.session.0).collect::<Vec<_>>())
        .bind(detached.iter().map(|d| d.epoch.0).collect::<Vec<_>>())
        .bind(
            detached
                .iter()
                .map(|d| i64::from(d.expiry_interval))
                .collect::<Vec<_>>(),
        )
        .bind(
            detached
                .iter()
                .map(|d| d.will == WillFate::Discard)
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?)
}

pub(super) async fn lock_owned(c: &mut PgConnection, owner: NodeId) -> Result<(), sqlx::Error> {
    sqlx::query(LOCK_OWNED).bind(owner.0).execute(c).await?;
    Ok(())
}

/// Deletes the sessions of a dead node that end with their connection, and lets the others go. Returns
/// those deleted.
pub(super) async fn let_go(c: &mut PgConnection, owner: NodeId) -> Result<Vec<i64>, sqlx::Error> {
    let deleted = sqlx::query_scalar(DELETE_OWNED)
        .bind(owner.0)
        .fetch_all(&mut *c)
        .await?;
    sqlx::query(RELEASE_OWNED).bind(owner.0).execute(c).await?;
    Ok(deleted)
}

/// See [`Store::expire`](crate::Store::expire).
pub(super) async fn expire(c: &mut PgConnection, limit: usize) -> Result<Vec<Ended>, StoreError> {
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(EXPIRE)
        .bind(super::limit(limit))
        .fetch_all(c)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(session, client_id, epoch)| Ended {
            session: SessionId(session),
            client_id,
            epoch: Epoch(epoch),
        })
        .collect())
}

/// Session, client, epoch and owner of persistent sessions, in order.
pub(super) async fn read(
    c: &mut PgConnection,
    after: SessionId,
    limit: usize,
) -> Result<Vec<(i64, String, i64, Option<i64>)>, sqlx::Error> {
    sqlx::query_as(READ)
        .bind(after.0)
        .bind(super::limit(limit))
        .fetch_all(c)
        .await
}

/// Nodes buried more than `seconds` ago, or unknown, that still own sessions.
pub(super) async fn lost_owners(
    c: &mut PgConnection,
    seconds: i64,
) -> Result<Vec<NodeId>, sqlx::Error> {
    let rows: Vec<i64> = sqlx::query_scalar(LOST_OWNERS)
        .bind(seconds)
        .fetch_all(c)
        .await?;
    Ok(rows.into_iter().map(NodeId).collect())
}
