//! Claims of client IDs, many in one transaction: a reconnect storm is not a query per client.

use std::sync::Arc;

use ahash::AHashSet;
use ibc::{Claim, Claimed, StoreError};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::Cluster;
use crate::{shutdown::Shutdown, telemetry::chain};

/// Claims in one transaction at most.
const MOST: usize = 1000;
/// Claims waiting; beyond it connections wait for room.
const QUEUE: usize = 4096;

/// A client ID could not be claimed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// The database does not answer. The client is told 0x88 and may repeat.
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
    loop {
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
        claim_all(&cluster, batch, &shutdown).await;
    }
}

async fn claim_all(cluster: &Cluster, batch: Vec<Request>, shutdown: &Shutdown) {
    let (claims, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|request| (request.claim, request.answer))
        .unzip();
    match cluster.databases.store.claim(cluster.node, &claims).await {
        Ok(claimed) => {
            for (answer, claimed) in answers.into_iter().zip(claimed) {
                // Whoever has gone away finds its claim ended by the next one.
                let _ = answer.send(Ok(claimed));
            }
        }
        Err(StoreError::Fenced) => shutdown.fail(super::membership::FENCED.to_owned()),
        Err(error) => {
            if !cluster.outage.is_on() {
                warn!(error = %chain(&error), count = answers.len(), "clients refused: claims failed");
            }
            for answer in answers {
                let _ = answer.send(Err(ClaimError::Unavailable));
            }
        }
    }
}
