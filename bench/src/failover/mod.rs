//! What the clients of a killed node notice of it, while others go on publishing.
//!
//! Subscribers of the first node, half of them with a session that outlives its connection,
//! reconnect to the second as soon as their connection breaks, and every 50 ms while they are not
//! taken. Others of the first node have wills and do not come back. Publishers and the one who
//! watches for wills are at the third.

mod publisher;
mod subscriber;
mod wills;

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use self::subscriber::Progress;
use crate::{client::Client, histogram::Histogram, packet};

/// Topics, each with its publisher, that the subscribers share.
const TOPICS: u32 = 10;
/// How long all may take to have their first message, and then to have all of them.
const LIMIT: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Makes names and topics unique.
    pub(crate) run: u32,
    pub(crate) clients: u32,
    /// Further clients, which have wills.
    pub(crate) wills: u32,
    /// Messages per second of all publishers together.
    pub(crate) rate: u32,
    pub(crate) payload_bytes: usize,
    /// Dies.
    pub(crate) first: SocketAddr,
    /// Where its clients go.
    pub(crate) second: SocketAddr,
    pub(crate) third: SocketAddr,
    /// How long all is well before the kill.
    pub(crate) settle: Duration,
}

/// Times since the kill.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) connack: Histogram,
    /// The first message, per client.
    pub(crate) persistent: Histogram,
    pub(crate) clean: Histogram,
    /// Wills at the watcher.
    pub(crate) wills: Histogram,
    /// From when a message after the kill was due until its PUBACK.
    pub(crate) puback: Histogram,
    /// Clients without a message within half a minute.
    pub(crate) silent: u64,
    pub(crate) wills_missing: u64,
    pub(crate) wills_repeated: u64,
    /// Acknowledged, and not there at a persistent session.
    pub(crate) lost: u64,
    /// There again. Those in flight at the kill may be.
    pub(crate) repeated: u64,
    pub(crate) unacknowledged: u64,
    /// Attempts to connect that failed.
    pub(crate) attempts: u64,
}

impl Outcome {
    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.connack.merge(&other.connack);
        self.persistent.merge(&other.persistent);
        self.clean.merge(&other.clean);
        self.wills.merge(&other.wills);
        self.puback.merge(&other.puback);
        self.silent += other.silent;
        self.wills_missing += other.wills_missing;
        self.wills_repeated += other.wills_repeated;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.unacknowledged += other.unacknowledged;
        self.attempts += other.attempts;
    }

    /// The first message of clients of both kinds.
    pub(crate) fn first(&self) -> Histogram {
        let mut first = self.persistent.clone();
        first.merge(&self.clean);
        first
    }

    fn add_subscriber(&mut self, progress: &Progress) {
        if let Some(connack) = progress.connack {
            self.connack.add(connack);
        }
        match (progress.first, progress.persistent) {
            (None, _) => self.silent += 1,
            (Some(first), true) => self.persistent.add(first),
            (Some(first), false) => self.clean.add(first),
        }
        if progress.persistent {
            self.repeated += progress.repeated;
        }
        self.attempts += progress.attempts;
    }
}

/// What goes on. Each phase is reached once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Publish,
    /// Publishers wait for their acknowledgements.
    Settle,
    End,
}

/// What all tasks of a run know.
#[derive(Debug, Default)]
struct Shared {
    killed: OnceLock<Instant>,
    /// Clients that have had their first message, and wills that came.
    back: AtomicU64,
    wills: AtomicU64,
    /// Acknowledged messages times the persistent sessions that must get them; and what those got.
    owed: AtomicU64,
    arrived: AtomicU64,
    unacknowledged: AtomicU64,
}

impl Shared {
    /// Nanoseconds since the kill; `None` before it.
    fn since_kill(&self) -> Option<u64> {
        let killed = self.killed.get()?;
        Some(killed.elapsed().as_nanos() as u64)
    }

    fn is_all_back(&self, plan: &Plan) -> bool {
        self.back.load(Relaxed) >= u64::from(plan.clients)
            && self.wills.load(Relaxed) >= u64::from(plan.wills)
    }

    fn is_settled(&self) -> bool {
        self.unacknowledged.load(Relaxed) == 0 && self.missing() == 0
    }

    fn missing(&self) -> u64 {
        let owed = self.owed.load(Relaxed);
        owed.saturating_sub(self.arrived.load(Relaxed))
    }
}

