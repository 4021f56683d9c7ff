//! The lease of this node, and the life and death of the others.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ibc::{Buried, NodeId, NodeState, StoreError, event::Event};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Cluster, outage::Witness};
use crate::{
    shutdown::{Failure, Shutdown},
    telemetry::chain,
};

/// Who is there has changed.
#[derive(Debug)]
pub(crate) enum MemberChange {
    /// These nodes were alive when this one joined; comes once, first.
    Found(Vec<NodeId>),
    /// This node is dead; what its clients had of shared subscriptions comes with the one
    /// change whose receiver is to give it to others.
    Gone(Box<Buried>),
}

/// The lease of this node.
pub(crate) struct Membership {
    lease: Duration,
    state: Mutex<(NodeState, Instant)>,
    changed: Notify,
    joined: CancellationToken,
    suspects: mpsc::Sender<NodeId>,
}

impl Membership {
    pub(super) fn new(lease: Duration) -> (Self, mpsc::Receiver<NodeId>) {
        let (suspects, receiver) = mpsc::channel(64);
        let state = Mutex::new((NodeState::Joining, Instant::now()));
        (
            Self {
                lease,
                state,
                changed: Notify::new(),
                joined: CancellationToken::new(),
                suspects,
            },
            receiver,
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (NodeState, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_state(&self, state: NodeState) {
        self.lock().0 = state;
        if state != NodeState::Joining {
            self.joined.cancel();
        }
        self.changed.notify_one();
    }

    /// Returns when this node knows all routes and takes clients. Cancel safe.
    pub(crate) async fn joined(&self) {
        self.joined.cancelled().await;
    }

    pub(crate) fn state(&self) -> NodeState {
        self.lock().0
    }

    /// Whether the lease was renewed within its time.
    pub(crate) fn has_lease(&self) -> bool {
        self.lock().1.elapsed() < self.lease
    }

    /// Looks into whether `node` is dead. When full, the same question is under way anyway.
    pub(crate) fn suspect(&self, node: NodeId) {
        let _ = self.suspects.try_send(node);
    }
}

/// Looks into whether suspects are dead, and buries them, until `shutdown` stops. Apart from the renewals:
/// with a slow database it takes longer than they may wait.
pub(super) async fn judge(
    cluster: Arc<Cluster>,
    mut suspects: mpsc::Receiver<NodeId>,
    changes: mpsc::Sender<MemberChange>,
    shutdown: Shutdown,
) {
    loop {
        let suspect = tokio::select! {
            suspect = suspects.recv() => suspect,
            () = shutdown.stopped() => return,
        };
        let Some(suspect) = suspect else { return };
        // All who wait for a node ask at once.
        let mut asked = BTreeSet::from([suspect]);
        while let Ok(suspect) = suspects.try_recv() {
            asked.insert(suspect);
        }
        for suspect in asked {
            if bury(&cluster, suspect, &changes).await.is_err() {
                shutdown.fail(Failure::Fenced);
                return;
            }
        }
    }
}

/// Renews the lease until `shutdown` stops.
pub(super) async fn run(
    cluster: Arc<Cluster>,
    changes: mpsc::Sender<MemberChange>,
    shutdown: Shutdown,
) {
    let lease = cluster.membership.lease;
    let mut renewal = tokio::time::interval(lease / 3);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut is_first = true;
    loop {
        tokio::select! {
            _ = renewal.tick() => {}
            () = cluster.membership.changed.notified() => {}
            () = cluster.databases.store.must_renew() => {}
            () = shutdown.stopped() => return,
        }
        match renew(&cluster, &changes, is_first).await {
            Ok(()) => is_first = false,
            Err(StoreError::Fenced) => {
                shutdown.fail(Failure::Fenced);
                return;
            }
            Err(error) => {
                cluster.outage.begin(Witness::Lease, &error);
                cluster.progress.nudge();
            }
        }
    }
}

async fn renew(
    cluster: &Cluster,
    changes: &mpsc::Sender<MemberChange>,
    is_first: bool,
) -> Result<(), StoreError> {
    let state = cluster.membership.state();
    let started = Instant::now();
    // Before the members are read: a node that joins meanwhile is a peer as soon as its first frame
    // is read here, and must not be taken for one that has gone.
    let known = cluster.outgoing.peers();
    let members = cluster
        .databases
        .store
        .renew(cluster.node, state, cluster.membership.lease)
        .await?;
    cluster.membership.lock().1 = started;
    cluster.outage.end(Witness::Lease);
    let others: Vec<_> = members
        .iter()
        .filter(|member| member.node != cluster.node)
        .collect();
    cluster
        .metrics
        .members
        .set(i64::try_from(members.len()).unwrap_or(0));
    for member in &others {
        if cluster.outgoing.add_peer(member.node) {
            info!(peer_node = %member.name, node_id = %member.node, "node joined");
        }
    }
    if is_first {
        let found = others.iter().map(|member| member.node).collect();
        let _ = changes.send(MemberChange::Found(found)).await;
    }
    for member in &others {
        if member.is_expired || member.is_absent {
            cluster.membership.suspect(member.node);
        }
    }
    for node in known {
        if !members.iter().any(|member| member.node == node) {
            // Another node has buried it, or it has left.
            let gone = Buried {
                node,
                shared: Vec::new(),
            };
            let _ = changes.send(MemberChange::Gone(Box::new(gone))).await;
        }
    }
    Ok(())
}

async fn bury(
    cluster: &Cluster,
    suspect: NodeId,
    changes: &mpsc::Sender<MemberChange>,
) -> Result<(), StoreError> {
    match cluster.databases.store.bury(cluster.node, suspect).await {
        Ok(Some(buried)) => {
            warn!(node_id = %suspect, "node is dead, its clients were let go");
            cluster.outgoing.broadcast(&Event::Buried(suspect));
            let _ = changes.send(MemberChange::Gone(Box::new(buried))).await;
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(StoreError::Fenced) => Err(StoreError::Fenced),
        Err(error) => {
            if !cluster.outage.is_on() {
                warn!(error = %chain(&error), node_id = %suspect, "cannot tell whether a node is dead");
            }
            Ok(())
        }
    }
}
