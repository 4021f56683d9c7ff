//! Claims of client IDs: many in one transaction, because after the loss of a node its clients all
//! come at once.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection, PgConnection};

use super::locks::{LockKey, Names};
use super::{ended_session, node, outcome, received, session, subscription, will};
use crate::claim::{Decision, Found};
use crate::{Claim, Claimed, Epoch, Kept, NodeId, SessionId, StoreError};

/// `$1`, `$2` the fence lock of the node. Waits for somebody who is about to bury it.
const ENTER: &str = "select pg_advisory_xact_lock_shared($1, $2)";

/// Most claims in one statement.
const CHUNK: usize = 2000;

/// See [`Store::claim`](crate::Store::claim).
pub(super) async fn claim(
    c: &mut PgConnection,
    (names, node): (Names, NodeId),
    number: u64,
    claims: &[Claim],
) -> Result<Vec<Claimed>, StoreError> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let mut tx = c.begin().await?;
    let LockKey { class, object } = names.fence(node);
    sqlx::query(ENTER)
        .bind(class)
        .bind(object)
        .execute(&mut *tx)
        .await?;
    // After the lock, and so with a newer snapshot.
    if !node::is_alive(&mut tx, node).await? {
        return Err(StoreError::Fenced);
    }
    if !outcome::begin_claims(&mut tx, node, number).await? {
        tx.rollback().await?;
        return claimed_before(c, node, number).await;
    }
    let mut sorted: Vec<&Claim> = claims.iter().collect();
    sorted.sort_unstable_by(|a, b| a.client_id.cmp(&b.client_id));
    let mut claimed = HashMap::with_capacity(claims.len());
    for chunk in sorted.chunks(CHUNK) {
        claimed.extend(claim_chunk(&mut tx, node, chunk).await?);
    }
    let claimed = claims.iter().map(|claim| {
        claimed
            .remove(&*claim.client_id)
            .ok_or(StoreError::Corrupt { table: "session" })
    });
    let claimed = claimed.collect::<Result<Vec<_>, _>>()?;
    outcome::end_claims(&mut tx, node, &claimed).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// What claims gave whose answer was lost.
async fn claimed_before(
    c: &mut PgConnection,
    node: NodeId,
    number: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let Some(mut claimed) = outcome::of_claims(c, node, number).await? else {
        return Err(StoreError::Corrupt { table: "outcome" });
    };
    for one in &mut claimed {
        if one.is_present {
            one.kept = kept(c, one.session).await?;
        }
    }
    Ok(claimed)
}

async fn claim_chunk<'a>(
    tx: &mut PgConnection,
    node: NodeId,
    claims: &[&'a Claim],
) -> Result<HashMap<&'a str, Claimed>, StoreError> {
    let clients: Vec<&str> = claims.iter().map(|claim| &*claim.client_id).collect();
    session::place(tx, &clients).await?;
    let found: HashMap<String, Found> = session::find(tx, &clients).await?.into_iter().collect();
    // After the rows are locked: their owners cannot change any more.
    let alive: HashSet<i64> = node::alive(tx).await?.into_iter().collect();
    let mut decisions = Vec::with_capacity(claims.len());
    for claim in claims {
        let found = found
            .get(&claim.client_id)
            .ok_or(StoreError::Corrupt { table: "session" })?;
        decisions.push((found.decide(claim, |node| alive.contains(&node.0)), *found));
    }
    let written = write(tx, node, claims, &decisions).await?;
    let mut subscriptions = HashMap::new();
    let mut received: HashMap<i64, Vec<u16>> = HashMap::new();
    let resumed: Vec<i64> = resumed(&decisions)
        .map(|(_, found)| found.session.0)
        .collect();
    if !resumed.is_empty() {
        subscriptions = subscription::read(tx, &resumed).await?;
        for (session, packet_id) in received::read(tx, &resumed).await? {
            received.entry(session).or_default().push(packet_id);
        }
    }
    let mut claimed = HashMap::with_capacity(claims.len());
    for (claim, (decision, _)) in claims.iter().zip(decisions) {
        let Some(&(session, epoch)) = written.get(&*claim.client_id) else {
            continue;
        };
        claimed.insert(
            &*claim.client_id,
            Claimed {
                session: SessionId(session),
                epoch: Epoch(epoch),
                is_present: decision.is_resumed,
                previous: decision.previous,
                discarded: decision.discarded,
                kept: Kept {
                    subscriptions: subscriptions.remove(&session).unwrap_or_default(),
                    received: received.remove(&session).unwrap_or_default(),
                },
            },
        );
    }
    Ok(claimed)
}

