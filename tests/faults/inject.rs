//! Carries the schedule out.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use history::Happened;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    clock::{HOUR_BACKWARDS, HOUR_FORWARDS, RIGHT_TIME},
    fault::{Fault, Way},
    network::Rules,
    schedule::{NODES, Planned},
    world::World,
};

/// Half of what a question and its answer take longer.
const DELAY: Duration = Duration::from_millis(250);
/// After each upgraded node; meanwhile both releases are in the cluster.
const SIDE_BY_SIDE: Duration = Duration::from_secs(2);
/// After a fault of the database or of the way to it, nodes may fail to start for so long.
const RECOVERY: Duration = Duration::from_secs(10);

/// Lets all faults happen; returns when the last one is over.
pub async fn carry_out(world: &Arc<World>, start: Instant) {
    let mut tasks = JoinSet::new();
    for planned in world.schedule.faults.clone() {
        let world = Arc::clone(world);
        tasks.spawn(async move {
            sleep_until(start + planned.at).await;
            let text = planned.fault.to_string();
            world.note(&text, true);
            if let Err(error) = inject(&world, &planned).await {
                world.findings.add(format!("{text}: {error:#}"));
            }
            world.note(&text, false);
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl World {
    /// Writes down the beginning or the end of a fault.
    fn note(&self, text: &str, begins: bool) {
        let text = text.to_owned();
        self.recorder.note("", 0, Happened::Fault { text, begins });
    }

    /// Others may declare it dead because of a fault that begins now, and it may not come back as
    /// long as it cannot reach its database.
    fn excuse(&self, node: usize, lasts: Duration) {
        let until = Instant::now() + lasts + self.schedule.lease * 2 + RECOVERY;
        self.nodes[node].may_be_fenced_until(until);
    }

    fn excuse_missing_database(&self, node: usize, lasts: Duration) {
        self.nodes[node].may_fail_until(Instant::now() + lasts + RECOVERY);
    }
}

async fn inject(world: &World, planned: &Planned) -> anyhow::Result<()> {
    let lasts = planned.lasts;
    match &planned.fault {
        Fault::Kill(nodes) => {
            for node in nodes {
                world.nodes[*node].kill(lasts);
            }
            sleep(lasts).await;
        }
        Fault::Pause(node) => {
            world.excuse(*node, lasts);
            pause(world, *node, lasts).await;
        }
        Fault::Blink(node) => pause(world, *node, lasts).await,
        Fault::Crash | Fault::Outage => take_database_away(world, planned).await?,
        Fault::Cut { node, way } => {
            world.excuse(*node, lasts);
            world.excuse_missing_database(*node, lasts);
            let rules = Rules::cut(*node, *way)?;
            sleep(lasts).await;
            drop(rules);
        }
        Fault::CutNew { node, all } => {
            world.excuse(*node, lasts);
            world.excuse_missing_database(*node, lasts);
            cut_new(*node, *all, lasts).await?;
        }
        Fault::Delay(node) => {
            world.excuse_missing_database(*node, lasts);
            let relay = world.relays[*node].as_ref().context("no relay")?;
            relay.set_delay(DELAY);
            sleep(lasts).await;
            relay.set_delay(Duration::ZERO);
        }
        Fault::Reset(node) => {
            let rules = Rules::reset(*node)?;
            sleep(lasts).await;
            drop(rules);
        }
        Fault::Clock { node, is_forwards } => {
            let clock = world.clocks[*node].as_ref().context("no clock")?;
            clock.set(if *is_forwards {
                HOUR_FORWARDS
            } else {
                HOUR_BACKWARDS
            })?;
            sleep(lasts).await;
            clock.set(RIGHT_TIME)?;
        }
        Fault::Rolling => {
            for node in &world.nodes {
                node.restart().await;
            }
        }
        Fault::Upgrade => upgrade(world).await,
    }
    Ok(())
}

async fn cut_new(node: usize, all: Duration, lasts: Duration) -> anyhow::Result<()> {
    let rules = Rules::cut(node, Way::Both)?;
    sleep(all).await;
    let new = Rules::cut_new(node)?;
    drop(rules);
    sleep(lasts.saturating_sub(all)).await;
    drop(new);
    Ok(())
}

async fn take_database_away(world: &World, planned: &Planned) -> anyhow::Result<()> {
    let lasts = planned.lasts;
    for node in 0..NODES {
        world.excuse_missing_database(node, lasts);
        if world.schedule.is_delayed_after(node, planned) {
            // The others come back to the database long before.
            world.excuse(node, lasts);
        }
    }
    world.postgres.crash().await?;
    sleep(lasts).await;
    world.postgres.start().await
}

async fn upgrade(world: &World) {
    for node in &world.nodes {
        node.upgrade();
        node.restart().await;
        sleep(SIDE_BY_SIDE).await;
    }
}

async fn pause(world: &World, node: usize, lasts: Duration) {
    let run = world.nodes[node].pause();
    sleep(lasts).await;
    world.nodes[node].resume(run);
}