impl Plan {
    fn topic(&self, topic: u32) -> String {
        format!("failover/{}/{topic}", self.run)
    }

    fn will_topic(&self, will: impl Display) -> String {
        format!("failover/{}/will/{will}", self.run)
    }

    fn client_id(&self, kind: &str, number: u32) -> String {
        format!("failover-{}-{kind}-{number}", self.run)
    }
}

/// Every second client has a session that outlives its connection.
fn is_persistent(number: u32) -> bool {
    number.is_multiple_of(2)
}

/// The topic of a subscriber. Each has as many persistent as other subscribers.
fn topic_of(number: u32) -> u32 {
    number / 2 % TOPICS
}

/// Runs `plan`; `kill` ends the first node and returns when it is gone.
///
/// # Errors
///
/// If a client cannot connect before the kill, or the third node sends one away.
pub(crate) async fn run(plan: Plan, kill: impl FnOnce()) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared::default());
    let (phase, phases) = watch::channel(Phase::Publish);
    let mut subscribers = JoinSet::new();
    for number in 0..plan.clients {
        let client = subscriber::join(&plan, number).await?;
        let (shared, phases) = (Arc::clone(&shared), phases.clone());
        subscribers.spawn(subscriber::run(plan, number, client, (shared, phases)));
    }
    let watcher = wills::watch(&plan).await?;
    let mut watchers = JoinSet::new();
    watchers.spawn(wills::run(watcher, Arc::clone(&shared), phases.clone()));
    let departed = wills::leave(&plan).await?;
    let mut publishers = JoinSet::new();
    for topic in 0..TOPICS {
        let work = publisher::run(plan, topic, Arc::clone(&shared), phases.clone());
        publishers.spawn(work);
    }

    sleep(plan.settle).await;
    let _ = shared.killed.set(Instant::now()); // nobody else sets it
    kill();
    until(LIMIT, || shared.is_all_back(&plan)).await;
    phase.send_replace(Phase::Settle);
    until(SETTLE, || shared.is_settled()).await;
    phase.send_replace(Phase::End);

    let mut outcome = Outcome {
        lost: shared.missing(),
        unacknowledged: shared.unacknowledged.load(Relaxed),
        ..Outcome::default()
    };
    while let Some(publisher) = publishers.join_next().await {
        outcome.puback.merge(&publisher?.context("publisher")?);
    }
    while let Some(subscriber) = subscribers.join_next().await {
        outcome.add_subscriber(&subscriber?);
    }
    while let Some(watcher) = watchers.join_next().await {
        let seen = watcher?.context("watcher")?;
        outcome.wills_missing += u64::from(plan.wills) - seen.numbers.len() as u64;
        outcome.wills_repeated += seen.repeated;
        outcome.wills.merge(&seen.times);
    }
    drop(departed);
    forget(&plan).await?;
    Ok(outcome)
}

/// Waits until `done`, or for `limit`.
async fn until(limit: Duration, done: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Ends what outlived its connection.
async fn forget(plan: &Plan) -> anyhow::Result<()> {
    for (kind, count) in [("subscriber", plan.clients), ("will", plan.wills)] {
        for number in (0..count).filter(|number| is_persistent(*number)) {
            let connect = packet::connect(&plan.client_id(kind, number), true);
            Client::open(plan.second, &connect).await?.close().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_as_many_persistent_subscribers_as_others() {
        for topic in 0..TOPICS {
            let all: Vec<u32> = (0..60)
                .filter(|number| topic_of(*number) == topic)
                .collect();
            let persistent = all.iter().filter(|number| is_persistent(**number)).count();
            assert_eq!((all.len(), persistent), (6, 3));
        }
    }

    #[test]
    fn a_merged_outcome_has_all_of_both() {
        let mut all = Outcome::default();
        for (first, persistent) in [
            (Some(1_000_000), true),
            (Some(3_000_000), false),
            (None, true),
        ] {
            let mut one = Outcome::default();
            let mut progress = Progress::new(persistent);
            (progress.first, progress.repeated) = (first, 2);
            one.add_subscriber(&progress);
            all.merge(&one);
        }
        // What a clean session gets again after a reconnect is a new message.
        assert_eq!((all.silent, all.repeated), (1, 4));
        assert!((all.first().quantile_ms(1.0) - 3.0).abs() < 0.1);
        assert!((all.persistent.quantile_ms(1.0) - 1.0).abs() < 0.1);
    }
}
