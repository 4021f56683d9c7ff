//! Table `frame`: what travels from node to node.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sqlx::PgConnection;
use tokio::time::sleep;

use super::fence::{self, Base, Fence, fenced};
use super::locks::Names;
use crate::{Cursor, Frame, FramePage, NodeId, ReceivedFrame, StoreError};

/// Under load, sources that are not known yet are looked for this often.
const LOOK: Duration = Duration::from_millis(100);
/// Frames that were deleted, and written again by a commit whose answer was lost, are deleted
/// this often.
const AGAIN: Duration = Duration::from_secs(5);
/// So many deleted frames are worth a vacuum, 16 MB of them.
const VACUUM_ROWS: u64 = 2000;

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
/// Jumps from source to source by the primary key. What comes is in order of each source; to sort it
/// all would copy the bodies. `xmin`, the transaction that wrote the frame, tells which came first: it
/// costs nothing, and a transaction that begins when another one is committed has a later number.
const READ_ALL: &str = "
    with recursive sources (source) as (
        select min(source) from frame where destination = $1
        union all
        select (select min(f.source) from frame f where f.destination = $1 and f.source > s.source)
          from sources s where s.source is not null)
    select f.source, f.sequence, f.xmin, f.body
      from sources s
      left join unnest($2::bigint[], $3::bigint[]) r (source, sequence) on r.source = s.source
     cross join lateral (
        select f.source, f.sequence, f.xmin::text::bigint xmin, f.body from frame f
         where f.destination = $1 and f.source = s.source and f.sequence > coalesce(r.sequence, 0)
         order by f.sequence
         limit $4) f";

/// The same for the sources of `$2` only. It starts behind the frames that are deleted already,
/// whose index entries stay until the next vacuum. `(select $2)` and not `$2`: the planner does not see
/// what is in it then, and keeps the plan.
const READ_KNOWN: &str = "
    select f.source, f.sequence, f.xmin, f.body
      from unnest((select $2::bigint[]), (select $3::bigint[])) r (source, sequence)
     cross join lateral (
        select f.source, f.sequence, f.xmin::text::bigint xmin, f.body from frame f
         where f.destination = $1 and f.source = r.source and f.sequence > r.sequence
         order by f.sequence
         limit (select $4::bigint)) f";

/// `$1` destination, `$2`, `$3` and `$4` source, last frame deleted and last frame read of it. The
/// former only spares the search the index entries of what is deleted.
const CONSUME: &str = "
    delete from frame f
     using unnest($2::bigint[], $3::bigint[], $4::bigint[]) r (source, deleted, sequence)
     where f.destination = $1 and f.source = r.source
       and f.sequence > r.deleted and f.sequence <= r.sequence";

/// Free space is found by the next frames, so that a busy table stays small and in memory;
/// autovacuum comes once a minute at best.
const VACUUM: &str = "vacuum (skip_locked, truncate off) frame";

/// The row of `frame_life` is lost with the frames; whoever finds none makes a new one.
const LIFE: &str = "
    with made as (
        insert into frame_life (id) select nextval('frame_life_id')
         where not exists (select 1 from frame_life)
        on conflict do nothing
        returning id)
    select id from made union all select id from frame_life limit 1";

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
    let fence = Fence::new(names, node, Base::Known(0));
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

