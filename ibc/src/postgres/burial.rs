//! The burial of a dead node: its clients are let go, once in the cluster.

use sqlx::{Connection, PgConnection};

use super::node::{self, Judge};
use super::{presence, queue, session, subscription, will};
use crate::{Buried, NodeId, SharedEntry, StoreError};

/// Most messages of shared subscriptions given back by one burial. The others stay in the queues of
/// sessions that live on.
const MAX_SHARED: i64 = 20_000;

/// See [`Store::bury`](crate::Store::bury). To be called after a [look](node::look), which makes no
/// living node wait.
pub(super) async fn bury(
    c: &mut PgConnection,
    judge: Judge,
    suspect: NodeId,
) -> Result<Option<Buried>, StoreError> {
    let mut tx = c.begin().await?;
    presence::close_fence(&mut tx, judge.names.fence(suspect)).await?;
    if !node::bury(&mut tx, judge, suspect).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let shared = let_go(&mut tx, suspect).await?;
    tx.commit().await?;
    Ok(Some(Buried {
        node: suspect,
        shared,
    }))
}

/// Lets the clients of a dead node go.
pub(super) async fn let_go(
    tx: &mut PgConnection,
    dead: NodeId,
) -> Result<Vec<SharedEntry>, StoreError> {
    session::lock_owned(tx, dead).await?;
    // While the owner still stands there.
    let shared = queue::shared(tx, dead, MAX_SHARED).await?;
    will::let_go(tx, dead).await?;
    let deleted = session::let_go(tx, dead).await?;
    if !deleted.is_empty() {
        subscription::delete_of(tx, &deleted).await?;
    }
    Ok(shared)
}
