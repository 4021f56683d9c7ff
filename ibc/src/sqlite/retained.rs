//! Table `retained`: the last retained message of each topic, and for a while that it was removed.

use bytes::Bytes;
use sqlx::SqliteConnection;

use super::{limit, now};
use crate::{RetainedChange, RetainedMessage, StoreError};

/// `?1` topic, `?2` body or null, `?3` version, `?4` expiry as a time or null, `?5` now.
const UPSERT: &str = "
    insert into retained (topic, body, version, expires_at, updated_at)
    values (?1, ?2, ?3, ?4, ?5)
    on conflict (topic) do update
       set body = excluded.body, version = excluded.version, expires_at = excluded.expires_at,
           updated_at = excluded.updated_at
     where version < excluded.version";

/// `?1` after which topic, `?2` now, `?3` limit.
const READ: &str = "
    select topic, body, version from retained
     where topic > ?1 and body is not null and (expires_at is null or expires_at > ?2)
     order by topic limit ?3";

/// `?1` since when, `?2` now. Relies on `retained_updated_at`.
const READ_SINCE: &str = "
    select topic, case when expires_at <= ?2 then null else body end, version
      from retained where updated_at > ?1 order by version";

/// `?1` time. Removed before. Relies on `retained_updated_at`.
const SWEEP_REMOVED: &str = "delete from retained where body is null and updated_at < ?1";

/// `?1` time. Expired before. Relies on `retained_expires_at`.
const SWEEP_EXPIRED: &str = "delete from retained where expires_at < ?1";

pub(super) async fn upsert(
    c: &mut SqliteConnection,
    version: i64,
    change: &RetainedChange,
) -> Result<(), StoreError> {
    let now = now();
    sqlx::query(UPSERT)
        .bind(&change.topic_name)
        .bind(change.body.as_deref())
        .bind(version)
        .bind(
            change
                .expiry_interval
                .map(|seconds| now + i64::from(seconds) * 1000),
        )
        .bind(now)
        .execute(c)
        .await?;
    Ok(())
}

/// See [`Store::retained`](crate::Store::retained).
pub(super) async fn read(
    c: &mut SqliteConnection,
    after: &str,
    most: usize,
) -> Result<Vec<RetainedMessage>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(READ)
        .bind(after)
        .bind(now())
        .bind(limit(most))
        .fetch_all(c)
        .await?;
    Ok(rows.into_iter().map(message).collect())
}

/// Changes after the time `since`.
pub(super) async fn read_since(
    c: &mut SqliteConnection,
    since: i64,
) -> Result<Vec<RetainedMessage>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(READ_SINCE)
        .bind(since)
        .bind(now())
        .fetch_all(c)
        .await?;
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

/// Deletes what was removed or has expired before `time`.
pub(super) async fn sweep(c: &mut SqliteConnection, time: i64) -> Result<u64, StoreError> {
    let removed = sqlx::query(SWEEP_REMOVED)
        .bind(time)
        .execute(&mut *c)
        .await?;
    let expired = sqlx::query(SWEEP_EXPIRED).bind(time).execute(c).await?;
    Ok(removed.rows_affected() + expired.rows_affected())
}
