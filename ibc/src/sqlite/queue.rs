//! Tables `queue` and `message`: which session waits for which message, and each message once.

use std::fmt::Write as _;

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection};

use super::limit;
use crate::{
    Acknowledged, EntryId, MessageId, Moved, NewEntry, NewMessage, NodeId, PageLimit, QueuedEntry,
    QueuedPage, Sent, SessionId, SharedEntry, StoreError,
};

/// Rows in one statement. Each statement is a trip to the thread of the connection.
const CHUNK: usize = 64;

const INSERT_MESSAGES: &str = "insert into message (id, body) ";
const INSERT_ENTRIES: &str =
    "insert into queue (session_id, id, source, message_id, options, share) ";

/// `?1` session, `?2` entry.
const DELETE: &str = "delete from queue where session_id = ?1 and id = ?2";

/// `?1` message. Relies on `queue_message_id`.
const DELETE_UNUSED: &str = "
    delete from message
     where id = ?1 and not exists (select 1 from queue where message_id = ?1)";

/// `?1` JSON array of pairs of session and entry.
const DELETE_MANY: &str = "
    delete from queue
     where (session_id, id) in (select value ->> 0, value ->> 1 from json_each(?1))";

/// `?1` JSON array of messages. Relies on `queue_message_id`.
const DELETE_MANY_UNUSED: &str = "
    delete from message
     where id in (select value from json_each(?1))
       and not exists (select 1 from queue where message_id = message.id)";

/// `?1` session, `?2` entry, `?3` packet identifier.
const SENT: &str = "update queue set packet_id = ?3 where session_id = ?1 and id = ?2";

/// `?1` session, `?2` entry.
const RELEASED: &str = "update queue set is_released = 1 where session_id = ?1 and id = ?2";

/// `?1` session, `?2` JSON array of pairs of writing node and the last entry seen of it, `?3` limit,
/// `?4` bytes: entries behind so much have no body.
const READ: &str = "
    select id, source, message_id, case when total - length(body) < ?4 then body end as body, options,
           share, packet_id, is_released
      from (select q.id, q.source, q.message_id, q.options, q.share, q.packet_id, q.is_released, m.body,
                   sum(length(m.body)) over (order by q.id rows unbounded preceding) as total
              from queue q join message m on m.id = q.message_id
             where q.session_id = ?1
               and q.id > coalesce((select max(value ->> 1) from json_each(?2)
                                     where value ->> 0 = q.source), -1)
             order by q.id limit ?3)
     order by id";

/// `?1` owner, `?2` limit. Relies on `session_owner` and `queue_shared`.
const SHARED: &str = "
    select q.session_id, q.id, q.message_id, m.body, q.options, q.share
      from session s
      join queue q on q.session_id = s.id
      join message m on m.id = q.message_id
     where s.owner = ?1 and q.share is not null and q.packet_id is null
     order by s.expiry_interval <> 0, q.id limit ?2";

/// `?1`, `?2` after which session and entry, `?3` limit. Relies on `queue_shared`.
const STRANDED: &str = "
    select q.session_id, q.id, q.message_id, m.body, q.options, q.share
      from queue q
      join ended_session e on e.id = q.session_id
      join message m on m.id = q.message_id
     where q.share is not null and q.packet_id is null
       and (q.session_id, q.id) > (?1, ?2)
     order by q.session_id, q.id limit ?3";

/// `?1` session, `?2` limit.
const DELETE_OF: &str = "
    delete from queue
     where session_id = ?1
       and id in (select id from queue where session_id = ?1 order by id limit ?2)
    returning message_id";

/// `?1` after which message, `?2` how many to look at.
const PAGE_END: &str =
    "select max(id), count(*) from (select id from message where id > ?1 order by id limit ?2)";

/// `?1` after which message, `?2` the last. Relies on `queue_message_id`.
const SWEEP: &str = "
    delete from message
     where id > ?1 and id <= ?2
       and not exists (select 1 from queue where message_id = message.id)";

