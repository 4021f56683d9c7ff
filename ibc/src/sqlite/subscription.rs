//! Table `subscription`: what persistent sessions subscribe to.

use mqtt::{SubscriptionOptions, TopicFilter};
use sqlx::SqliteConnection;

use crate::{SessionId, StoreError, StoredSubscription, SubscriptionChange};

const CORRUPT: StoreError = StoreError::Corrupt {
    table: "subscription",
};

/// `?1` session, `?2` filter, `?3` options, `?4` identifier or null.
const UPSERT: &str = "
    insert into subscription (session_id, filter, options, identifier) values (?1, ?2, ?3, ?4)
    on conflict (session_id, filter) do update
       set options = excluded.options, identifier = excluded.identifier";

/// `?1` session, `?2` filter.
const DELETE: &str = "delete from subscription where session_id = ?1 and filter = ?2";

/// `?1` session.
const READ: &str = "
    select filter, options, identifier from subscription where session_id = ?1 order by filter";

/// `?1` session.
const DELETE_OF: &str = "delete from subscription where session_id = ?1";

pub(super) async fn upsert(
    c: &mut SqliteConnection,
    change: &SubscriptionChange,
) -> Result<(), StoreError> {
    sqlx::query(UPSERT)
        .bind(change.session.0)
        .bind(change.subscription.filter.as_str())
        .bind(change.subscription.options.to_byte())
        .bind(change.subscription.identifier)
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn delete(
    c: &mut SqliteConnection,
    (session, filter): &(SessionId, String),
) -> Result<(), StoreError> {
    sqlx::query(DELETE)
        .bind(session.0)
        .bind(filter)
        .execute(c)
        .await?;
    Ok(())
}

/// All subscriptions of a session.
pub(super) async fn read(
    c: &mut SqliteConnection,
    session: SessionId,
) -> Result<Vec<StoredSubscription>, StoreError> {
    let rows: Vec<(String, u8, Option<u32>)> =
        sqlx::query_as(READ).bind(session.0).fetch_all(c).await?;
    rows.into_iter()
        .map(|(filter, options, identifier)| {
            Ok(StoredSubscription {
                filter: TopicFilter::new(filter).map_err(|_| CORRUPT)?,
                options: SubscriptionOptions::from_byte(options).ok_or(CORRUPT)?,
                identifier,
            })
        })
        .collect()
}

/// Deletes all of a session.
pub(super) async fn delete_of(c: &mut SqliteConnection, session: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query(DELETE_OF)
        .bind(session)
        .execute(c)
        .await?
        .rows_affected())
}
