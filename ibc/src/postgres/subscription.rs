//! Table `subscription`: what persistent sessions subscribe to.

use std::collections::HashMap;

use mqtt::{SubscriptionOptions, TopicFilter};
use sqlx::PgConnection;

use super::fence::{Fence, fenced};
use crate::{SessionId, StoreError, StoredSubscription, SubscriptionChange};

const CORRUPT: StoreError = StoreError::Corrupt {
    table: "subscription",
};

/// `$5` session, `$6` filter, `$7` options, `$8` identifier or null.
const UPSERT: &str = fenced!(
    ", done as (
        insert into subscription (session_id, filter_key, filter, options, identifier)
        select s.session_id, sha256(convert_to(s.filter, 'UTF8')), s.filter, s.options, s.identifier
          from fence, unnest($5::bigint[], $6::text[], $7::smallint[], $8::integer[])
                      s (session_id, filter, options, identifier)
         order by 1, 2
        on conflict (session_id, filter_key) do update
           set options = excluded.options, identifier = excluded.identifier)
     select base from fence"
);

/// `$5` session, `$6` filter.
const DELETE: &str = fenced!(
    ", done as (
        delete from subscription s
         using fence, unnest($5::bigint[], $6::text[]) u (session_id, filter)
         where s.session_id = u.session_id
           and s.filter_key = sha256(convert_to(u.filter, 'UTF8')))
     select base from fence"
);

/// `$1` sessions; `(select $1)` so that the plan is kept, see `session`.
const READ: &str = "
    select session_id, filter, options, identifier from subscription
     where session_id = any ((select $1::bigint[])::bigint[]) order by session_id, filter_key";

/// `$1` sessions, `$2` limit. One session after the other, in the order of `$1`, until there are so many: a
/// lateral join is a nested loop. To sort what they all have would read all of it for each page.
const READ_FIRST: &str = "
    select f.session_id, f.filter, f.options, f.identifier
      from unnest((select $1::bigint[])) s (id)
     cross join lateral (
        select u.session_id, u.filter, u.options, u.identifier from subscription u
         where u.session_id = s.id offset 0) f
     limit (select $2::bigint)";

/// `$1` sessions.
const DELETE_OF: &str = "delete from subscription where session_id = any($1::bigint[])";

pub(super) async fn upsert(
    c: &mut PgConnection,
    fence: &Fence,
    changes: &[SubscriptionChange],
) -> Result<Option<i64>, StoreError> {
    // A client may name a filter twice in one packet, but a statement not a row. The last one counts.
    let last: HashMap<(i64, &str), &StoredSubscription> = changes
        .iter()
        .map(|change| {
            let subscription = &change.subscription;
            (
                (change.session.0, subscription.filter.as_str()),
                subscription,
            )
        })
        .collect();
    let (keys, subscriptions): (Vec<_>, Vec<_>) = last.into_iter().unzip();
    let (sessions, filters): (Vec<i64>, Vec<&str>) = keys.into_iter().unzip();
    let options: Vec<i16> = subscriptions
        .iter()
        .map(|s| i16::from(s.options.to_byte()))
        .collect();
    let identifiers: Vec<Option<i32>> = subscriptions
        .iter()
        .map(|s| {
            s.identifier
                .and_then(|identifier| i32::try_from(identifier).ok())
        })
        .collect();
    Ok(fence
        .query(UPSERT)
        .bind(sessions)
        .bind(filters)
        .bind(options)
        .bind(identifiers)
        .fetch_optional(c)
        .await?)
}

pub(super) async fn delete(
    c: &mut PgConnection,
    fence: &Fence,
    unsubscribed: &[(SessionId, String)],
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .query(DELETE)
        .bind(
            unsubscribed
                .iter()
                .map(|(session, _)| session.0)
                .collect::<Vec<_>>(),
        )
        .bind(
            unsubscribed
                .iter()
                .map(|(_, filter)| filter.as_str())
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?)
}

/// All subscriptions of `sessions`.
pub(super) async fn read(
    c: &mut PgConnection,
    sessions: &[i64],
) -> Result<HashMap<i64, Vec<StoredSubscription>>, StoreError> {
    collect(sqlx::query_as(READ).bind(sessions).fetch_all(c).await?)
}

/// The subscriptions of the first of `sessions`, at most `limit`; and the session at which the limit was
/// met, of which there may be more.
pub(super) async fn read_first(
    c: &mut PgConnection,
    sessions: &[i64],
    limit: usize,
) -> Result<(HashMap<i64, Vec<StoredSubscription>>, Option<i64>), StoreError> {
    let rows: Vec<Row> = sqlx::query_as(READ_FIRST)
        .bind(sessions)
        .bind(super::limit(limit))
        .fetch_all(c)
        .await?;
    let cut = rows.last().filter(|_| rows.len() >= limit);
    let cut = cut.map(|(session, ..)| *session);
    Ok((collect(rows)?, cut))
}

/// Session, filter, options, identifier.
type Row = (i64, String, i16, Option<i32>);

fn collect(rows: Vec<Row>) -> Result<HashMap<i64, Vec<StoredSubscription>>, StoreError> {
    let mut found: HashMap<i64, Vec<StoredSubscription>> = HashMap::new();
    for (session, filter, options, identifier) in rows {
        let filter = TopicFilter::new(filter).map_err(|_| CORRUPT)?;
        let options = u8::try_from(options)
            .ok()
            .and_then(SubscriptionOptions::from_byte);
        let options = options.ok_or(CORRUPT)?;
        let identifier = identifier
            .map(u32::try_from)
            .transpose()
            .map_err(|_| CORRUPT)?;
        found.entry(session).or_default().push(StoredSubscription {
            filter,
            options,
            identifier,
        });
    }
    Ok(found)
}

/// Deletes all of `sessions`.
pub(super) async fn delete_of(c: &mut PgConnection, sessions: &[i64]) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(DELETE_OF)
        .bind(sessions)
        .execute(c)
        .await?
        .rows_affected())
}
