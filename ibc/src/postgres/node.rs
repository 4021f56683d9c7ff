//! Table `node`: who is a member, by leases on the clock of the database.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::locks::Names;
use crate::{Member, NodeId, NodeState, StoreError};

/// Whether somebody holds a lock of node `$node`, of a class for which `$class` is true.
macro_rules! is_locked {
    ($class:literal, $node:literal) => {
        concat!(
            "exists (select 1 from pg_locks l
                      where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
                        and l.database = (select oid from pg_database
                                           where datname = current_database())
                        and l.classid::bigint ",
            $class,
            " and l.objid = (",
            $node,
            " & 2147483647)::oid)"
        )
    };
}

/// `$1` the classes of [`Names::signs`]. Whether node `n` gives no sign of life, although the database
/// is up for long enough for everybody to have come back to it.
macro_rules! is_absent {
    () => {
        concat!(
            "(not ",
            is_locked!("= any($1::bigint[])", "n.incarnation"),
            " and clock_timestamp() > pg_postmaster_start_time()
                                      + (n.lease_until - n.renewed_at) + interval '2 seconds')"
        )
    };
}

const NEXT_INCARNATION: &str = "select nextval('node_incarnation')";

/// `$1` incarnation, `$2` name, `$3` version, `$4` lease in ms. Relies on `node_alive_name`.
const INSERT: &str = "
    insert into node (incarnation, name, version, state, lease_until, renewed_at, steady_since,
                      started_at)
    values ($1, $2, $3, 'joining', clock_timestamp() + $4::bigint * interval '1 millisecond',
            clock_timestamp(), clock_timestamp(), clock_timestamp())
    on conflict (name) where state <> 'dead' do nothing";

/// `$1` the classes of [`Names::signs`], `$2` name.
const FIND_BY_NAME: &str = concat!(
    "select n.incarnation, (extract(epoch from n.lease_until) * 1000000)::bigint,
            n.lease_until < clock_timestamp(), ",
    is_absent!(),
    " from node n where n.name = $2 and n.state <> 'dead'"
);

/// `$1` name.
const FIND_UNBURIED: &str = "
    select incarnation from node
     where name = $1 and state = 'dead' and buried_at is null
     order by incarnation";

/// `$1` incarnation, `$2` `lease_until` as it was seen, in microseconds.
const DECLARE_PREDECESSOR_DEAD: &str = "
    update node set state = 'dead', died_at = clock_timestamp()
     where incarnation = $1 and state <> 'dead'
       and (extract(epoch from lease_until) * 1000000)::bigint = $2";

/// `$1` incarnation, `$2` state, `$3` lease in ms. A pause of more than half a lease says that
/// this node was cut off, or the database down.
const RENEW: &str = "
    update node set state = $2, renewed_at = clock_timestamp(),
           steady_since = case when clock_timestamp() > renewed_at + (lease_until - renewed_at) / 2
                               then clock_timestamp() else steady_since end,
           lease_until = clock_timestamp() + $3::bigint * interval '1 millisecond'
     where incarnation = $1 and state <> 'dead'";

/// `$1` the classes of [`Names::signs`].
const MEMBERS: &str = concat!(
    "select n.incarnation, n.name, n.version, n.state, n.lease_until < clock_timestamp() as is_expired, ",
    is_absent!(),
    " as is_absent from node n where n.state <> 'dead' order by n.incarnation"
);

/// `$1` the classes of [`Names::signs`], `$3` who asks, `$4` whether it can tell absence. Whether
/// node `n` is dead.
///
/// Who asks must have renewed its lease for a whole lease without a pause, up to now. So after an
/// outage of the database, in which leases ran out, everybody has the time to come back.
///
/// About absence it must also have kept its own presence connection for as long, and have it now by
/// what the database knows: then whatever may have cut off the other one has not cut off everybody.
macro_rules! may_be_buried {
    () => {
        concat!(
            "(n.buried_at is null and (n.state = 'dead' or (",
            "(n.lease_until < clock_timestamp() or ($4 and ",
            is_locked!("= ($1::bigint[])[1]", "$3::bigint"),
            " and ",
            is_absent!(),
            ")) and exists (select 1 from node j where j.incarnation = $3 and j.state <> 'dead'
                              and clock_timestamp() <= j.renewed_at + (j.lease_until - j.renewed_at) / 2
                              and clock_timestamp() > j.steady_since
                                                      + (j.lease_until - j.renewed_at)))))"
        )
    };
}

