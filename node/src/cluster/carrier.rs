//! Carries frames to the database, and again when a crash of it has lost them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ibc::{Forward, Frame, StoreError};
use tracing::{info, warn};

use super::{Cluster, outage::Witness};
use crate::{
    shutdown::{Failure, Shutdown},
    telemetry::chain,
};

/// Frames written again in one statement.
const AGAIN: usize = 512;

/// From the beginning of a commit to that of the next one, at least. What comes meanwhile goes in one
/// commit: at some thousand messages per second that is several times cheaper, and whoever sends less
/// often does not wait.
const GATHER: Duration = Duration::from_micros(500);

/// How often a node looks whether the database has crashed and lost its frames. A connection that
/// fails says so at once, but somebody else may have met it.
const LOOK: Duration = Duration::from_secs(1);

/// Commits frames until `shutdown` stops and nothing is left.
pub(super) async fn run(cluster: Arc<Cluster>, shutdown: Shutdown) {
    let outgoing = &cluster.outgoing;
    let Some(forward) = cluster.databases.forward.clone() else {
        return;
    };
    let mut table = Table::new();
    loop {
        let Some((number, frames)) = outgoing.cut() else {
            tokio::select! {
                () = outgoing.work.notified() => continue,
                () = tokio::time::sleep(table.rest()) => {
                    if let Err(error) = table.look(&cluster, &*forward).await
                        && !cluster.outage.is_on()
                    {
                        warn!(error = %chain(&error), "frames not looked after, will repeat");
                    }
                    continue;
                }
                () = shutdown.stopped() => {}
            }
            if outgoing.is_empty() {
                return;
            }
            continue;
        };
        let begun = Instant::now();
        let mut pause = Duration::from_millis(20);
        while let Err(error) = table.append(&cluster, &*forward, &frames).await {
            if matches!(error, StoreError::Fenced) {
                shutdown.fail(Failure::Fenced);
                return;
            }
            if error.is_transient() {
                cluster.outage.begin(Witness::Frames, &error);
                cluster.progress.nudge();
            } else {
                warn!(error = %chain(&error), "frames not forwarded, will repeat");
            }
            cluster.metrics.commit_retries.inc();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        cluster.outage.end(Witness::Frames);
        cluster
            .metrics
            .frames_sent
            .inc_by(u64::try_from(frames.len()).unwrap_or(0));
        cluster.progress.set_forwarded(number);
        let rest = GATHER.saturating_sub(begun.elapsed());
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}

/// The table of frames, as far as this node knows it.
struct Table {
    /// See [`Forward::life`].
    life: Option<i64>,
    looked: Instant,
    /// A call has failed: perhaps the database has crashed.
    is_suspect: bool,
}

impl Table {
    fn new() -> Self {
        Self {
            life: None,
            looked: Instant::now(),
            is_suspect: true,
        }
    }

    /// How long it may go on without a look.
    fn rest(&self) -> Duration {
        LOOK.saturating_sub(self.looked.elapsed())
    }

    async fn append(
        &mut self,
        cluster: &Cluster,
        forward: &dyn Forward,
        frames: &[Frame],
    ) -> Result<(), StoreError> {
        if self.is_suspect || self.rest().is_zero() {
            self.look(cluster, forward).await?;
        }
        let result = forward.append(cluster.node, frames).await;
        self.is_suspect = result.is_err();
        result
    }

    /// Writes what was lost again, before anything new.
    async fn look(&mut self, cluster: &Cluster, forward: &dyn Forward) -> Result<(), StoreError> {
        self.is_suspect = true;
        self.looked = Instant::now();
        let life = forward.life().await?;
        if self.life.is_some_and(|known| known != life) {
            let frames = cluster.outgoing.again();
            info!(
                frames = frames.len(),
                "the database has crashed, frames are written again"
            );
            for part in frames.chunks(AGAIN) {
                forward.append(cluster.node, part).await?;
            }
        }
        self.life = Some(life);
        self.is_suspect = false;
        Ok(())
    }
}
