//! This node's part in what the nodes share: what it writes, claims and tells the others.
//!
//! Owns the queues towards the database and the list of peers. One task writes what must be
//! durable, one carries frames to other nodes, one claims client IDs, one keeps the lease; each
//! packs what came up while its previous statement was under way. It never decides who gets a
//! message.

mod carrier;
mod claims;
mod evictions;
mod hearing;
mod lane;
mod membership;
mod outage;
mod outgoing;
mod progress;
mod stream;

use std::{sync::Arc, time::Duration};

use ibc::{Forward, NodeId, NodeState, PageLimit, QueuedPage, SessionId, Store, StoreError};
use tokio::sync::{Semaphore, mpsc, watch};

pub(crate) use claims::ClaimError;
pub(crate) use evictions::Evictions;
pub(crate) use hearing::Hearing;
pub(crate) use lane::{Lane, Stake, Urgency, Written};
pub(crate) use membership::{MemberChange, Membership};
pub(crate) use outage::Outage;
pub(crate) use outgoing::{Barrier, Outgoing};
pub(crate) use progress::{Progress, Ticket};

use tracing::warn;

use crate::{
    config,
    shutdown::Shutdown,
    telemetry::{Metrics, chain},
};

/// The databases behind a node.
#[derive(Clone)]
pub(crate) struct Databases {
    pub(crate) store: Arc<dyn Store>,
    /// Nothing for a node alone.
    pub(crate) forward: Option<Arc<dyn Forward>>,
}

/// This node's part in what the nodes share.
pub(crate) struct Cluster {
    /// This incarnation.
    pub(crate) node: NodeId,
    pub(crate) databases: Databases,
    /// What must be durable.
    pub(crate) durable: Lane,
    /// What other nodes must be told.
    pub(crate) outgoing: Outgoing,
    /// Hand-overs that this node waits for.
    pub(crate) evictions: Evictions,
    /// What the other nodes tell.
    pub(crate) hearing: Hearing,
    pub(crate) membership: Membership,
    pub(crate) progress: Progress,
    /// Whether the database takes changes.
    pub(crate) outage: Outage,
    /// False while it is not known here what a dead node has set and told nobody.
    is_caught_up: watch::Sender<bool>,
    claims: claims::Claims,
    /// Reading queues must not keep everybody else from the database.
    readers: Semaphore,
    metrics: Arc<Metrics>,
}

/// Rows read at once.
pub(crate) const PAGE: usize = 4096;

/// Most of a queue that is read at once. More entries than `mqtt.max_inflight` may have, so that the
/// packet identifiers of what was in flight are in the first page.
const QUEUE_PAGE: PageLimit = PageLimit {
    entries: PAGE,
    bytes: 4 << 20,
};

/// Queues read at one time; the smallest `cluster.max_connections` is 4.
const READERS: usize = 2;

/// A question is asked again after so many times [`SUSPICION`]: frames do not outlive a crash of
/// the database.
const REPEAT: u32 = 10;

/// How long a peer may leave a question unanswered before its death is looked into.
const SUSPICION: Duration = Duration::from_millis(150);