/// `$1` the classes of [`Names::signs`], `$2` suspect, `$3` who asks, `$4` whether it can tell
/// absence. No row: the suspect is unknown.
const LOOK: &str = concat!(
    "select ",
    may_be_buried!(),
    ", n.state <> 'dead' and n.lease_until >= clock_timestamp(),
       exists (select 1 from node me where me.incarnation = $3 and me.state <> 'dead')
      from node n where n.incarnation = $2"
);

/// `$1` the classes of [`Names::signs`], `$2` suspect, `$3` who asks, `$4` whether it can tell
/// absence. One of those that try at once succeeds.
const BURY: &str = concat!(
    "update node n set state = 'dead', died_at = coalesce(n.died_at, clock_timestamp()),
            buried_at = clock_timestamp()
      where n.incarnation = $2 and ",
    may_be_buried!()
);

/// `$1` incarnation. Buried too, unless something is left to be buried.
/// Relies on `session_owner` and `will_connected`.
const LEAVE: &str = "
    update node n set state = 'dead', died_at = clock_timestamp(),
           buried_at = case when exists (select 1 from session s where s.owner = $1)
                              or exists (select 1 from will w where w.node = $1 and w.due_at is null)
                            then null else clock_timestamp() end
     where n.incarnation = $1 and n.state <> 'dead'";

const ALIVE: &str = "select incarnation from node where state <> 'dead'";

/// `$1` incarnation.
const IS_ALIVE: &str =
    "select exists (select 1 from node where incarnation = $1 and state <> 'dead')";

/// `$1` seconds. Dead nodes that nobody came to bury.
const UNBURIED: &str = "
    select incarnation from node
     where state = 'dead' and buried_at is null
       and died_at < clock_timestamp() - $1::bigint * interval '1 second'
     order by incarnation limit 10";

/// `$1` incarnation.
const MARK_BURIED: &str =
    "update node set buried_at = clock_timestamp() where incarnation = $1 and buried_at is null";

/// `$1` seconds. Dead nodes to which nothing refers any more.
const FORGET: &str = "
    with gone as (
        delete from node n
         where n.state = 'dead' and n.buried_at < clock_timestamp() - $1::bigint * interval '1 second'
           and not exists (select 1 from session s where s.owner = n.incarnation)
           and not exists (select 1 from will w where w.node = n.incarnation and w.due_at is null)
        returning n.incarnation)
     , outcomes as (
        delete from outcome o using gone g where o.node = g.incarnation)
    select count(*) from gone";

/// A living member of the name that a node wants to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namesake {
    pub(super) node: NodeId,
    /// Microseconds since 1970.
    pub(super) lease_until: i64,
    pub(super) is_expired: bool,
    pub(super) is_absent: bool,
}

/// Who wants to bury another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    pub(super) names: Names,
    pub(super) node: NodeId,
    /// It has kept its presence connection for a whole lease.
    pub(super) is_settled: bool,
}

/// What is known of a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It lives, is buried, or who asks cannot tell.
    Nothing,
    /// Dead, or its lease has run out.
    Dead,
    /// Its lease goes on, but it gives no sign of life.
    Absent,
}

pub(super) async fn next_incarnation(c: &mut PgConnection) -> Result<NodeId, sqlx::Error> {
    sqlx::query_scalar(NEXT_INCARNATION)
        .fetch_one(c)
        .await
        .map(NodeId)
}

