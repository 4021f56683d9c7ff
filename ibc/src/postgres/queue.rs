//! Table `queue`: which session waits for which message.

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::fence::{Fence, Numbered, fenced, numbered};
use crate::{
    Acknowledged, EntryId, MessageId, Moved, NodeId, PageLimit, QueuedEntry, QueuedPage, Sent,
    SessionId, SharedEntry, StoreError,
};

/// Moves entries. `$5` offset to `base`; per entry: `$6` old session, `$7` entry, `$8` message,
/// `$9` new session, `$10` options, `$11` share or null. What is not there any more, or was sent,
/// is not moved. By index look-up of each, see [`READ`].
const MOVE: Numbered = numbered!(
    ", place as materialized (
        select x.ctid as tid, m.session_id, m.message_id, m.options, m.share, m.n
          from unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[], $11::text[])
               with ordinality m (old_session, id, message_id, session_id, options, share, n)
         cross join lateral (
            select x.ctid from queue x
             where x.session_id = m.old_session and x.id = m.id offset 0) x)
     , gone as (
        delete from queue q
         using fence, place p
         where q.ctid = p.tid and q.packet_id is null
        returning p.session_id, p.message_id, p.options, p.share, p.n)
     , entry as (
        insert into queue (session_id, id, source, message_id, options, share)
        select g.session_id, fence.base + $5 + g.n - 1, $1, g.message_id, g.options, g.share
          from fence, gone g)
     select base from fence"
);

/// `$5` session, `$6` entry, `$7` packet identifier. Gives the numbers, from 1, of those that are not
/// there any more. By index look-up of each, see [`READ`].
const SENT: &str = fenced!(
    ", place as materialized (
        select x.ctid as tid, s.packet_id, s.n
          from unnest($5::bigint[], $6::bigint[], $7::integer[])
               with ordinality s (session_id, id, packet_id, n)
          left join lateral (
            select x.ctid from queue x
             where x.session_id = s.session_id and x.id = s.id offset 0) x on true)
     , done as (
        update queue q set packet_id = p.packet_id
          from fence, place p
         where q.ctid = p.tid
        returning p.n)
     select base, array(select p.n from place p except all select d.n from done d) from fence"
);

/// `$5` session, `$6` entry. By index look-up of each, see [`READ`].
const RELEASED: &str = fenced!(
    ", place as materialized (
        select x.ctid as tid
          from unnest($5::bigint[], $6::bigint[]) s (session_id, id)
         cross join lateral (
            select x.ctid from queue x
             where x.session_id = s.session_id and x.id = s.id offset 0) x)
     , done as (
        update queue q set is_released = true
          from fence, place p
         where q.ctid = p.tid)
     select base from fence"
);

/// `$5` session, `$6` entry. By index look-up of each, see [`READ`]; nobody else updates these rows
/// meanwhile, because an entry belongs to the lane of the session's owner.
const DELETE: &str = fenced!(
    ", done as (
        delete from queue q
         using fence
         where q.ctid = any(array(
            select f.ctid
              from unnest($5::bigint[], $6::bigint[]) s (session_id, id)
             cross join lateral (
                select x.ctid from queue x
                 where x.session_id = s.session_id and x.id = s.id offset 0) f)))
     select base from fence"
);

/// `$1` session, `$2` and `$3` writing node and the last entry seen of it, `$4` limit, `$5` bytes:
/// entries behind so much have no body.
///
/// `offset 0` keeps one index look-up per entry: after a vacuum of a nearly empty table the
/// planner takes it for tiny, and would scan all of it for each entry.
const READ: &str = "
    select id, source, message_id, case when total - size < $5 then body end as body, options, share,
           packet_id, is_released
      from (select q.id, q.source, q.message_id, q.options, q.share, q.packet_id, q.is_released, m.body,
                   octet_length(m.body) as size,
                   sum(octet_length(m.body)) over (order by q.id rows unbounded preceding) as total
              from queue q
             cross join lateral (select body from message where id = q.message_id offset 0) m
             where q.session_id = $1
               and q.id > coalesce((select max(s.entry)
                                      from unnest($2::bigint[], $3::bigint[]) s (node, entry)
                                     where s.node = q.source), -1)
             order by q.id
             limit $4) page
     order by id";

/// `$1` owner, `$2` limit. Entries of shared subscriptions that were not sent; first those of
/// sessions that end with the owner. Relies on `session_owner` and `queue_shared`.
const SHARED: &str = "
    select q.session_id, q.id, q.message_id, m.body, q.options, q.share
      from session s
      join queue q on q.session_id = s.id
      join message m on m.id = q.message_id
     where s.owner = $1 and q.share is not null and q.packet_id is null
     order by s.expiry_interval <> 0, q.id
     limit $2";

/// `$1`, `$2` after which session and entry, `$3` limit. Relies on `queue_shared`.
const STRANDED: &str = "
    select q.session_id, q.id, q.message_id, m.body, q.options, q.share
      from queue q
      join ended_session e on e.id = q.session_id
      join message m on m.id = q.message_id
     where q.share is not null and q.packet_id is null
       and (q.session_id, q.id) > ($1, $2)
     order by q.session_id, q.id limit $3";

/// `$1` sessions, `$2` limit. Deletes their entries.
const DELETE_OF: &str = "
    with page as (
        select session_id, id from queue where session_id = any($1::bigint[]) limit $2)
    delete from queue q using page p
     where q.session_id = p.session_id and q.id = p.id
    returning q.message_id";