impl Cluster {
    /// Joins the cluster and starts the tasks, except that for `durable`, see [`Lane::write`].
    ///
    /// # Errors
    ///
    /// [`ibc::JoinError`] if the name is taken or the database failed.
    pub(crate) async fn join(
        databases: Databases,
        config: &config::Config,
        metrics: Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> Result<(Arc<Self>, mpsc::Receiver<MemberChange>), ibc::JoinError> {
        let lease = config.cluster.lease;
        let store = &databases.store;
        let joined = store
            .join(&config.node.name, env!("CARGO_PKG_VERSION"), lease)
            .await?;
        let (claims, requests) = claims::Claims::new();
        let (membership, inbox) = Membership::new(lease);
        let cluster = Arc::new(Self {
            node: joined.node,
            databases,
            durable: Lane::new(),
            outgoing: Outgoing::new(),
            evictions: Evictions::default(),
            hearing: Hearing::default(),
            membership,
            progress: Progress::default(),
            is_caught_up: watch::Sender::new(true),
            outage: Outage::new(metrics.store_unavailable_since.clone()),
            claims,
            readers: Semaphore::new(READERS),
            metrics,
        });
        let (changes, receiver) = mpsc::channel(256);
        shutdown.spawn(claims::run(
            Arc::clone(&cluster),
            requests,
            shutdown.clone(),
        ));
        shutdown.spawn(carrier::run(Arc::clone(&cluster), shutdown.clone()));
        for previous in joined.previous {
            cluster.membership.suspect(previous);
        }
        shutdown.spawn(membership::judge(
            Arc::clone(&cluster),
            inbox,
            changes.clone(),
            shutdown.clone(),
        ));
        shutdown.spawn(membership::run(
            Arc::clone(&cluster),
            changes,
            shutdown.clone(),
        ));
        Ok((cluster, receiver))
    }

    /// Claims a client ID for this node.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the database does not answer; the client is told 0x88 and may repeat.
    pub(crate) async fn claim(&self, claim: ibc::Claim) -> Result<ibc::Claimed, ClaimError> {
        self.claims.claim(claim).await
    }

    /// What a session keeps, after its previous owner has handed over. Repeats while the database
    /// is unreachable.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the database refuses.
    pub(crate) async fn kept(&self, session: SessionId) -> Result<ibc::Kept, ClaimError> {
        loop {
            match self.databases.store.kept(session).await {
                Ok(kept) => return Ok(kept),
                Err(error) if error.is_transient() => {
                    warn!(error = %chain(&error), "session not read, will repeat");
                    tokio::time::sleep(SUSPICION).await;
                }
                Err(error) => {
                    warn!(error = %chain(&error), "session not read");
                    return Err(ClaimError::Unavailable);
                }
            }
        }
    }

    /// Returns when everything told to peers before this call has been applied by all of them
    /// that are alive. Cancel safe.
    pub(crate) async fn barrier(&self) {
        let barrier = self.outgoing.barrier();
        self.passed(&barrier).await;
    }

    /// Returns when the peers have passed `barrier`, or are dead. Cancel safe.
    pub(crate) async fn passed(&self, barrier: &Barrier) {
        let mut confirmations = self.outgoing.confirmations();
        for round in 1_u32.. {
            let missing = self.outgoing.missing(barrier);
            if missing.is_empty() {
                return;
            }
            let wait = tokio::time::timeout(SUSPICION, confirmations.changed()).await;
            if wait.is_err() {
                let missing = self.outgoing.missing(barrier);
                if round.is_multiple_of(REPEAT) {
                    self.outgoing.ask_again(&missing);
                }
                for node in missing {
                    self.membership.suspect(node);
                }
            }
        }
    }

    /// Returns when everything is applied here that any node had told before this call. Cancel safe.
    pub(crate) fn heard(&self) -> impl Future<Output = ()> {
        let is_alone = self.databases.forward.is_none();
        let number = if is_alone { 0 } else { self.hearing.ask() };
        self.hearing.reach(number)
    }

    /// Says whether everything is known that dead nodes have made durable.
    pub(crate) fn set_caught_up(&self, is_caught_up: bool) {
        self.is_caught_up.send_replace(is_caught_up);
    }

    /// Returns when everything is known here that dead nodes have made durable. Cancel safe.
    pub(crate) async fn caught_up(&self) {
        // The sender lives as long as we do.
        let _ = self.is_caught_up.subscribe().wait_for(|is| *is).await;
    }

    /// Asks the previous owner of a client on another node to hand over, and waits until it has,
    /// or is dead. Cancel safe.
    pub(crate) async fn evict(&self, client_id: &mqtt::Str, owner: ibc::Owner, is_resumed: bool) {
        let mut answer = self.evictions.wait_for(client_id.clone(), owner);
        let event = ibc::event::Event::Evict {
            client_id: client_id.clone(),
            epoch: owner.epoch,
            is_resumed,
        };
        for round in 0_u32.. {
            if round.is_multiple_of(REPEAT) && !self.outgoing.send(owner.node, &event) {
                // Not a peer: it is dead, and perhaps not buried yet.
                self.membership.suspect(owner.node);
                return;
            }
            if tokio::time::timeout(SUSPICION, &mut answer).await.is_ok() {
                return;
            }
            self.membership.suspect(owner.node);
        }
    }

    /// A page of the queue of a session that this node owns, without what was seen.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the database.
    pub(crate) async fn queued(
        &self,
        session: SessionId,
        seen: &[(NodeId, ibc::EntryId)],
    ) -> Result<QueuedPage, StoreError> {
        // The semaphore is never closed.
        let _permit = self.readers.acquire().await;
        self.databases.store.queued(session, seen, QUEUE_PAGE).await
    }

    /// Whether this node may act in the cluster's name: its lease has not run out (guarantee G8).
    pub(crate) fn may_acknowledge(&self) -> bool {
        self.databases.forward.is_none()
            || (self.membership.has_lease() && !self.databases.store.is_lapsed())
    }

    /// Says that this node takes clients now.
    pub(crate) fn set_state(&self, state: NodeState) {
        self.membership.set_state(state);
    }

    /// Returns when [`Cluster::has_room`]. Cancel safe.
    pub(crate) async fn room(&self, stake: Stake) {
        let mut progress = self.progress.watch();
        while !self.has_room(stake) {
            // The sender lives as long as we do.
            let _ = progress.changed().await;
        }
    }

    /// Whether both lanes have room for more of a client. One that waits for no acknowledgement may
    /// be read for longer: so QoS 0, PINGREQ and what subscribers acknowledge go on while the database
    /// takes nothing, and one that publishes waits for something after one read.
    pub(crate) fn has_room(&self, stake: Stake) -> bool {
        // Without an outage QoS 0 for other nodes is held back rather than dropped.
        let may_drop = stake == Stake::Nothing && self.outage.is_on();
        !self.durable.is_full(stake) && (may_drop || !self.outgoing.is_full())
    }
}
