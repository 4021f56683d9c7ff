//! One seed from its beginning to its verdict.

use std::{
    fs,
    io::BufWriter,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use history::Happened;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    arguments::Arguments,
    cast::Member,
    client::{Phase, part::Habit},
    inject,
    outcome::Outcome,
    schedule::Schedule,
    world::{Places, READY, World},
};

/// How long clients may take to come (back) and to subscribe.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How long the last acknowledgements may take.
const ACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How long the last deliveries may take.
const DELIVERED: Duration = Duration::from_secs(30);
/// Nothing has come for so long: nothing is under way.
const SILENCE: Duration = Duration::from_millis(1500);
/// Longer than the longest Will Delay Interval, and some.
const WILLS: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);

/// Runs the first seed, and says what came of it.
pub async fn run(arguments: &Arguments, places: &Places) -> anyhow::Result<Outcome> {
    let seed = *arguments.seeds.first().context("no seed")?;
    let schedule = Schedule::draw(seed, &arguments.wish);
    print!("{schedule}");
    let world = World::start(schedule, places, arguments.wish.old.as_ref()).await?;
    let world = Arc::new(world);
    let members = world.let_clients_in();
    if !until(ARRIVAL, || members.iter().all(Member::is_there)).await {
        bail!("clients do not come: {}", absent(&members));
    }
    let start = Instant::now();
    inject::carry_out(&world, start).await;
    sleep_until(start + world.schedule.load).await;
    settle(&world, &members).await;
    let _ = world.phase.send(Phase::End);
    sleep(LOOK).await; // whoever is just writing something down
    world.recorder.note("", 0, Happened::Settled);
    let history = world.recorder.history();
    for node in &world.nodes {
        node.end();
    }
    let outcome = Outcome::judge(&world, &history);
    if arguments.keep || !outcome.is_innocent {
        let file = fs::File::create(places.folder.join("history")).context("history")?;
        history.write(BufWriter::new(file)).context("history")?;
        fs::write(places.folder.join("nginx.log"), world.nginx.output()).context("nginx.log")?;
    }
    let _ = world.postgres.crash().await;
    Ok(outcome)
}

/// Waits until all is as it should be for good; what never gets so is a finding.
async fn settle(world: &World, members: &[Member]) {
    for node in &world.nodes {
        if !node.ready(READY).await {
            let name = crate::fault::name(node.index);
            world.findings.add(format!(
                "node {name} is not ready {READY:?} after the last fault"
            ));
        }
    }
    let _ = world.phase.send(Phase::Settle);
    let begun = Instant::now();
    if !until(ARRIVAL, || members.iter().all(Member::is_there)).await {
        world.findings.add(format!(
            "clients do not come back within {ARRIVAL:?}: {}",
            absent(members)
        ));
    }
    let is_acknowledged = || members.iter().all(|member| member.unacknowledged() == 0);
    if !until(ACKNOWLEDGED, is_acknowledged).await {
        world.findings.add(format!(
            "stuck for {ACKNOWLEDGED:?}: {}",
            unacknowledged(members)
        ));
    }
    sleep_until(begun + world.schedule.lease + WILLS).await;
    await_deliveries(world).await;
}

/// Waits until nothing comes any more and no queue holds anything.
async fn await_deliveries(world: &World) {
    let deadline = Instant::now() + DELIVERED;
    loop {
        let queues = match world.postgres.queues().await {
            Ok(queues) => queues,
            Err(error) => return world.findings.add(format!("queues: {error:#}")),
        };
        if queues.is_empty() && world.stage.silence() > SILENCE {
            return;
        }
        if Instant::now() > deadline {
            return world.findings.add(format!(
                "queues are not empty after {DELIVERED:?}, silent for {:?}: {queues:?}",
                world.stage.silence()
            ));
        }
        sleep(LOOK).await;
    }
}

async fn until(limit: Duration, is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

impl Member {
    /// Whether it is connected and has subscribed to all it wants. Probes come and go.
    fn is_there(&self) -> bool {
        let comes_and_goes = matches!(self.part.habit, Habit::Probe | Habit::Mortal);
        comes_and_goes
            || (self.status.is_connected.load(Ordering::SeqCst)
                && self.status.is_subscribed.load(Ordering::SeqCst))
    }

    fn unacknowledged(&self) -> usize {
        self.status.unacknowledged.load(Ordering::SeqCst)
    }
}

fn absent(members: &[Member]) -> String {
    let absent = members.iter().filter(|member| !member.is_there());
    let names: Vec<&str> = absent.map(|one| one.part.client_id.as_str()).collect();
    names.join(", ")
}

fn unacknowledged(members: &[Member]) -> String {
    let stuck = members.iter().filter(|member| member.unacknowledged() > 0);
    let texts: Vec<String> = stuck
        .map(|one| format!("{} waits for {}", one.part.client_id, one.unacknowledged()))
        .collect();
    texts.join(", ")
}
