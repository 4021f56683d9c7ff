//! Cutting a queue back to a limit.

use sqlx::SqliteConnection;

use super::{limit, node, queue};
use crate::{NodeId, StoreError, Surplus, Trim, Trimmed};

/// `?1` session, `?2` owner or null, `?3` JSON array of pairs of writing node and the last entry seen
/// of it. Entries and bytes of what waits.
const COUNT: &str = "
    select count(*), coalesce(sum(length(m.body)), 0)
      from session s
      join queue q on q.session_id = s.id
      join message m on m.id = q.message_id
     where s.id = ?1 and s.owner is ?2 and q.packet_id is null
       and q.id > coalesce((select max(value ->> 1) from json_each(?3)
                             where value ->> 0 = q.source), -1)";

macro_rules! delete {
    ($order:literal) => {
        concat!(
            "delete from queue
              where session_id = ?1
                and id in (
                    select id
                      from (select q.id, row_number() over w as place, sum(length(m.body)) over w as total
                              from session s
                              join queue q on q.session_id = s.id
                              join message m on m.id = q.message_id
                             where s.id = ?1 and s.owner is ?2 and q.packet_id is null
                               and q.id > coalesce((select max(value ->> 1) from json_each(?3)
                                                     where value ->> 0 = q.source), -1)
                            window w as (",
            $order,
            " rows unbounded preceding))
                     where place > ?4 or (total > ?5 and place > 1))"
        )
    };
}

/// The first three as above, `?4` entries and `?5` bytes that stay. Deletes the newest ones.
const NEWEST: &str = delete!("order by q.id");
/// The same, but the oldest ones.
const OLDEST: &str = delete!("order by q.id desc");

/// See [`Store::trim`](crate::Store::trim).
pub(super) async fn trim(
    c: &mut SqliteConnection,
    node: NodeId,
    trim: &Trim,
) -> Result<Trimmed, StoreError> {
    node::check(c, node).await?;
    let seen = queue::pairs(&trim.seen);
    let owner = trim.owner.map(|owner| owner.0);
    let (max_entries, max_bytes) = (limit(trim.max_entries), limit(trim.max_bytes));
    let (mut entries, mut bytes) = count(c, trim, &seen).await?;
    let mut dropped = 0;
    if entries > max_entries || (bytes > max_bytes && entries > 1) {
        let delete = match trim.surplus {
            Surplus::Newest => NEWEST,
            Surplus::Oldest => OLDEST,
        };
        dropped = sqlx::query(delete)
            .bind(trim.session.0)
            .bind(owner)
            .bind(&seen)
            .bind(max_entries)
            .bind(max_bytes)
            .execute(&mut *c)
            .await?
            .rows_affected();
        (entries, bytes) = count(c, trim, &seen).await?;
    }
    Ok(Trimmed {
        dropped,
        left_entries: u64::try_from(entries).unwrap_or(0),
        left_bytes: u64::try_from(bytes).unwrap_or(0),
    })
}

async fn count(
    c: &mut SqliteConnection,
    trim: &Trim,
    seen: &str,
) -> Result<(i64, i64), StoreError> {
    Ok(sqlx::query_as(COUNT)
        .bind(trim.session.0)
        .bind(trim.owner.map(|owner| owner.0))
        .bind(seen)
        .fetch_one(c)
        .await?)
}
