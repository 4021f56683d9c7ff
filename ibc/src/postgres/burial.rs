//! The burial of a dead node: its clients are let go, once in the cluster.

use sqlx::{Connection, PgConnection};

use super::locks::Names;
use super::{node, presence, queue, session, subscription, will};
use crate::{Buried, NodeId, SharedEntry, StoreError};

/// Most messages of shared subscriptions given back by one burial. The others stay in the queues of
/// sessions that live on.
const MAX_SHARED: i64 = 20_000;

/// See [`Store::bury`](crate::Store::bury).
pub(super) async fn bury(
    c: &mut PgConnection,
    names: Names,
    node: NodeId,
    suspect: NodeId,
) -> Result<Option<Buried>, StoreError> {
    let presence = names.presence(NodeId(0));
    // First without the lock, which would make a living node wait.
    if !node::is_dead(c, presence, node, suspect).await? {
        return Ok(None);
    }
    let mut tx = c.begin().await?;
    presence::close_fence(&mut tx, names.fence(suspect)).await?;
    if !node::bury(&mut tx, presence, node, suspect).await? {
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
