//! Cutting a queue back to a limit.

use sqlx::PgConnection;

use super::fence::{self, Base, Fence, fenced};
use super::locks::Names;
use crate::{NodeId, StoreError, Surplus, Trim, Trimmed};

macro_rules! trim {
    ($order:literal) => {
        concat!(
            fenced!(""),
            ", entry as (
                select q.id, octet_length(m.body) as size,
                       row_number() over w as place, sum(octet_length(m.body)) over w as total
                  from fence
                  join session s on s.id = $5 and s.owner is not distinct from $6::bigint
                  join queue q on q.session_id = s.id
                 cross join lateral (select body from message where id = q.message_id offset 0) m
                 where q.packet_id is null
                   and q.id > coalesce((select max(s.entry)
                                          from unnest($7::bigint[], $8::bigint[]) s (node, entry)
                                         where s.node = q.source), -1)
                window w as (",
            $order,
            " rows unbounded preceding))
             , surplus as materialized (
                select e.id, e.size from entry e
                 where e.place > $9 or (e.total > $10 and e.place > 1))
             , gone as (
                delete from queue q
                 where q.session_id = $5 and q.packet_id is null
                   and q.id = any(array(select id from surplus))
                returning q.id)
             , sums as (
                select (select count(*) from gone) as gone, (select count(*) from entry) as entries,
                       (select coalesce(sum(size), 0) from entry)::bigint as bytes,
                       (select coalesce(sum(size), 0) from surplus)::bigint as gone_bytes)
             select sums.* from fence, sums"
        )
    };
}

/// One look-up in the primary key for each surplus entry: a join may run through all of them for each
/// entry of the queue, as long as the server does not know that the queue has grown.
///
/// `$5` session, `$6` owner or null, `$7` and `$8` writing node and the last entry seen of it, `$9`
/// entries and `$10` bytes that stay. Deletes the newest ones.
const NEWEST: &str = trim!("order by q.id");
/// The same, but the oldest ones.
const OLDEST: &str = trim!("order by q.id desc");

/// See [`Store::trim`](crate::Store::trim).
pub(super) async fn trim(
    c: &mut PgConnection,
    names: Names,
    node: NodeId,
    trim: &Trim,
) -> Result<Trimmed, StoreError> {
    let fence = Fence::new(names, node, Base::Known(0));
    let statement = match trim.surplus {
        Surplus::Newest => NEWEST,
        Surplus::Oldest => OLDEST,
    };
    let row: Option<(i64, i64, i64, i64)> = fence
        .query_row(statement)
        .bind(trim.session.0)
        .bind(trim.owner.map(|owner| owner.0))
        .bind(trim.seen.iter().map(|(node, _)| node.0).collect::<Vec<_>>())
        .bind(
            trim.seen
                .iter()
                .map(|(_, entry)| entry.0)
                .collect::<Vec<_>>(),
        )
        .bind(super::limit(trim.max_entries))
        .bind(super::limit(trim.max_bytes))
        .fetch_optional(&mut *c)
        .await?;
    let Some((gone, entries, bytes, gone_bytes)) = row else {
        fence::check(c, node).await?;
        // Somebody considers to bury this node; the next trim does it.
        return Ok(Trimmed::default());
    };
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Trimmed {
        dropped: number(gone),
        left_entries: number(entries - gone),
        left_bytes: number(bytes - gone_bytes),
    })
}
