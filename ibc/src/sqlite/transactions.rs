//! Transactions that touch several tables. Whoever calls begins and commits them.

use sqlx::SqliteConnection;

use super::{
    fleeting::{Addressed, Fleeting},
    node, now, queue, received, retained, session, subscription, will,
};
use crate::claim::{Decision, Found};
use crate::{
    Batch, Buried, Claim, Claimed, Committed, Epoch, Kept, NodeId, SessionId, SessionSnapshot,
    StoreError,
};

/// Most messages of shared subscriptions given back by one burial.
const MAX_SHARED: usize = 20_000;
/// How long messages of an ended session wait to be given to other members of a shared subscription.
const ENDED_MILLIS: i64 = 60_000;
/// How long it is remembered that a retained message was removed, or that a node is dead.
const GONE_MILLIS: i64 = 3_600_000;
const ROWS: usize = 10_000;
const SESSIONS: usize = 1_000;

/// Makes a claim, see [`Store::claim`](crate::Store::claim).
pub(super) async fn claim(
    c: &mut SqliteConnection,
    fleeting: &mut Fleeting,
    node: NodeId,
    claim: &Claim,
) -> Result<Claimed, StoreError> {
    let found = match fleeting.find(&claim.client_id, node) {
        Some(found) => Some(found),
        None => session::find(c, &claim.client_id).await?,
    };
    // All other nodes are dead.
    let decision = found.map_or(
        Decision {
            is_resumed: false,
            discarded: None,
            previous: None,
        },
        |found: Found| found.decide(claim, |owner| owner == node),
    );
    let session = match found {
        Some(found) if decision.is_resumed => found.session,
        _ => fleeting.next_session(),
    };
    let epoch = fleeting.next_epoch();
    session::claim(c, node, claim, (session, epoch)).await?;
    let mut claimed = Claimed {
        session,
        epoch,
        is_present: decision.is_resumed,
        previous: decision.previous,
        discarded: decision.discarded,
        kept: Kept::default(),
    };
    if decision.is_resumed {
        will::cancel(c, &claim.client_id).await?; // [MQTT-3.1.3-9]
        claimed.kept = kept(c, session).await?;
    }
    if let Some(discarded) = decision.discarded {
        session::end(c, discarded).await?;
        will::hasten(c, &claim.client_id).await?;
    }
    if let Some(will) = &claim.will {
        will::insert(c, node, (&claim.client_id, session, epoch), will).await?;
    }
    Ok(claimed)
}

/// See [`Store::commit`](crate::Store::commit). Also the clients that have no session any more.
pub(super) async fn commit(
    c: &mut SqliteConnection,
    (fleeting, addressed): (&Fleeting, &Addressed),
    node: NodeId,
    batch: &Batch,
) -> Result<(Committed, Vec<String>), StoreError> {
    node::check(c, node).await?;
    for (claim, key) in &addressed.live {
        session::claim(c, node, claim, *key).await?;
    }
    for session in &addressed.ended {
        session::end(c, *session).await?;
    }
    let ids = batch.messages.len() + batch.moved.len() + batch.retained.len();
    let base = if ids == 0 {
        0
    } else {
        session::advance(c, "batch", 1).await? << 16
    };
    let moved_base = base + super::limit(batch.messages.len());
    let retained_base = moved_base + super::limit(batch.moved.len());
    queue::insert(c, node, base, &batch.messages).await?;
    queue::move_entries(c, node, moved_base, &batch.moved).await?;
    for (version, change) in (retained_base..).zip(&batch.retained) {
        retained::upsert(c, version, change).await?;
    }
    for id in &batch.received {
        received::insert(c, id).await?;
    }
    for id in &batch.forgotten {
        received::delete(c, id).await?;
    }
    let mut moved_on = Vec::new();
    for sent in &batch.sent {
        if !queue::set_sent(c, sent).await? {
            moved_on.push((sent.session, sent.entry));
        }
    }
    for released in &batch.released {
        queue::set_released(c, *released).await?;
    }
    if !batch.acknowledged.is_empty() {
        queue::acknowledge(c, &batch.acknowledged).await?;
    }
    for change in &batch.subscribed {
        subscription::upsert(c, change).await?;
    }
    for unsubscribed in &batch.unsubscribed {
        subscription::delete(c, unsubscribed).await?;
    }
    let mut gone = Vec::new();
    for detached in &batch.detached {
        let is_in_table = addressed
            .live
            .iter()
            .any(|(_, (id, _))| *id == detached.session);
        let is_in_memory = fleeting.is_of(detached) && !is_in_table;
        if !is_in_memory && session::detach(c, detached).await? {
            gone.push(detached.client_id.clone());
        }
    }
    for will in &batch.wills {
        will::delete(c, will).await?;
    }
    Ok((Committed { base, moved_on }, gone))
}

