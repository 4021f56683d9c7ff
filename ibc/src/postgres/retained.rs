//! Table `retained`: the last retained message of each topic, and for a while that it was removed.

use std::time::Duration;

use bytes::Bytes;
use sqlx::PgConnection;

use super::fence::{Fence, Numbered, fenced, numbered};
use crate::{RetainedChange, RetainedMessage, StoreError};

/// `$5` offset to `base`, `$6` topic, `$7` body or null, `$8` seconds or null. The larger version
/// wins, whichever comes last. In the order of the topics, so that two nodes do not wait for each other.
const UPSERT: Numbered = numbered!(
    ", done as (
        insert into retained (topic_key, topic, body, version, expires_at, updated_at)
        select sha256(convert_to(r.topic, 'UTF8')), r.topic, r.body, fence.base + $5 + r.n - 1,
               clock_timestamp() + r.seconds * interval '1 second', clock_timestamp()
          from fence, unnest($6::text[], $7::bytea[], $8::bigint[])
                      with ordinality r (topic, body, seconds, n)
         order by 1
        on conflict (topic_key) do update
           set body = excluded.body, version = excluded.version,
               expires_at = excluded.expires_at, updated_at = excluded.updated_at
         where retained.version < excluded.version)
     select base from fence"
);

/// `$1` after which topic, `$2` limit. Relies on `retained_topic`, which is why the start of the topic
/// is compared too.
const READ: &str = r#"
    select topic, body, version from retained
     where left(topic, 600) collate "C" >= left($1::text, 600) collate "C"
       and topic > $1::text collate "C"
       and body is not null and (expires_at is null or expires_at > clock_timestamp())
     order by left(topic, 600) collate "C", topic
     limit $2"#;

/// `$1` milliseconds. Relies on `retained_updated_at`.
const READ_SINCE: &str = "
    select topic, case when expires_at <= clock_timestamp() then null else body end, version
      from retained
     where updated_at > clock_timestamp() - $1::bigint * interval '1 millisecond'
     order by version";

/// `$1` seconds, `$2` limit. Removed long ago. Relies on `retained_updated_at`.
const SWEEP_REMOVED: &str = "
    with page as (
        select topic_key, version from retained
         where body is null and updated_at < clock_timestamp() - $1::bigint * interval '1 second'
         limit $2)
    delete from retained r using page p
     where r.topic_key = p.topic_key and r.version = p.version";

/// `$1` seconds, `$2` limit. Expired long ago. Relies on `retained_expires_at`.
const SWEEP_EXPIRED: &str = "
    with page as (
        select topic_key, version from retained
         where expires_at < clock_timestamp() - $1::bigint * interval '1 second'
         limit $2)
    delete from retained r using page p
     where r.topic_key = p.topic_key and r.version = p.version";

pub(super) async fn upsert(
    c: &mut PgConnection,
    fence: &Fence,
    changes: &[RetainedChange],
    offset: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .numbered(UPSERT)
        .bind(offset)
        .bind(
            changes
                .iter()
                .map(|r| r.topic_name.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            changes
                .iter()
                .map(|r| r.body.as_deref())
                .collect::<Vec<Option<&[u8]>>>(),
        )
        .bind(
            changes
                .iter()
                .map(|r| r.expiry_interval.map(i64::from))
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?)
}

/// See [`Store::retained`](crate::Store::retained).
pub(super) async fn read(
    c: &mut PgConnection,
    after: &str,
    limit: usize,
) -> Result<Vec<RetainedMessage>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(READ)
        .bind(after)
        .bind(super::limit(limit))
        .fetch_all(c)
        .await?;
    Ok(rows.into_iter().map(message).collect())
}

/// See [`Store::retained_since`](crate::Store::retained_since).
pub(super) async fn read_since(
    c: &mut PgConnection,
    period: Duration,
) -> Result<Vec<RetainedMessage>, StoreError> {
    let millis = super::node::millis(period);
    let rows: Vec<Row> = sqlx::query_as(READ_SINCE).bind(millis).fetch_all(c).await?;
    Ok(rows.into_iter().map(message).collect())
}

type Row = (String, Option<Vec<u8>>, i64);

fn message((topic_name, body, version): Row) -> RetainedMessage {
    RetainedMessage {
        topic_name,
        body: body.map(Bytes::from),
        version,
    }
}

/// Deletes what was removed or has expired more than `seconds` ago.
pub(super) async fn sweep(
    c: &mut PgConnection,
    seconds: i64,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query(SWEEP_REMOVED)
        .bind(seconds)
        .bind(limit)
        .execute(&mut *c)
        .await?;
    let expired = sqlx::query(SWEEP_EXPIRED)
        .bind(seconds)
        .bind(limit)
        .execute(c)
        .await?;
    Ok(removed.rows_affected() + expired.rows_affected())
}
