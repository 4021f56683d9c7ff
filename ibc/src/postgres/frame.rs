//! Table `frame`: what travels from node to node.

use std::time::Duration;

use bytes::Bytes;
use sqlx::PgConnection;
use tokio::time::sleep;

use super::fence::{self, Fence, fenced};
use super::locks::Names;
use crate::{Cursor, Frame, NodeId, ReceivedFrame, StoreError};

/// How often it is tried while somebody considers to bury this node.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Per frame: `$5` destination, `$6` sequence, `$7` body; `$8` the channels to ring.
const APPEND: &str = fenced!(
    ", done as (
        insert into frame (destination, source, sequence, body)
        select f.destination, $1, f.sequence, f.body
          from fence, unnest($5::bigint[], $6::bigint[], $7::bytea[]) f (destination, sequence, body)
        on conflict (destination, source, sequence) do nothing)
     select fence.base from fence, unnest($8::text[]) bell (channel), pg_notify(bell.channel, '')"
);

/// `$1` destination, `$2` and `$3` source and last frame read of it, `$4` limit for each source.
/// Jumps from source to source by the primary key.
const READ: &str = "
    with recursive sources (source) as (
        select min(source) from frame where destination = $1
        union all
        select (select min(f.source) from frame f where f.destination = $1 and f.source > s.source)
          from sources s where s.source is not null)
    select f.source, f.sequence, f.body
      from sources s
      left join unnest($2::bigint[], $3::bigint[]) r (source, sequence) on r.source = s.source
     cross join lateral (
        select f.source, f.sequence, f.body from frame f
         where f.destination = $1 and f.source = s.source and f.sequence > coalesce(r.sequence, 0)
         order by f.sequence
         limit $4) f
     order by f.source, f.sequence";

/// `$1` destination, `$2` and `$3` source and last frame read of it.
const CONSUME: &str = "
    delete from frame f
     using unnest($2::bigint[], $3::bigint[]) r (source, sequence)
     where f.destination = $1 and f.source = r.source and f.sequence <= r.sequence";

/// `$1` limit. Frames to nodes that are dead or unknown. Jumps from destination to destination.
const SWEEP: &str = "
    with recursive destinations (destination) as (
        select min(destination) from frame
        union all
        select (select min(f.destination) from frame f where f.destination > d.destination)
          from destinations d where d.destination is not null),
    page as (
        select f.destination, f.source, f.sequence
          from destinations d
          join frame f on f.destination = d.destination
         where not exists (select 1 from node n
                            where n.incarnation = d.destination and n.state <> 'dead')
         limit $1)
    delete from frame f using page p
     where f.destination = p.destination and f.source = p.source and f.sequence = p.sequence";

/// See [`Forward::append`](crate::Forward::append).
pub(super) async fn append(
    c: &mut PgConnection,
    names: Names,
    node: NodeId,
    frames: &[Frame],
) -> Result<(), StoreError> {
    if frames.is_empty() {
        return Ok(());
    }
    let fence = Fence::new(names, node, Some(0));
    let destinations: Vec<i64> = frames.iter().map(|frame| frame.destination.0).collect();
    let mut rung = destinations.clone();
    rung.sort_unstable();
    rung.dedup();
    let channels: Vec<String> = rung
        .into_iter()
        .map(|d| names.doorbell(NodeId(d)))
        .collect();
    for _ in 0..TRIES {
        let rows = fence
            .query(APPEND)
            .bind(&destinations)
            .bind(
                frames
                    .iter()
                    .map(|frame| frame.sequence)
                    .collect::<Vec<_>>(),
            )
            .bind(
                frames
                    .iter()
                    .map(|frame| &*frame.body)
                    .collect::<Vec<&[u8]>>(),
            )
            .bind(&channels)
            .fetch_all(&mut *c)
            .await?;
        if !rows.is_empty() {
            return Ok(());
        }
        fence::check(c, node).await?;
        sleep(PAUSE).await;
    }
    Err(sqlx::Error::PoolTimedOut.into())
}

/// See [`Forward::read`](crate::Forward::read).
pub(super) async fn read(
    c: &mut PgConnection,
    node: NodeId,
    cursors: &[Cursor],
    limit: usize,
) -> Result<Vec<ReceivedFrame>, StoreError> {
    // A share for each source, so that a busy one does not make the others wait.
    let share = (limit / cursors.len().max(1)).max(1);
    let rows: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(READ)
        .bind(node.0)
        .bind(
            cursors
                .iter()
                .map(|cursor| cursor.source.0)
                .collect::<Vec<_>>(),
        )
        .bind(
            cursors
                .iter()
                .map(|cursor| cursor.sequence)
                .collect::<Vec<_>>(),
        )
        .bind(super::limit(share))
        .fetch_all(c)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(source, sequence, body)| ReceivedFrame {
            source: NodeId(source),
            sequence,
            body: Bytes::from(body),
        })
        .collect())
}

/// See [`Forward::consumed`](crate::Forward::consumed).
pub(super) async fn consume(
    c: &mut PgConnection,
    node: NodeId,
    cursors: &[Cursor],
) -> Result<(), StoreError> {
    sqlx::query(CONSUME)
        .bind(node.0)
        .bind(
            cursors
                .iter()
                .map(|cursor| cursor.source.0)
                .collect::<Vec<_>>(),
        )
        .bind(
            cursors
                .iter()
                .map(|cursor| cursor.sequence)
                .collect::<Vec<_>>(),
        )
        .execute(c)
        .await?;
    Ok(())
}

/// Deletes at most `limit` frames that nobody will read.
pub(super) async fn sweep(c: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(SWEEP)
        .bind(limit)
        .execute(c)
        .await?
        .rows_affected())
}
