//! The signs of life of this node: its two lasting connections, that of [presence](super::presence) and
//! the [doorbell](super::doorbell). Others may declare it dead when it has neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// A connection has its lock.
    pub(super) fn give(&self) -> Sign {
        Sign(self.clone())
    }

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