pub(super) async fn move_entries(
    c: &mut PgConnection,
    fence: &Fence,
    moved: &[Moved],
    offset: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .numbered(MOVE)
        .bind(offset)
        .bind(moved.iter().map(|m| m.from.0).collect::<Vec<_>>())
        .bind(moved.iter().map(|m| m.entry.0).collect::<Vec<_>>())
        .bind(moved.iter().map(|m| m.message.0).collect::<Vec<_>>())
        .bind(moved.iter().map(|m| m.to.session.0).collect::<Vec<_>>())
        .bind(moved.iter().map(|m| &*m.to.options).collect::<Vec<&[u8]>>())
        .bind(
            moved
                .iter()
                .map(|m| m.to.share.as_deref())
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?)
}

/// Adds to `moved_on` what is not there any more.
pub(super) async fn set_sent(
    c: &mut PgConnection,
    fence: &Fence,
    sent: &[Sent],
    moved_on: &mut Vec<(SessionId, EntryId)>,
) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64, Vec<i64>)> = fence
        .query_row(SENT)
        .bind(sent.iter().map(|s| s.session.0).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.entry.0).collect::<Vec<_>>())
        .bind(
            sent.iter()
                .map(|s| i32::from(s.packet_id))
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?;
    let Some((base, missing)) = row else {
        return Ok(None);
    };
    let numbers = missing.into_iter().filter_map(|n| usize::try_from(n).ok());
    let missing = numbers.filter_map(|n| sent.get(n.checked_sub(1)?));
    moved_on.extend(missing.map(|sent| (sent.session, sent.entry)));
    Ok(Some(base))
}

pub(super) async fn set_released(
    c: &mut PgConnection,
    fence: &Fence,
    released: &[(SessionId, EntryId)],
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .query(RELEASED)
        .bind(
            released
                .iter()
                .map(|(session, _)| session.0)
                .collect::<Vec<_>>(),
        )
        .bind(
            released
                .iter()
                .map(|(_, entry)| entry.0)
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?)
}

pub(super) async fn delete(
    c: &mut PgConnection,
    fence: &Fence,
    acknowledged: &[Acknowledged],
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .query(DELETE)
        .bind(acknowledged.iter().map(|a| a.session.0).collect::<Vec<_>>())
        .bind(acknowledged.iter().map(|a| a.entry.0).collect::<Vec<_>>())
        .fetch_optional(c)
        .await?)
}

/// See [`Store::queued`](crate::Store::queued).
pub(super) async fn read(
    c: &mut PgConnection,
    session: SessionId,
    seen: &[(NodeId, EntryId)],
    limit: PageLimit,
) -> Result<QueuedPage, StoreError> {
    let rows = sqlx::query(READ)
        .bind(session.0)
        .bind(seen.iter().map(|(node, _)| node.0).collect::<Vec<_>>())
        .bind(seen.iter().map(|(_, entry)| entry.0).collect::<Vec<_>>())
        .bind(super::limit(limit.entries))
        .bind(super::limit(limit.bytes))
        .fetch_all(c)
        .await?;
    let mut page = QueuedPage {
        is_cut: rows.len() >= limit.entries,
        ..QueuedPage::default()
    };
    for row in &rows {
        let packet_id: Option<i32> = row.try_get("packet_id")?;
        let packet_id = packet_id.map(u16::try_from).transpose();
        let packet_id = packet_id.map_err(|_| StoreError::Corrupt { table: "queue" })?;
        match row.try_get::<Option<Vec<u8>>, _>("body")? {
            Some(body) => page.entries.push(queued(row, body.into(), packet_id)?),
            None => {
                page.is_cut = true;
                page.reserved.extend(packet_id);
            }
        }
    }
    Ok(page)
}

fn queued(row: &PgRow, body: Bytes, packet_id: Option<u16>) -> Result<QueuedEntry, StoreError> {
    Ok(QueuedEntry {
        entry: EntryId(row.try_get("id")?),
        source: NodeId(row.try_get("source")?),
        message: MessageId(row.try_get("message_id")?),
        body,
        options: bytes(row, "options")?,
        share: row.try_get("share")?,
        packet_id,
        is_released: row.try_get("is_released")?,
    })
}

/// Messages that members of shared subscriptions at a node had not been sent.
pub(super) async fn shared(
    c: &mut PgConnection,
    owner: NodeId,
    limit: i64,
) -> Result<Vec<SharedEntry>, StoreError> {
    let rows = sqlx::query(SHARED)
        .bind(owner.0)
        .bind(limit)
        .fetch_all(c)
        .await?;
    rows.iter().map(shared_entry).collect()
}

/// See [`Store::stranded`](crate::Store::stranded).
pub(super) async fn stranded(
    c: &mut PgConnection,
    (session, entry): (SessionId, EntryId),
    most: usize,
) -> Result<Vec<SharedEntry>, StoreError> {
    let rows = sqlx::query(STRANDED)
        .bind(session.0)
        .bind(entry.0)
        .bind(super::limit(most))
        .fetch_all(c)
        .await?;
    rows.iter().map(shared_entry).collect()
}

fn shared_entry(row: &PgRow) -> Result<SharedEntry, StoreError> {
    Ok(SharedEntry {
        session: SessionId(row.try_get("session_id")?),
        entry: EntryId(row.try_get("id")?),
        message: MessageId(row.try_get("message_id")?),
        body: bytes(row, "body")?,
        options: bytes(row, "options")?,
        share: row.try_get("share")?,
    })
}

/// Deletes at most `limit` entries of `sessions`. Returns their messages.
pub(super) async fn delete_of(
    c: &mut PgConnection,
    sessions: &[i64],
    limit: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(DELETE_OF)
        .bind(sessions)
        .bind(limit)
        .fetch_all(c)
        .await
}

pub(super) fn bytes(row: &PgRow, column: &str) -> Result<Bytes, sqlx::Error> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from)
}
