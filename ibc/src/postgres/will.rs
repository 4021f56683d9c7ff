//! Table `will`: Will Messages of connections, and those that wait for their delay.

use bytes::Bytes;
use sqlx::PgConnection;

use super::fence::{Fence, fenced};
use crate::{DueWill, Epoch, NodeId, StoreError, WillKey};

/// `$1` node; per Will: `$2` client, `$3` epoch, `$4` session, `$5` body, `$6` delay in seconds.
const INSERT: &str = "
    insert into will (client_key, client_id, epoch, node, session_id, body, delay_interval)
    select sha256(convert_to(w.client_id, 'UTF8')), w.client_id, w.epoch, $1, w.session_id, w.body,
           w.delay_interval
      from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[])
           w (client_id, epoch, session_id, body, delay_interval)";

/// `$1` clients whose session was resumed before the delay was over [MQTT-3.1.3-9].
const CANCEL: &str = "
    delete from will
     where client_key in (select sha256(convert_to(c, 'UTF8')) from unnest($1::text[]) c)
       and due_at > clock_timestamp() and taken_by is null";

/// `$1` clients whose session has ended before the delay was over.
const HASTEN: &str = "
    update will set due_at = clock_timestamp()
     where client_key in (select sha256(convert_to(c, 'UTF8')) from unnest($1::text[]) c)
       and due_at > clock_timestamp()";

/// `$1` dead node. Wills of connections that it had, and whose client has resumed the session elsewhere
/// since: a delayed Will is not published then [MQTT-3.1.3-9]. Relies on `will_connected`.
const CANCEL_RESUMED: &str = "
    delete from will w
     using session s
     where w.node = $1 and w.due_at is null and w.delay_interval > 0
       and s.client_key = w.client_key and s.id = w.session_id and s.epoch > w.epoch";

/// `$1` dead node. The others: after their delay or when the session ends, whichever is first; at once
/// if the session has ended already, or the client is connected elsewhere. Before the sessions are let go.
/// Relies on `will_connected`.
const LET_GO: &str = "
    update will w
       set due_at = clock_timestamp() + coalesce(
               (select least(w.delay_interval, s.expiry_interval) from session s
                 where s.client_key = w.client_key and s.id = w.session_id and s.epoch = w.epoch),
               0) * interval '1 second'
     where w.node = $1 and w.due_at is null";

/// `$5` client, `$6` epoch. Published by this very transaction.
const DELETE: &str = fenced!(
    ", done as (
        delete from will w
         using fence, unnest($5::text[], $6::bigint[]) d (client_id, epoch)
         where w.client_key = sha256(convert_to(d.client_id, 'UTF8')) and w.epoch = d.epoch)
     select base from fence"
);

/// `$1` node, `$2` limit. Taken by nobody, or by a node that died. Relies on `will_due_at`.
const TAKE: &str = "
    with due as (
        select w.client_key, w.epoch from will w
         where w.due_at <= clock_timestamp()
           and (w.taken_by is null
                or not exists (select 1 from node n
                                where n.incarnation = w.taken_by and n.state <> 'dead'))
           and exists (select 1 from node me where me.incarnation = $1 and me.state <> 'dead')
         order by w.due_at
         limit $2
           for update of w skip locked)
    update will w set taken_by = $1
      from due
     where w.client_key = due.client_key and w.epoch = due.epoch
    returning w.client_id, w.epoch, w.body";

/// `$1` seconds. Wills of nodes that are buried or unknown, should there be any.
/// Relies on `will_connected`.
const REPAIR: &str = "
    update will w set due_at = clock_timestamp()
     where w.due_at is null
       and not exists (select 1 from node n where n.incarnation = w.node
                          and (n.buried_at is null
                               or n.buried_at > clock_timestamp() - $1::bigint * interval '1 second'))";

/// A Will to be stored.
pub(super) struct Row<'a> {
    pub(super) client_id: &'a str,
    pub(super) epoch: i64,
    pub(super) session: i64,
    pub(super) body: &'a [u8],
    pub(super) delay_interval: u32,
}

pub(super) async fn insert(
    c: &mut PgConnection,
    node: NodeId,
    wills: &[Row<'_>],
) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT)
        .bind(node.0)
        .bind(wills.iter().map(|w| w.client_id).collect::<Vec<_>>())
        .bind(wills.iter().map(|w| w.epoch).collect::<Vec<_>>())
        .bind(wills.iter().map(|w| w.session).collect::<Vec<_>>())
        .bind(wills.iter().map(|w| w.body).collect::<Vec<_>>())
        .bind(
            wills
                .iter()
                .map(|w| i64::from(w.delay_interval))
                .collect::<Vec<_>>(),
        )
        .execute(c)
        .await?;
    Ok(())
}

/// Deletes the Wills of resumed sessions whose delay is not over.
pub(super) async fn cancel(c: &mut PgConnection, clients: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query(CANCEL).bind(clients).execute(c).await?;
    Ok(())
}

/// Makes the Wills of ended sessions due.
pub(super) async fn hasten(c: &mut PgConnection, clients: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query(HASTEN).bind(clients).execute(c).await?;
    Ok(())
}

/// Starts the delay of the Wills of all connections of a dead node.
pub(super) async fn let_go(c: &mut PgConnection, node: NodeId) -> Result<(), sqlx::Error> {
    sqlx::query(CANCEL_RESUMED)
        .bind(node.0)
        .execute(&mut *c)
        .await?;
    sqlx::query(LET_GO).bind(node.0).execute(c).await?;
    Ok(())
}

pub(super) async fn delete(
    c: &mut PgConnection,
    fence: &Fence,
    wills: &[WillKey],
) -> Result<Option<i64>, StoreError> {
    Ok(fence
        .query(DELETE)
        .bind(
            wills
                .iter()
                .map(|w| w.client_id.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(wills.iter().map(|w| w.epoch.0).collect::<Vec<_>>())
        .fetch_optional(c)
        .await?)
}

/// See [`Store::due_wills`](crate::Store::due_wills).
pub(super) async fn take(
    c: &mut PgConnection,
    node: NodeId,
    limit: usize,
) -> Result<Vec<DueWill>, StoreError> {
    let rows: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(TAKE)
        .bind(node.0)
        .bind(super::limit(limit))
        .fetch_all(c)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(client_id, epoch, body)| DueWill {
            client_id,
            epoch: Epoch(epoch),
            body: Bytes::from(body),
        })
        .collect())
}

/// Makes Wills due that a node buried more than `seconds` ago left behind.
pub(super) async fn repair(c: &mut PgConnection, seconds: i64) -> Result<(), sqlx::Error> {
    sqlx::query(REPAIR).bind(seconds).execute(c).await?;
    Ok(())
}