/// Inserts messages with their entries; message `i` and its entries get `base + i`.
pub(super) async fn insert(
    c: &mut SqliteConnection,
    node: NodeId,
    base: i64,
    messages: &[NewMessage],
) -> Result<(), StoreError> {
    let numbered: Vec<(i64, &NewMessage)> = (base..).zip(messages).collect();
    for chunk in numbered.chunks(CHUNK) {
        let mut query = QueryBuilder::new(INSERT_MESSAGES);
        query.push_values(chunk, |mut row, (id, message)| {
            row.push_bind(*id).push_bind(&*message.body);
        });
        query
            .build()
            .persistent(chunk.len() == CHUNK)
            .execute(&mut *c)
            .await?;
    }
    let entries: Vec<(i64, i64, &NewEntry)> = numbered
        .into_iter()
        .flat_map(|(id, message)| message.entries.iter().map(move |entry| (id, id, entry)))
        .collect();
    insert_entries(c, node, &entries).await
}

/// Each with its identifier and its message.
async fn insert_entries(
    c: &mut SqliteConnection,
    node: NodeId,
    entries: &[(i64, i64, &NewEntry)],
) -> Result<(), StoreError> {
    for chunk in entries.chunks(CHUNK) {
        let mut query = QueryBuilder::new(INSERT_ENTRIES);
        query.push_values(chunk, |mut row, (id, message, entry)| {
            row.push_bind(entry.session.0)
                .push_bind(*id)
                .push_bind(node.0)
                .push_bind(*message)
                .push_bind(&*entry.options)
                .push_bind(entry.share.as_deref());
        });
        query
            .build()
            .persistent(chunk.len() == CHUNK)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

/// Moves entries; move `j` gets `base + j`. What is not there any more is not moved.
pub(super) async fn move_entries(
    c: &mut SqliteConnection,
    node: NodeId,
    base: i64,
    moved: &[Moved],
) -> Result<(), StoreError> {
    let mut entries = Vec::with_capacity(moved.len());
    for (id, moved) in (base..).zip(moved) {
        let gone = delete_entry(c, moved.from, moved.entry).await?;
        if gone > 0 {
            entries.push((id, moved.message.0, &moved.to));
        }
    }
    insert_entries(c, node, &entries).await
}

async fn delete_entry(
    c: &mut SqliteConnection,
    session: SessionId,
    entry: EntryId,
) -> Result<u64, StoreError> {
    Ok(sqlx::query(DELETE)
        .bind(session.0)
        .bind(entry.0)
        .execute(c)
        .await?
        .rows_affected())
}

/// False if the entry is not there any more.
pub(super) async fn set_sent(c: &mut SqliteConnection, sent: &Sent) -> Result<bool, StoreError> {
    let done = sqlx::query(SENT)
        .bind(sent.session.0)
        .bind(sent.entry.0)
        .bind(sent.packet_id)
        .execute(c)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn set_released(
    c: &mut SqliteConnection,
    (session, entry): (SessionId, EntryId),
) -> Result<(), StoreError> {
    sqlx::query(RELEASED)
        .bind(session.0)
        .bind(entry.0)
        .execute(c)
        .await?;
    Ok(())
}

/// Deletes entries, and their messages if those were the last ones.
pub(super) async fn acknowledge(
    c: &mut SqliteConnection,
    acknowledged: &[Acknowledged],
) -> Result<(), StoreError> {
    let mut entries = String::from("[");
    let mut messages = String::from("[");
    for (index, done) in acknowledged.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing into a String does not fail.
        let _ = write!(entries, "{comma}[{},{}]", done.session, done.entry);
        let _ = write!(messages, "{comma}{}", done.message);
    }
    entries.push(']');
    messages.push(']');
    sqlx::query(DELETE_MANY)
        .bind(entries)
        .execute(&mut *c)
        .await?;
    sqlx::query(DELETE_MANY_UNUSED)
        .bind(messages)
        .execute(c)
        .await?;
    Ok(())
}

/// Deletes a message for which nobody waits.
pub(super) async fn delete_unused(
    c: &mut SqliteConnection,
    message: i64,
) -> Result<u64, StoreError> {
    Ok(sqlx::query(DELETE_UNUSED)
        .bind(message)
        .execute(c)
        .await?
        .rows_affected())
}

/// See [`Store::queued`](crate::Store::queued).
pub(super) async fn read(
    c: &mut SqliteConnection,
    session: SessionId,
    seen: &[(NodeId, EntryId)],
    most: PageLimit,
) -> Result<QueuedPage, StoreError> {
    let rows = sqlx::query(READ)
        .bind(session.0)
        .bind(pairs(seen))
        .bind(limit(most.entries))
        .bind(limit(most.bytes))
        .fetch_all(c)
        .await?;
    let mut page = QueuedPage {
        is_cut: rows.len() >= most.entries,
        ..QueuedPage::default()
    };
    for row in &rows {
        let packet_id = row.try_get("packet_id")?;
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

/// Writing nodes with the last entry seen of each, as a JSON array of pairs.
pub(super) fn pairs(seen: &[(NodeId, EntryId)]) -> String {
    let pairs: Vec<String> = seen
        .iter()
        .map(|(node, entry)| format!("[{},{}]", node.0, entry.0))
        .collect();
    format!("[{}]", pairs.join(","))
}

fn queued(row: &SqliteRow, body: Bytes, packet_id: Option<u16>) -> Result<QueuedEntry, StoreError> {
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
    c: &mut SqliteConnection,
    owner: NodeId,
    most: usize,
) -> Result<Vec<SharedEntry>, StoreError> {
    let rows = sqlx::query(SHARED)
        .bind(owner.0)
        .bind(limit(most))
        .fetch_all(c)
        .await?;
    rows.iter().map(shared_entry).collect()
}

/// See [`Store::stranded`](crate::Store::stranded).
pub(super) async fn stranded(
    c: &mut SqliteConnection,
    (session, entry): (SessionId, EntryId),
    most: usize,
) -> Result<Vec<SharedEntry>, StoreError> {
    let rows = sqlx::query(STRANDED)
        .bind(session.0)
        .bind(entry.0)
        .bind(limit(most))
        .fetch_all(c)
        .await?;
    rows.iter().map(shared_entry).collect()
}

fn shared_entry(row: &SqliteRow) -> Result<SharedEntry, StoreError> {
    Ok(SharedEntry {
        session: SessionId(row.try_get("session_id")?),
        entry: EntryId(row.try_get("id")?),
        message: MessageId(row.try_get("message_id")?),
        body: bytes(row, "body")?,
        options: bytes(row, "options")?,
        share: row.try_get("share")?,
    })
}

/// Deletes at most `most` entries of a session. Returns their messages.
pub(super) async fn delete_of(
    c: &mut SqliteConnection,
    session: i64,
    most: usize,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar(DELETE_OF)
        .bind(session)
        .bind(limit(most))
        .fetch_all(c)
        .await?)
}

/// Looks at `most` messages after `after`. Returns where to go on, unless that was the end, and how
/// many it deleted.
pub(super) async fn sweep_messages(
    c: &mut SqliteConnection,
    after: i64,
    most: usize,
) -> Result<(Option<i64>, u64), StoreError> {
    let (end, count): (Option<i64>, i64) = sqlx::query_as(PAGE_END)
        .bind(after)
        .bind(limit(most))
        .fetch_one(&mut *c)
        .await?;
    let Some(end) = end else { return Ok((None, 0)) };
    let done = sqlx::query(SWEEP).bind(after).bind(end).execute(c).await?;
    Ok(((count >= limit(most)).then_some(end), done.rows_affected()))
}

fn bytes(row: &SqliteRow, column: &str) -> Result<Bytes, sqlx::Error> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from)
}
