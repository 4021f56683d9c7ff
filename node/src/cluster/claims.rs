//! Claims of client IDs, many in one transaction: a reconnect storm is not a query per client.

use std::{sync::Arc, time::Duration};

use ahash::AHashSet;
use ibc::{Claim, Claimed, StoreError};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::Cluster;
use crate::{
    shutdown::{Failure, Shutdown},
    telemetry::chain,
};

/// Claims in one transaction at most.
const MOST: usize = 1000;
/// Claims waiting; beyond it connections wait for room.
const QUEUE: usize = 4096;

/// A client ID could not be claimed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// The database does not answer in time. The client is told 0x88 and may repeat.
    #[error("the session registry is unavailable")]
    Unavailable,
}

pub(super) struct Request {
    claim: Claim,
    answer: oneshot::Sender<Result<Claimed, ClaimError>>,
}

pub(super) struct Claims(mpsc::Sender<Request>);

impl Claims {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    pub(super) async fn claim(&self, claim: Claim) -> Result<Claimed, ClaimError> {
        let (answer, receiver) = oneshot::channel();
        let request = Request { claim, answer };
        self.0
            .send(request)
            .await
            .map_err(|_| ClaimError::Unavailable)?;
        receiver.await.unwrap_or(Err(ClaimError::Unavailable))
    }
}

/// Claims what has come up, until `shutdown` stops.
pub(super) async fn run(
    cluster: Arc<Cluster>,
    mut requests: mpsc::Receiver<Request>,
    shutdown: Shutdown,
) {
    let mut held: Option<Request> = None;
    for number in 1.. {
        let first = match held.take() {
            Some(request) => request,
            None => tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => request,
                    None => return,
                },
                () = shutdown.stopped() => return,
            },
        };
        let mut names = AHashSet::from([first.claim.client_id.clone()]);
        let mut batch = vec![first];
        while batch.len() < MOST
            && let Ok(request) = requests.try_recv()
        {
            if names.insert(request.claim.client_id.clone()) {
                batch.push(request);
            } else {
                // The same client twice: one after the other.
                held = Some(request);
                break;
            }
        }
        tokio::select! {
            () = claim_all(&cluster, number, batch, &shutdown) => {}
            () = shutdown.stopped() => return,
        }
    }
}

/// Repeats while the database is unreachable: the claims may have been made, and then somebody must
/// hear of it. Whoever waits decides for how long.
async fn claim_all(cluster: &Cluster, number: u64, batch: Vec<Request>, shutdown: &Shutdown) {
    let (claims, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|request| (request.claim, request.answer))
        .unzip();
    let mut pause = Duration::from_millis(20);
    loop {
        let store = &cluster.databases.store;
        match store.claim(cluster.node, number, &claims).await {
            Ok(claimed) => {
                for (answer, claimed) in answers.into_iter().zip(claimed) {
                    // Who waits for it does so to the end, unless the process is ending.
                    let _ = answer.send(Ok(claimed));
                }
                return;
            }
            Err(StoreError::Fenced) => {
                shutdown.fail(Failure::Fenced);
                return;
            }
            Err(error) if error.is_transient() => {
                if !cluster.outage.is_on() {
                    warn!(error = %chain(&error), count = answers.len(), "clients not claimed, will repeat");
                }
            }
            Err(error) => {
                error!(error = %chain(&error), count = answers.len(), "clients refused: the database refused their claims");
                for answer in answers {
                    let _ = answer.send(Err(ClaimError::Unavailable));
                }
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
