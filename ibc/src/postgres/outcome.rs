//! Table `outcome`: what the last transaction of each kind gave to its node, in case its answer was
//! lost.

use bytes::{BufMut, Bytes, BytesMut};
use sqlx::PgConnection;

use crate::wire::Reader;
use crate::{Claimed, Epoch, Kept, NodeId, Owner, RecordError, SessionId, StoreError};

/// `$1` node, `$2` number.
const OF_BATCH: &str = "
    select base from outcome where node = $1 and kind = 0 and number = $2 and base is not null";

/// `$1` node, `$2` number.
const OF_CLAIMS: &str = "
    select answer from outcome where node = $1 and kind = 1 and number = $2 and answer is not null";

/// `$1` node, `$2` number. Locks the row. Nothing is done, and no row is given, if the number has been
/// used. Waits for a transaction that uses it.
const BEGIN_CLAIMS: &str = "
    insert into outcome as o (node, kind, number) values ($1, 1, $2)
    on conflict (node, kind) do update set number = excluded.number, answer = null
     where o.number < excluded.number
    returning 1";

/// `$1` node, `$2` answer.
const END_CLAIMS: &str = "update outcome set answer = $2 where node = $1 and kind = 1";

/// The first identifier of a batch that was committed, if it is the last one.
pub(super) async fn of_batch(
    c: &mut PgConnection,
    node: NodeId,
    number: i64,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(OF_BATCH)
        .bind(node.0)
        .bind(number)
        .fetch_optional(c)
        .await
}

/// What claims were given that were committed under this number, if they are the last ones; without
/// what the sessions keep.
pub(super) async fn of_claims(
    c: &mut PgConnection,
    node: NodeId,
    number: i64,
) -> Result<Option<Vec<Claimed>>, StoreError> {
    let answer: Option<Vec<u8>> = sqlx::query_scalar(OF_CLAIMS)
        .bind(node.0)
        .bind(number)
        .fetch_optional(c)
        .await?;
    answer
        .map(|answer| decode(Bytes::from(answer)))
        .transpose()
        .map_err(|_| StoreError::Corrupt { table: "outcome" })
}

/// Begins claims under a number. False if it has been used.
pub(super) async fn begin_claims(
    tx: &mut PgConnection,
    node: NodeId,
    number: i64,
) -> Result<bool, sqlx::Error> {
    let row: Option<i32> = sqlx::query_scalar(BEGIN_CLAIMS)
        .bind(node.0)
        .bind(number)
        .fetch_optional(tx)
        .await?;
    Ok(row.is_some())
}

/// Keeps what the claims of this transaction were given.
pub(super) async fn end_claims(
    tx: &mut PgConnection,
    node: NodeId,
    claimed: &[Claimed],
) -> Result<(), sqlx::Error> {
    sqlx::query(END_CLAIMS)
        .bind(node.0)
        .bind(&*encode(claimed))
        .execute(tx)
        .await?;
    Ok(())
}

/// No session or node has this number.
const NONE: i64 = 0;

fn encode(claimed: &[Claimed]) -> Bytes {
    let mut answer = BytesMut::with_capacity(claimed.len() * 41);
    for one in claimed {
        answer.put_i64(one.session.0);
        answer.put_i64(one.epoch.0);
        answer.put_u8(u8::from(one.is_present));
        let previous = one.previous.map_or((NONE, NONE), |p| (p.node.0, p.epoch.0));
        answer.put_i64(previous.0);
        answer.put_i64(previous.1);
        answer.put_i64(one.discarded.map_or(NONE, |session| session.0));
    }
    answer.freeze()
}

fn decode(answer: Bytes) -> Result<Vec<Claimed>, RecordError> {
    let mut reader = Reader(answer);
    let mut claimed = Vec::new();
    while !reader.is_empty() {
        let (session, epoch) = (SessionId(reader.i64()?), Epoch(reader.i64()?));
        let is_present = reader.u8()? == 1;
        let (node, previous) = (reader.i64()?, reader.i64()?);
        let discarded = reader.i64()?;
        claimed.push(Claimed {
            session,
            epoch,
            is_present,
            previous: (node != NONE).then_some(Owner {
                node: NodeId(node),
                epoch: Epoch(previous),
            }),
            discarded: (discarded != NONE).then_some(SessionId(discarded)),
            kept: Kept::default(),
        });
    }
    Ok(claimed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let claimed = |previous, discarded| Claimed {
            session: SessionId(7),
            epoch: Epoch(8),
            is_present: previous == 0,
            previous: (previous != 0).then_some(Owner {
                node: NodeId(previous),
                epoch: Epoch(3),
            }),
            discarded: (discarded != 0).then_some(SessionId(discarded)),
            kept: Kept::default(),
        };
        let all = [claimed(0, 0), claimed(5, 0), claimed(5, 6)];
        let read = decode(encode(&all)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{all:?}"));
        assert!(decode(encode(&all).slice(1..)).is_err());
    }
}
