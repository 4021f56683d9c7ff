//! The signs of life of this node: its two lasting connections, that of [presence](super::presence) and
//! the [doorbell](super::doorbell). Others may declare it dead when it has neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgExecutor;
use sqlx::postgres::PgConnectOptions;

use super::locks::{self, LockKey, Names};

/// What both connections have in common.
#[derive(Clone)]
pub(super) struct Lasting {
    pub(super) options: PgConnectOptions,
    pub(super) names: Names,
    pub(super) signs: Signs,
    pub(super) lease: Duration,
}

impl Lasting {
    /// Takes the lock `key` for as long as the connection `c` lives.
    pub(super) async fn hold<'c>(
        &self,
        c: impl PgExecutor<'c>,
        key: LockKey,
    ) -> Result<Sign, sqlx::Error> {
        locks::hold(c, key).await?;
        Ok(Sign(self.signs.clone()))
    }
}

/// What this node knows of its own.
#[derive(Debug, Default, Clone)]
pub(super) struct Signs {
    /// One was lost, perhaps the last, and since then the lease has not been renewed.
    is_lapsed: Arc<AtomicBool>,
}

/// One of them. To be dropped before the connection: whoever finds its lock free looks again some time
/// later, and by then this node has stopped to act.
#[derive(Debug)]
pub(super) struct Sign(Signs);

impl Signs {
    /// The lease was renewed, on a connection that is a sign itself.
    pub(super) fn renewed(&self) {
        self.is_lapsed.store(false, Ordering::SeqCst);
    }

    /// See [`Store::is_lapsed`](crate::Store::is_lapsed).
    pub(super) fn is_lapsed(&self) -> bool {
        self.is_lapsed.load(Ordering::Relaxed)
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // The other one may be gone, too, without our knowledge.
        self.0.is_lapsed.store(true, Ordering::SeqCst);
    }
}