/// What this node remembers of the streams to it.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When sources were last looked for; `None`: they are to be.
    looked: Option<Instant>,
    /// The last frame deleted of each source, since `forgot`.
    deleted: HashMap<NodeId, i64>,
    forgot: Option<Instant>,
    /// Rows deleted since the last vacuum.
    rows: u64,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The doorbell rang: perhaps somebody new.
    pub(super) fn look(&self) {
        self.lock().looked = None;
    }

    /// Whether to look for sources now.
    fn is_due(&self) -> bool {
        let mut state = self.lock();
        let is_due = state.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if is_due {
            state.looked = Some(Instant::now());
        }
        is_due
    }

    /// See [`Forward::read`](crate::Forward::read).
    pub(super) async fn read(
        &self,
        c: &mut PgConnection,
        node: NodeId,
        cursors: &[Cursor],
        limit: usize,
    ) -> Result<FramePage, StoreError> {
        // A share for each source: the page is not filled by one alone.
        let share = (limit / cursors.len().max(1)).max(1);
        let statement = if self.is_due() { READ_ALL } else { READ_KNOWN };
        let (sources, sequences): (Vec<_>, Vec<_>) = cursors
            .iter()
            .map(|cursor| (cursor.source.0, cursor.sequence))
            .unzip();
        let rows: Vec<Row> = sqlx::query_as(statement)
            .bind(node.0)
            .bind(sources)
            .bind(sequences)
            .bind(super::limit(share))
            .fetch_all(c)
            .await
            .inspect_err(|_| self.look())?;
        Ok(page(rows, share))
    }

    /// See [`Forward::consumed`](crate::Forward::consumed).
    pub(super) async fn consume(
        &self,
        c: &mut PgConnection,
        node: NodeId,
        cursors: &[Cursor],
    ) -> Result<(), StoreError> {
        let deleted: Vec<i64> = {
            let mut state = self.lock();
            if state.forgot.is_none_or(|forgot| forgot.elapsed() >= AGAIN) {
                state.deleted.clear();
                state.forgot = Some(Instant::now());
            }
            let deleted = |cursor: &Cursor| state.deleted.get(&cursor.source).copied();
            cursors.iter().map(|c| deleted(c).unwrap_or(0)).collect()
        };
        let (sources, sequences): (Vec<_>, Vec<_>) = cursors
            .iter()
            .map(|cursor| (cursor.source.0, cursor.sequence))
            .unzip();
        let done = sqlx::query(CONSUME)
            .bind(node.0)
            .bind(sources)
            .bind(deleted)
            .bind(sequences)
            .execute(c)
            .await?;
        let mut state = self.lock();
        state.rows += done.rows_affected();
        state.deleted = cursors
            .iter()
            .map(|cursor| (cursor.source, cursor.sequence))
            .collect();
        Ok(())
    }

    /// See [`Forward::vacuum`](crate::Forward::vacuum).
    pub(super) async fn vacuum(&self, c: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query(VACUUM).execute(c).await?;
        Ok(())
    }

    /// Whether a vacuum is worth it; the count starts anew then.
    pub(super) fn wants_vacuum(&self) -> bool {
        let mut state = self.lock();
        let is_much = state.rows >= VACUUM_ROWS;
        if is_much {
            state.rows = 0;
        }
        is_much
    }
}

/// Source, sequence, transaction, body.
type Row = (i64, i64, i64, Vec<u8>);

/// Puts the frames of all sources in the order in which they were committed, as far as one can have
/// been the cause of another. `share`: the most that was read of each source.
fn page(mut rows: Vec<Row>, share: usize) -> FramePage {
    rows.sort_unstable_by_key(|(source, sequence, ..)| (*source, *sequence));
    let base = rows
        .first()
        .map_or(0, |(_, _, transaction, _)| *transaction);
    let mut frames = Vec::with_capacity(rows.len());
    let mut cut: Option<i32> = None;
    for stream in rows.chunk_by_mut(|(one, ..), (other, ..)| one == other) {
        let count = stream.len();
        // Never against the order of the stream.
        let mut latest = i32::MIN;
        for (source, sequence, transaction, body) in stream {
            latest = latest.max(distance(base, *transaction));
            let frame = ReceivedFrame {
                source: NodeId(*source),
                sequence: *sequence,
                body: Bytes::from(std::mem::take(body)),
            };
            frames.push((latest, frame));
        }
        if count >= share {
            cut = Some(cut.map_or(latest, |cut| cut.min(latest)));
        }
    }
    frames.sort_by_key(|(time, _)| *time);
    // What is behind the last frame read of a source may be behind the next one, too.
    let known = |time: i32| cut.is_none_or(|cut| time <= cut);
    FramePage {
        frames: frames
            .into_iter()
            .take_while(|(time, _)| known(*time))
            .map(|(_, frame)| frame)
            .collect(),
        is_cut: cut.is_some(),
    }
}

/// How much later `transaction` began than `base`. Numbers of transactions are of 32 bits and start
/// again from 3, so only their difference counts.
fn distance(base: i64, transaction: i64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
    let difference = transaction.wrapping_sub(base) as i32;
    difference
}

/// See [`Forward::life`](crate::Forward::life).
pub(super) async fn life(c: &mut PgConnection) -> Result<i64, StoreError> {
    for _ in 0..TRIES {
        let id: Option<i64> = sqlx::query_scalar(LIFE).fetch_optional(&mut *c).await?;
        // Another node makes the row at this moment.
        match id {
            Some(id) => return Ok(id),
            None => sleep(PAUSE).await,
        }
    }
    Err(sqlx::Error::PoolTimedOut.into())
}

/// Deletes at most `limit` frames that nobody will read.
pub(super) async fn sweep(c: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(SWEEP)
        .bind(limit)
        .execute(c)
        .await?
        .rows_affected())
}
