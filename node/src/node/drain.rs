//! How a node leaves: it lets nobody in, sends its clients away at a bounded rate, and hands over what is
//! left, but does not wait for the database for ever.

use std::time::Duration;

use ibc::{NodeState, event::Event};
use mqtt::ReasonCode;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Node;
use crate::{shutdown::Failure, telemetry::chain};

/// How often clients are sent away.
const TICK: Duration = Duration::from_millis(10);

impl Node {
    /// Lets all clients go at a bounded rate, writes what is left, and leaves the cluster.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the database has not taken what is left within `drain.timeout` after the last
    /// client was sent away. Its text says what is left to others.
    pub(super) async fn drain(&self) -> Result<(), Failure> {
        let rooms = &self.rooms;
        let settings = &rooms.config.drain;
        info!(
            clients = rooms.registry.len(),
            rate = settings.rate,
            "draining"
        );
        self.shutdown.drain();
        rooms.registry.seal();
        rooms.cluster.set_state(NodeState::Draining);
        // Only then is somebody sent away: whoever comes back at once is refused here, so that a load
        // balancer tries the next node.
        self.listeners.close();
        self.listeners.wait().await;
        let reason = self.reason_code();
        let mut budget = Budget::new(settings.rate);
        self.send_away(&mut budget, reason).await;
        let handed_over = timeout(settings.timeout, self.hand_over(&mut budget, reason));
        if handed_over.await.is_err() {
            return Err(self.left_behind());
        }
        info!("stopped");
        Ok(())
    }

    /// [MQTT-4.13.1-1] Elsewhere is another node, if there is one.
    fn reason_code(&self) -> ReasonCode {
        if self.rooms.cluster.outgoing.peers().is_empty() {
            ReasonCode::ServerShuttingDown
        } else {
            ReasonCode::UseAnotherServer
        }
    }

    /// Asks everybody to go, and returns when all have been asked.
    async fn send_away(&self, budget: &mut Budget, reason: ReasonCode) {
        loop {
            let most = budget.earn();
            if most > 0 && self.rooms.registry.close_some(most, reason) < most {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits until every session is in the database, and leaves the cluster.
    async fn hand_over(&self, budget: &mut Budget, reason: ReasonCode) {
        let rooms = &self.rooms;
        while rooms.registry.len() > 0 {
            // Those whose claims were under way when all others were asked.
            rooms.registry.close_some(budget.earn(), reason);
            tokio::time::sleep(TICK).await;
        }
        let cluster = &rooms.cluster;
        let ticket = cluster.durable.everything();
        let farewell = cluster.outgoing.broadcast(&Event::Buried(cluster.node));
        cluster.progress.reach(ticket.and(farewell)).await;
        self.shutdown.stop();
        self.shutdown.finished().await;
        if let Err(error) = cluster.databases.store.leave(cluster.node).await {
            warn!(error = %chain(&error), "membership not ended, the lease will run out");
        }
    }

    fn left_behind(&self) -> Failure {
        let rooms = &self.rooms;
        let successor = if rooms.cluster.databases.forward.is_some() {
            "other nodes can have them when the lease of this one has run out"
        } else {
            "this node has them when it starts again"
        };
        Failure::Broken(format!(
            "drain.timeout ({:?}) is over and the database has not taken everything; sessions not released: {}; \
             {successor}; nothing that was acknowledged for a stored session is lost",
            rooms.config.drain.timeout,
            rooms.registry.len(),
        ))
    }
}

/// How many may be sent away.
struct Budget {
    per_tick: f64,
    left: f64,
}

impl Budget {
    fn new(rate: u32) -> Self {
        Self {
            per_tick: f64::from(rate) * TICK.as_secs_f64(),
            left: 0.0,
        }
    }

    /// How many may go in this tick. What one tick does not use is lost, and one that comes late is not
    /// larger: nowhere do they leave faster than at the rate.
    fn earn(&mut self) -> usize {
        let sum = self.left + self.per_tick;
        self.left = sum.fract();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 10 001"
        )]
        {
            sum as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_below_the_ticks_and_one_above_are_kept() {
        for (rate, ticks, expected) in [
            (1, 250, 2),
            (7, 100, 7),
            (250, 100, 250),
            (1_000_000, 3, 30_000),
        ] {
            let mut budget = Budget::new(rate);
            // A little early: sums of fractions are not exact.
            let sum: usize = (0..=ticks).map(|_| budget.earn()).sum();
            let per_tick = budget.per_tick.ceil() as usize;
            assert!(
                (expected..=expected + per_tick).contains(&sum),
                "{rate}: {sum}"
            );
        }
    }
}
