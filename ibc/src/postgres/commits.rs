//! Commits of a batch: one statement for each kind of change in it.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::fence::{self, Base, Fence};
use super::locks::Names;
use super::{message, outcome, queue, received, retained, session, subscription, will};
use crate::{Batch, Committed, EntryId, NodeId, SessionId, StoreError};

/// How often it is tried while somebody considers to bury this node.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// The kinds of changes, in the order in which they are made: the same everywhere, so that
/// two transactions wait for each other as rarely as possible.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Messages,
    Moved,
    Retained,
    Received,
    Forgotten,
    Sent,
    Released,
    Acknowledged,
    Subscribed,
    Unsubscribed,
    Detached,
    Wills,
}

/// See [`Store::commit`](crate::Store::commit).
pub(super) async fn commit(
    c: &mut PgConnection,
    names: Names,
    node: NodeId,
    batch: &Batch,
) -> Result<Committed, StoreError> {
    let kinds = kinds(batch);
    for _ in 0..TRIES {
        let mut committed = Committed::default();
        let moved_on = &mut committed.moved_on;
        let base = match kinds.as_slice() {
            [] => return Ok(committed),
            // One statement is a transaction.
            [kind] => apply(c, &fence(names, node, batch), *kind, (batch, moved_on)).await?,
            kinds => transaction(c, fence(names, node, batch), kinds, (batch, moved_on)).await?,
        };
        if let Some(base) = base {
            committed.base = base;
            delete_unused(c, batch).await;
            return Ok(committed);
        }
        if let Some(base) = outcome::of_batch(c, node, number(batch)).await? {
            let moved_on = Vec::new();
            return Ok(Committed { base, moved_on });
        }
        fence::check(c, node).await?;
        sleep(PAUSE).await;
    }
    Err(sqlx::Error::PoolTimedOut.into())
}

/// Gives `None`, with nothing done, if the fence is closed.
async fn transaction(
    c: &mut PgConnection,
    mut fence: Fence,
    kinds: &[Kind],
    (batch, moved_on): (&Batch, &mut Vec<(SessionId, EntryId)>),
) -> Result<Option<i64>, StoreError> {
    let mut tx = c.begin().await?;
    for kind in kinds {
        // The first statement draws the identifiers for all.
        let Some(base) = apply(&mut tx, &fence, *kind, (batch, moved_on)).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        fence.base = Base::Known(base);
    }
    tx.commit().await?;
    Ok(Some(fence.number()))
}

fn fence(names: Names, node: NodeId, batch: &Batch) -> Fence {
    let needs_ids =
        !(batch.messages.is_empty() && batch.moved.is_empty() && batch.retained.is_empty());
    let base = if needs_ids {
        Base::Draw(number(batch))
    } else {
        Base::Known(0)
    };
    Fence::new(names, node, base)
}

fn number(batch: &Batch) -> i64 {
    i64::try_from(batch.number).unwrap_or(i64::MAX)
}

fn kinds(batch: &Batch) -> Vec<Kind> {
    [
        (Kind::Messages, batch.messages.is_empty()),
        (Kind::Moved, batch.moved.is_empty()),
        (Kind::Retained, batch.retained.is_empty()),
        (Kind::Received, batch.received.is_empty()),
        (Kind::Forgotten, batch.forgotten.is_empty()),
        (Kind::Sent, batch.sent.is_empty()),
        (Kind::Released, batch.released.is_empty()),
        (Kind::Acknowledged, batch.acknowledged.is_empty()),
        (Kind::Subscribed, batch.subscribed.is_empty()),
        (Kind::Unsubscribed, batch.unsubscribed.is_empty()),
        (Kind::Detached, batch.detached.is_empty()),
        (Kind::Wills, batch.wills.is_empty()),
    ]
    .into_iter()
    .filter_map(|(kind, is_empty)| (!is_empty).then_some(kind))
    .collect()
}

async fn apply(
    c: &mut PgConnection,
    fence: &Fence,
    kind: Kind,
    (batch, moved_on): (&Batch, &mut Vec<(SessionId, EntryId)>),
) -> Result<Option<i64>, StoreError> {
    let moved_from = i64::try_from(batch.messages.len()).unwrap_or(0);
    let retained_from = moved_from + i64::try_from(batch.moved.len()).unwrap_or(0);
    match kind {
        Kind::Messages => message::insert(c, fence, &batch.messages).await,
        Kind::Moved => queue::move_entries(c, fence, &batch.moved, moved_from).await,
        Kind::Retained => retained::upsert(c, fence, &batch.retained, retained_from).await,
        Kind::Received => received::insert(c, fence, &batch.received).await,
        Kind::Forgotten => received::delete(c, fence, &batch.forgotten).await,
        Kind::Sent => queue::set_sent(c, fence, &batch.sent, moved_on).await,
        Kind::Released => queue::set_released(c, fence, &batch.released).await,
        Kind::Acknowledged => queue::delete(c, fence, &batch.acknowledged).await,
        Kind::Subscribed => subscription::upsert(c, fence, &batch.subscribed).await,
        Kind::Unsubscribed => subscription::delete(c, fence, &batch.unsubscribed).await,
        Kind::Detached => session::detach(c, fence, &batch.detached).await,
        Kind::Wills => will::delete(c, fence, &batch.wills).await,
    }
}

/// Deletes messages that were acknowledged by the last session. If that fails, the batch is
/// committed all the same, and the sweep does it later.
async fn delete_unused(c: &mut PgConnection, batch: &Batch) {
    if batch.acknowledged.is_empty() {
        return;
    }
    let mut messages: Vec<i64> = batch.acknowledged.iter().map(|a| a.message.0).collect();
    messages.sort_unstable();
    messages.dedup();
    if let Err(error) = message::delete_unused(c, &messages).await {
        tracing::debug!(%error, "messages left to the sweep");
    }
}
