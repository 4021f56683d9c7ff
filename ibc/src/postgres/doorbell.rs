//! The doorbell: notifications that frames have come.
//!
//! A notification may be lost with the connection, so each new connection counts as one. Whoever waits
//! looks into the table now and then all the same. The connection is also a sign of life, beside that of
//! [presence](super::presence): the only one whose loss is noticed at once.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::{Instant, sleep, timeout};

use super::pool;
use super::signs::{Lasting, Sign};
use crate::{NodeId, StoreError};

/// After so long without a ring the connection is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(3);
/// An error comes at most this often.
const ERROR_PAUSE: Duration = Duration::from_millis(500);
/// A connection is lost at most this often. Shorter than it takes until a node counts as absent.
const LOSS_PAUSE: Duration = Duration::from_millis(100);

/// Listens on the channel of one node.
pub(super) struct Doorbell {
    lasting: Lasting,
    ear: Mutex<Option<Ear>>,
    /// The ear was lost, or there is a new one.
    changed: Notify,
}

struct Ear {
    /// Goes before the connection.
    _sign: Sign,
    listener: PgListener,
    node: NodeId,
    opened_at: Instant,
    heard_at: Instant,
}

impl Doorbell {
    pub(super) fn new(lasting: Lasting) -> Self {
        Self {
            lasting,
            ear: Mutex::new(None),
            changed: Notify::new(),
        }
    }

    /// Returns when connections of this node have broken, or can be had again. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// See [`Forward::wait`](crate::Forward::wait).
    pub(super) async fn wait(&self, node: NodeId, patience: Duration) -> Result<(), StoreError> {
        let mut slot = self.ear.lock().await;
        let Some(ear) = slot.as_mut().filter(|ear| ear.node == node) else {
            return self.open(slot, node, patience).await;
        };
        match timeout(patience, ear.listener.try_recv()).await {
            Ok(Ok(Some(_))) => {
                while ear.listener.next_buffered().is_some() {}
                ear.heard_at = Instant::now();
                Ok(())
            }
            // Lost. The listener could open the next one, but that would not have our lock.
            Ok(Ok(None) | Err(_)) => {
                let pause = LOSS_PAUSE.saturating_sub(ear.opened_at.elapsed());
                *slot = None;
                self.changed.notify_one();
                sleep(pause).await;
                self.open(slot, node, patience).await
            }
            Err(_) if ear.heard_at.elapsed() >= SILENCE => {
                // Out of its place: if this is cancelled half-way, the connection is not used again.
                let Some(ear) = slot.take() else {
                    return Ok(());
                };
                *slot = check(ear).await;
                if slot.is_none() {
                    self.changed.notify_one();
                }
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// Listens on a new connection. On return somebody may have rung before.
    async fn open(
        &self,
        mut slot: MutexGuard<'_, Option<Ear>>,
        node: NodeId,
        patience: Duration,
    ) -> Result<(), StoreError> {
        *slot = None;
        match timeout(PATIENCE, self.listen(node)).await {
            Ok(Ok(ear)) => {
                *slot = Some(ear);
                self.changed.notify_one();
                Ok(())
            }
            Ok(Err(error)) => Err(pause(error, patience).await),
            Err(_) => Err(pool::timed_out().into()),
        }
    }

    async fn listen(&self, node: NodeId) -> Result<Ear, sqlx::Error> {
        let Lasting {
            options,
            names,
            lease,
            ..
        } = &self.lasting;
        let mut listener = pool::listener(options, PATIENCE, *lease).await?;
        let sign = self.lasting.hold(&mut listener, names.ear(node)).await?;
        listener.listen(&names.doorbell(node)).await?;
        let now = Instant::now();
        Ok(Ear {
            _sign: sign,
            listener,
            node,
            opened_at: now,
            heard_at: now,
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
