//! Table `received`: QoS 2 packet identifiers received and not yet released [MQTT-4.3.3-10].

use sqlx::PgConnection;

use super::fence::{Fence, fenced};
use crate::{ReceivedId, StoreError};

/// `$5` session, `$6` packet identifier.
const INSERT: &str = fenced!(
    ", done as (
        insert into received (session_id, packet_id)
        select r.session_id, r.packet_id
          from fence, unnest($5::bigint[], $6::integer[]) r (session_id, packet_id)
         order by r.session_id, r.packet_id
        on conflict (session_id, packet_id) do nothing)
     select base from fence"
);

/// `$5` session, `$6` packet identifier.
const DELETE: &str = fenced!(
    ", done as (
        delete from received r
         using fence, unnest($5::bigint[], $6::integer[]) f (session_id, packet_id)
         where r.session_id = f.session_id and r.packet_id = f.packet_id)
     select base from fence"
);

/// `$1` sessions; `(select $1)` so that the plan is kept, see `session`.
const READ: &str = "
    select session_id, packet_id from received
     where session_id = any ((select $1::bigint[])::bigint[]) order by session_id, packet_id";

/// `$1` sessions.
const DELETE_OF: &str = "delete from received where session_id = any($1::bigint[])";

pub(super) async fn insert(
    c: &mut PgConnection,
    fence: &Fence,
    received: &[ReceivedId],
) -> Result<Option<i64>, StoreError> {
    run(c, fence, INSERT, received).await
}

pub(super) async fn delete(
    c: &mut PgConnection,
    fence: &Fence,
    forgotten: &[ReceivedId],
) -> Result<Option<i64>, StoreError> {
    run(c, fence, DELETE, forgotten).await
}

async fn run(
    c: &mut PgConnection,
    fence: &Fence,
    sql: &'static str,
    ids: &[ReceivedId],
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .query(sql)
        .bind(ids.iter().map(|id| id.session.0).collect::<Vec<_>>())
        .bind(
            ids.iter()
                .map(|id| i32::from(id.packet_id))
                .collect::<Vec<_>>(),
        )
        .fetch_optional(c)
        .await?)
}

/// Session and packet identifier of all `sessions`.
pub(super) async fn read(
    c: &mut PgConnection,
    sessions: &[i64],
) -> Result<Vec<(i64, u16)>, StoreError> {
    let rows: Vec<(i64, i32)> = sqlx::query_as(READ).bind(sessions).fetch_all(c).await?;
    rows.into_iter()
        .map(|(session, id)| match u16::try_from(id) {
            Ok(id) => Ok((session, id)),
            Err(_) => Err(StoreError::Corrupt { table: "received" }),
        })
        .collect()
}

/// Deletes all of `sessions`.
pub(super) async fn delete_of(c: &mut PgConnection, sessions: &[i64]) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(DELETE_OF)
        .bind(sessions)
        .execute(c)
        .await?
        .rows_affected())
}