/// What a session keeps beside its queue.
pub(super) async fn kept(c: &mut PgConnection, session: SessionId) -> Result<Kept, StoreError> {
    let subscriptions = subscription::read(c, &[session.0])
        .await?
        .remove(&session.0);
    let received = received::read(c, &[session.0]).await?;
    Ok(Kept {
        subscriptions: subscriptions.unwrap_or_default(),
        received: received
            .into_iter()
            .map(|(_, packet_id)| packet_id)
            .collect(),
    })
}

fn resumed(decisions: &[(Decision, Found)]) -> impl Iterator<Item = &(Decision, Found)> {
    decisions.iter().filter(|(decision, _)| decision.is_resumed)
}

/// Writes the sessions and what goes with them. Returns session and epoch of each client.
async fn write<'a>(
    tx: &mut PgConnection,
    node: NodeId,
    claims: &[&'a Claim],
    decisions: &[(Decision, Found)],
) -> Result<HashMap<&'a str, (i64, i64)>, StoreError> {
    let clients: Vec<&'a str> = claims.iter().map(|claim| &*claim.client_id).collect();
    let is_new: Vec<bool> = decisions
        .iter()
        .map(|(d, _)| d.discarded.is_some())
        .collect();
    let expiry: Vec<i64> = claims
        .iter()
        .map(|claim| i64::from(claim.expiry_interval))
        .collect();
    let rows = session::claim(tx, node, &clients, &is_new, &expiry).await?;
    let rows: HashMap<String, (i64, i64)> = rows
        .into_iter()
        .map(|(client_id, session, epoch)| (client_id, (session, epoch)))
        .collect();
    let written: HashMap<&'a str, (i64, i64)> = clients
        .into_iter()
        .filter_map(|client_id| Some((client_id, *rows.get(client_id)?)))
        .collect();

    let discarded: Vec<i64> = decisions
        .iter()
        .filter_map(|(d, _)| Some(d.discarded?.0))
        .collect();
    if !discarded.is_empty() {
        ended_session::insert(tx, &discarded).await?;
        subscription::delete_of(tx, &discarded).await?;
    }
    let of = |is_resumed: bool| -> Vec<&str> {
        let both = claims.iter().zip(decisions);
        both.filter(|(_, (d, _))| {
            if is_resumed {
                d.is_resumed
            } else {
                d.discarded.is_some()
            }
        })
        .map(|(claim, _)| &*claim.client_id)
        .collect()
    };
    let (resumed, ended) = (of(true), of(false));
    if !resumed.is_empty() {
        will::cancel(tx, &resumed).await?; // [MQTT-3.1.3-9]
    }
    if !ended.is_empty() {
        will::hasten(tx, &ended).await?;
    }
    let wills: Vec<will::Row<'_>> = claims
        .iter()
        .filter_map(|claim| {
            let (stored, &(session, epoch)) =
                (claim.will.as_ref()?, written.get(&*claim.client_id)?);
            Some(will::Row {
                client_id: &claim.client_id,
                epoch,
                session,
                body: &stored.body,
                delay_interval: stored.delay_interval,
            })
        })
        .collect();
    if !wills.is_empty() {
        will::insert(tx, node, &wills).await?;
    }
    Ok(written)
}
