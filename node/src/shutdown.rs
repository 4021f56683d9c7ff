//! Who runs, and how everything stops.
//!
//! Owns every task of the process: the only place that spawns. Stopping has two steps: `drain`
//! tells rooms to let clients go, `stop` ends the tasks that served them.

use std::{future::Future, sync::Arc};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks and tells them when to end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<Failed>,
}

/// Why a node cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The others let its clients go, because its lease had run out or its connections to the database
    /// were lost. It may join again, as a new incarnation (guarantee G8).
    #[error(
        "this node was declared dead by the cluster, because its lease ran out or its connections to the database were lost"
    )]
    Fenced,
    /// Anything else; the text says what.
    #[error("{0}")]
    Broken(String),
}

#[derive(Debug, Default)]
struct Failed {
    why: std::sync::Mutex<Option<Failure>>,
    happened: Notify,
}

impl Shutdown {
    /// Runs `task` in the background until it ends; it must watch [`Shutdown::stopped`] itself
    /// if it would not end otherwise.
    #[expect(clippy::disallowed_methods, reason = "this is the door for spawning")]
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.tasks.track_future(task));
    }

    /// Runs `work` on a thread where it may block or compute for long. None if it panicked, or the
    /// process ends. It goes on when the future is dropped.
    pub async fn compute<T, F>(&self, work: F) -> Option<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tasks
            .track_future(tokio::task::spawn_blocking(work))
            .await
            .ok()
    }

    /// Asks all rooms to let clients go.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether clients are being let go.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Returns when clients are to be let go. Cancel safe.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Ends the background tasks.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Returns when background tasks are to end. Cancel safe.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until every task has ended.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The node cannot go on. Only the first reason counts.
    pub fn fail(&self, why: Failure) {
        if let Ok(mut slot) = self.failed.why.lock() {
            slot.get_or_insert(why);
        }
        self.failed.happened.notify_one();
    }

    /// Returns the reason of [`Shutdown::fail`] once it was called. Cancel safe.
    pub async fn failed(&self) -> Failure {
        loop {
            if let Ok(mut slot) = self.failed.why.lock()
                && let Some(why) = slot.take()
            {
                return why;
            }
            self.failed.happened.notified().await;
        }
    }
}
