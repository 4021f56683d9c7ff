//! The doorbell: notifications that frames have come.
//!
//! A notification may be lost with the connection, so each new connection counts as one. Whoever waits
//! looks into the table now and then all the same.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::locks::Names;
use super::pool;
use crate::{NodeId, StoreError};

/// After so long without a ring the connection is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(3);
/// An error comes at most this often.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

/// Listens on the channel of one node.
pub(super) struct Doorbell {
    options: PgConnectOptions,
    names: Names,
    ear: Mutex<Option<Ear>>,
}

struct Ear {
    listener: PgListener,
    node: NodeId,
    heard_at: Instant,
}

impl Doorbell {
    pub(super) fn new(options: PgConnectOptions, names: Names) -> Self {
        Self {
            options,
            names,
            ear: Mutex::new(None),
        }
    }

    /// See [`Forward::wait`](crate::Forward::wait).
    pub(super) async fn wait(&self, node: NodeId, patience: Duration) -> Result<(), StoreError> {
        let mut slot = self.ear.lock().await;
        let Some(ear) = slot.as_mut().filter(|ear| ear.node == node) else {
            *slot = None;
            return match timeout(PATIENCE, self.listen(node)).await {
                Ok(Ok(ear)) => {
                    *slot = Some(ear);
                    // Somebody may have rung before.
                    Ok(())
                }
                Ok(Err(error)) => Err(pause(error, patience).await),
                Err(_) => Err(pool::timed_out().into()),
            };
        };
        match timeout(patience, ear.listener.try_recv()).await {
            // A ring, or a new connection: rings on the old one may be lost.
            Ok(Ok(_)) => {
                while ear.listener.next_buffered().is_some() {}
                ear.heard_at = Instant::now();
                Ok(())
            }
            Ok(Err(error)) => {
                *slot = None;
                Err(pause(error, patience).await)
            }
            Err(_) if ear.heard_at.elapsed() >= SILENCE => {
                // Out of its place: if this is cancelled half-way, the connection is not used again.
                let Some(ear) = slot.take() else {
                    return Ok(());
                };
                *slot = check(ear).await;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    async fn listen(&self, node: NodeId) -> Result<Ear, sqlx::Error> {
        // A pool of its own, because the listener opens its next connection from it.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&self.names.doorbell(node)).await?;
        Ok(Ear {
            listener,
            node,
            heard_at: Instant::now(),
        })
    }
}

/// Nothing if the connection is dead.
async fn check(mut ear: Ear) -> Option<Ear> {
    let ping = sqlx::query("select 1").execute(&mut ear.listener);
    match timeout(PATIENCE, ping).await {
        Ok(Ok(_)) => {
            ear.heard_at = Instant::now();
            Some(ear)
        }
        _ => None,
    }
}

async fn pause(error: sqlx::Error, patience: Duration) -> StoreError {
    sleep(ERROR_PAUSE.min(patience)).await;
    error.into()
}
