//! Table `message`: each Application Message once, however many sessions wait for it.

use sqlx::PgConnection;

use super::fence::{Fence, Numbered, fenced, numbered};
use crate::{NewMessage, StoreError};

/// Inserts messages with their entries. `$5` bodies; per entry: `$6` session, `$7` number of its
/// message, from 0, `$8` options, `$9` share or null.
const INSERT: Numbered = numbered!(
    ", body as (
        insert into message (id, body)
        select fence.base + m.n - 1, m.body
          from fence, unnest($5::bytea[]) with ordinality m (body, n))
     , entry as (
        insert into queue (session_id, id, source, message_id, options, share)
        select e.session_id, fence.base + e.n, $1, fence.base + e.n, e.options, e.share
          from fence, unnest($6::bigint[], $7::integer[], $8::bytea[], $9::text[])
                      e (session_id, n, options, share))
     select base from fence"
);

/// `$1` messages. Deletes those that nobody waits for. Relies on `queue_message_id`.
///
/// Runs after the entries were deleted and that was committed: of two that delete the last two entries
/// at once, neither would see the other's deletion before. Does not wait for the disk: what a crash brings
/// back is swept.
const DELETE_UNUSED: &str = "
    delete from message m
     where (select set_config('synchronous_commit', 'off', true)) is not null
       and m.id = any($1::bigint[])
       and not exists (select 1 from queue q where q.message_id = m.id offset 0)";

/// `$1` after which message, `$2` how many to look at. Relies on `queue_message_id`.
const SWEEP: &str = "
    with page as materialized (
        select id from message where id > $1 order by id limit $2),
    gone as (
        delete from message m using page p
         where m.id = p.id and not exists (select 1 from queue q where q.message_id = p.id offset 0)
        returning 1)
    select (select max(id) from page where (select count(*) from page) = $2),
           (select count(*) from gone)";

pub(super) async fn insert(
    c: &mut PgConnection,
    fence: &Fence,
    messages: &[NewMessage],
) -> Result<Option<i64>, StoreError> {
    let count = messages.iter().map(|message| message.entries.len()).sum();
    let bodies: Vec<&[u8]> = messages.iter().map(|message| &*message.body).collect();
    let mut sessions = Vec::with_capacity(count);
    let mut numbers: Vec<i32> = Vec::with_capacity(count);
    let mut options: Vec<&[u8]> = Vec::with_capacity(count);
    let mut shares: Vec<Option<&str>> = Vec::with_capacity(count);
    for (number, message) in (0..).zip(messages) {
        for entry in &message.entries {
            sessions.push(entry.session.0);
            numbers.push(number);
            options.push(&entry.options);
            shares.push(entry.share.as_deref());
        }
    }
    Ok(fence
        .numbered(INSERT)
        .bind(bodies)
        .bind(sessions)
        .bind(numbers)
        .bind(options)
        .bind(shares)
        .fetch_optional(c)
        .await?)
}

/// Deletes those of `messages` that are in no queue.
pub(super) async fn delete_unused(
    c: &mut PgConnection,
    messages: &[i64],
) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(DELETE_UNUSED)
        .bind(messages)
        .execute(c)
        .await?
        .rows_affected())
}

/// Looks at `limit` messages after `after`. Returns where to go on, unless that was the end, and how
/// many it deleted.
pub(super) async fn sweep(
    c: &mut PgConnection,
    after: i64,
    limit: i64,
) -> Result<(Option<i64>, i64), sqlx::Error> {
    sqlx::query_as(SWEEP)
        .bind(after)
        .bind(limit)
        .fetch_one(c)
        .await
}
