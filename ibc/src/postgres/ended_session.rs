//! Table `ended_session`: sessions that are gone, whose queues wait for the sweep.
//!
//! They wait for a while, so that messages of shared subscriptions can be given to other members.

use sqlx::PgConnection;

/// `$1` sessions.
const INSERT: &str = "
    insert into ended_session (id, ended_at)
    select s, clock_timestamp() from unnest($1::bigint[]) s
    on conflict (id) do nothing";

/// `$1` seconds, `$2` limit. Relies on `ended_session_ended_at`.
const FIND: &str = "
    select id from ended_session
     where ended_at < clock_timestamp() - $1::bigint * interval '1 second'
     order by ended_at limit $2";

/// `$1` sessions. Deletes those without queue entries.
const DELETE: &str = "
    delete from ended_session e
     where e.id = any($1::bigint[]) and not exists (select 1 from queue q where q.session_id = e.id)";

/// `$1` after which session, `$2` how many to look at. Sessions with queue entries or received
/// packet identifiers that do not exist any more and were not noted: something was stored for them when they
/// had been swept already. Jumps from session to session by the primary keys.
const FIND_STRAY: &str = "
    with recursive page (id, n) as (
        select least((select min(session_id) from queue where session_id > $1),
                     (select min(session_id) from received where session_id > $1),
                     (select min(session_id) from subscription where session_id > $1)), 1
        union all
        select least((select min(session_id) from queue where session_id > p.id),
                     (select min(session_id) from received where session_id > p.id),
                     (select min(session_id) from subscription where session_id > p.id)), p.n + 1
          from page p where p.id is not null and p.n < $2)
    select p.id, not exists (select 1 from session s where s.id = p.id)
             and not exists (select 1 from ended_session e where e.id = p.id)
      from page p where p.id is not null order by p.id";

pub(super) async fn insert(c: &mut PgConnection, sessions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT).bind(sessions).execute(c).await?;
    Ok(())
}

/// Sessions that ended more than `seconds` ago.
pub(super) async fn find(
    c: &mut PgConnection,
    seconds: i64,
    limit: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(FIND)
        .bind(seconds)
        .bind(limit)
        .fetch_all(c)
        .await
}

/// Forgets those of `sessions` that left nothing.
pub(super) async fn delete(c: &mut PgConnection, sessions: &[i64]) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(DELETE)
        .bind(sessions)
        .execute(c)
        .await?
        .rows_affected())
}

/// Looks at `limit` sessions after `after`: each with whether it is a stray one.
pub(super) async fn find_stray(
    c: &mut PgConnection,
    after: i64,
    limit: i32,
) -> Result<Vec<(i64, bool)>, sqlx::Error> {
    sqlx::query_as(FIND_STRAY)
        .bind(after)
        .bind(limit)
        .fetch_all(c)
        .await
}