/// Enters a node. False if the name is taken.
pub(super) async fn insert(
    c: &mut PgConnection,
    node: NodeId,
    name: &str,
    version: &str,
    lease: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(INSERT)
        .bind(node.0)
        .bind(name)
        .bind(version)
        .bind(millis(lease))
        .execute(c)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn find_by_name(
    c: &mut PgConnection,
    names: Names,
    name: &str,
) -> Result<Option<Namesake>, sqlx::Error> {
    let row: Option<(i64, i64, bool, bool)> = sqlx::query_as(FIND_BY_NAME)
        .bind(names.signs())
        .bind(name)
        .fetch_optional(c)
        .await?;
    Ok(
        row.map(|(node, lease_until, is_expired, is_absent)| Namesake {
            node: NodeId(node),
            lease_until,
            is_expired,
            is_absent,
        }),
    )
}

pub(super) async fn find_unburied(
    c: &mut PgConnection,
    name: &str,
) -> Result<Vec<NodeId>, sqlx::Error> {
    let rows: Vec<i64> = sqlx::query_scalar(FIND_UNBURIED)
        .bind(name)
        .fetch_all(c)
        .await?;
    Ok(rows.into_iter().map(NodeId).collect())
}

/// Declares a namesake dead, unless it has renewed its lease since it was seen.
pub(super) async fn declare_dead(
    c: &mut PgConnection,
    namesake: &Namesake,
) -> Result<(), sqlx::Error> {
    sqlx::query(DECLARE_PREDECESSOR_DEAD)
        .bind(namesake.node.0)
        .bind(namesake.lease_until)
        .execute(c)
        .await?;
    Ok(())
}

/// False if the node is dead.
pub(super) async fn renew(
    c: &mut PgConnection,
    node: NodeId,
    state: NodeState,
    lease: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(RENEW)
        .bind(node.0)
        .bind(state.as_str())
        .bind(millis(lease))
        .execute(c)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn members(c: &mut PgConnection, names: Names) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query(MEMBERS)
        .bind(names.signs())
        .fetch_all(c)
        .await?;
    rows.iter().map(member).collect()
}

fn member(row: &PgRow) -> Result<Member, StoreError> {
    let state: &str = row.try_get("state")?;
    Ok(Member {
        node: NodeId(row.try_get("incarnation")?),
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        state: NodeState::from_word(state).ok_or(StoreError::Corrupt { table: "node" })?,
        is_expired: row.try_get("is_expired")?,
        is_absent: row.try_get("is_absent")?,
    })
}

/// Whether `suspect` may be buried.
///
/// # Errors
///
/// [`StoreError::Fenced`] if the judge is dead itself.
pub(super) async fn look(
    c: &mut PgConnection,
    judge: Judge,
    suspect: NodeId,
) -> Result<Look, StoreError> {
    let row: Option<(bool, bool, bool)> = sqlx::query_as(LOOK)
        .bind(judge.names.signs())
        .bind(suspect.0)
        .bind(judge.node.0)
        .bind(judge.is_settled)
        .fetch_optional(c)
        .await?;
    match row {
        Some((_, _, false)) => Err(StoreError::Fenced),
        Some((true, false, true)) => Ok(Look::Dead),
        Some((true, true, true)) => Ok(Look::Absent),
        Some((false, _, true)) | None => Ok(Look::Nothing),
    }
}

/// Marks `suspect` dead and buried. False if it lives or somebody else was quicker.
pub(super) async fn bury(
    c: &mut PgConnection,
    judge: Judge,
    suspect: NodeId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(BURY)
        .bind(judge.names.signs())
        .bind(suspect.0)
        .bind(judge.node.0)
        .bind(judge.is_settled)
        .execute(c)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn leave(c: &mut PgConnection, node: NodeId) -> Result<(), StoreError> {
    sqlx::query(LEAVE).bind(node.0).execute(c).await?;
    Ok(())
}

/// All that are not dead.
pub(super) async fn alive(c: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(ALIVE).fetch_all(c).await
}

pub(super) async fn is_alive(c: &mut PgConnection, node: NodeId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(IS_ALIVE).bind(node.0).fetch_one(c).await
}

/// Dead nodes that nobody buried within `seconds`.
pub(super) async fn unburied(
    c: &mut PgConnection,
    seconds: i64,
) -> Result<Vec<NodeId>, sqlx::Error> {
    let rows: Vec<i64> = sqlx::query_scalar(UNBURIED)
        .bind(seconds)
        .fetch_all(c)
        .await?;
    Ok(rows.into_iter().map(NodeId).collect())
}

/// False if somebody else was quicker.
pub(super) async fn mark_buried(c: &mut PgConnection, node: NodeId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(MARK_BURIED).bind(node.0).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes nodes buried more than `seconds` ago.
pub(super) async fn forget(c: &mut PgConnection, seconds: i64) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(FORGET)
        .bind(seconds)
        .fetch_one(c)
        .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