/// See [`Store::bury`](crate::Store::bury).
pub(super) async fn bury(
    c: &mut SqliteConnection,
    node: NodeId,
    suspect: NodeId,
) -> Result<Option<Buried>, StoreError> {
    node::check(c, node).await?;
    if !node::mark_buried(c, suspect).await? {
        return Ok(None);
    }
    // While the owner still stands there.
    let shared = queue::shared(c, suspect, MAX_SHARED).await?;
    will::let_go(c, suspect).await?;
    session::let_go(c, suspect).await?;
    Ok(Some(Buried {
        node: suspect,
        shared,
    }))
}

/// See [`Store::sessions`](crate::Store::sessions).
pub(super) async fn snapshots(
    c: &mut SqliteConnection,
    after: SessionId,
    most: usize,
) -> Result<Vec<SessionSnapshot>, StoreError> {
    let mut snapshots: Vec<SessionSnapshot> = Vec::new();
    let mut filters = 0;
    for (id, client_id, epoch, owner) in session::read(c, after, most).await? {
        if filters > most.saturating_mul(crate::store::FILTERS) {
            break;
        }
        let subscriptions = subscription::read(c, SessionId(id)).await?;
        filters += subscriptions.len();
        snapshots.push(SessionSnapshot {
            session: SessionId(id),
            client_id,
            epoch: Epoch(epoch),
            owner: owner.map(NodeId),
            subscriptions,
        });
    }
    Ok(snapshots)
}

/// Where the next sweep goes on.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Position {
    session: i64,
    message: i64,
}

/// See [`Store::sweep`](crate::Store::sweep).
pub(super) async fn sweep(
    c: &mut SqliteConnection,
    position: Position,
) -> Result<(Position, u64), StoreError> {
    let now = now();
    let ended = session::find_ended(c, now - ENDED_MILLIS, SESSIONS).await?;
    let page = session::find_stray(c, position.session, SESSIONS).await?;
    let next_session = page
        .last()
        .map_or(0, |(id, _)| if page.len() < SESSIONS { 0 } else { *id });
    let stray = page
        .into_iter()
        .filter_map(|(id, is_stray)| is_stray.then_some(id));
    let mut rows = 0;
    for session in ended.into_iter().chain(stray) {
        for message in queue::delete_of(c, session, ROWS).await? {
            rows += 1 + queue::delete_unused(c, message).await?;
        }
        rows += received::delete_of(c, session).await?;
        rows += subscription::delete_of(c, session).await?;
        rows += session::delete_ended(c, session).await?;
    }
    let (message, messages) = queue::sweep_messages(c, position.message, ROWS).await?;
    rows += messages;
    rows += retained::sweep(c, now - GONE_MILLIS).await?;
    rows += node::forget(c, now - GONE_MILLIS).await?;
    Ok((
        Position {
            session: next_session,
            message: message.unwrap_or(0),
        },
        rows,
    ))
}

/// What a session keeps beside its queue.
pub(super) async fn kept(c: &mut SqliteConnection, session: SessionId) -> Result<Kept, StoreError> {
    Ok(Kept {
        subscriptions: subscription::read(c, session).await?,
        received: received::read(c, session).await?,
    })
}
