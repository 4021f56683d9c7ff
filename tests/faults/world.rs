//! Everything that one seed happens to: Postgres, three nodes, nginx and the clients.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::ensure;
use harness::Nginx;
use history::Recorder;
use tokio::{sync::watch, time::Instant};

use crate::{
    cast::{self, Member},
    client::{Phase, Stage},
    clock::Clock,
    fault::name,
    findings::Findings,
    network,
    node::{Node, Setup},
    postgres::Postgres,
    random::Random,
    relay::Relay,
    schedule::{NODES, Schedule},
};

/// How long the cluster may take to get ready.
pub const READY: Duration = Duration::from_secs(45);

/// Where a world finds what it needs, and puts what it leaves.
#[derive(Debug, Clone)]
pub struct Places {
    /// The program under test.
    pub binary: PathBuf,
    /// An empty database cluster, to be copied.
    pub template: PathBuf,
    /// For the database.
    pub scratch: PathBuf,
    /// For logs, and for the history if something was found.
    pub folder: PathBuf,
}

/// A world.
#[derive(Debug)]
pub struct World {
    pub schedule: Schedule,
    pub recorder: Recorder,
    pub findings: Findings,
    pub postgres: Postgres,
    pub nodes: Vec<Arc<Node>>,
    pub relays: Vec<Option<Relay>>,
    /// Those that are to be moved.
    pub clocks: Vec<Option<Clock>>,
    pub nginx: Nginx,
    pub stage: Arc<Stage>,
    pub phase: watch::Sender<Phase>,
}

impl World {
    /// Starts everything but the clients; the nodes with the `old` program if there is one.
    pub async fn start(
        schedule: Schedule,
        places: &Places,
        old: Option<&PathBuf>,
    ) -> anyhow::Result<Self> {
        network::bring_up()?;
        let findings = Findings::default();
        let log = places.folder.join("postgres.log");
        let postgres = Postgres::new(&places.template, &places.scratch, log)?;
        postgres.start().await?;
        let start = Start {
            schedule: &schedule,
            places,
            old,
            findings: &findings,
        };
        let (mut nodes, mut relays, mut clocks) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..NODES {
            let (node, relay, clock) = start.node(index).await?;
            nodes.push(node);
            relays.push(relay);
            clocks.push(clock);
        }
        for node in &nodes {
            ensure!(
                node.ready(READY).await,
                "the cluster does not start: {:?}",
                findings.all()
            );
        }
        let fronted: Vec<_> = (0..NODES).map(network::balanced).collect();
        let nginx = Nginx::start(&fronted).await;
        let recorder = Recorder::default();
        let (phase, phase_receiver) = watch::channel(Phase::Load);
        let stage = Arc::new(Stage {
            recorder: recorder.clone(),
            findings: findings.clone(),
            phase: phase_receiver,
            front: nginx.address(),
            start: Instant::now(),
            last_delivery: AtomicU64::new(0),
            takeovers: AtomicU64::new(0),
        });
        Ok(Self {
            schedule,
            recorder,
            findings,
            postgres,
            nodes,
            relays,
            clocks,
            nginx,
            stage,
            phase,
        })
    }

    /// Lets the clients in.
    pub fn let_clients_in(&self) -> Vec<Member> {
        let random = Random::new(self.schedule.seed).branch(1000);
        cast::enter(&self.stage, &random)
    }
}

/// What nodes are started with.
struct Start<'a> {
    schedule: &'a Schedule,
    places: &'a Places,
    old: Option<&'a PathBuf>,
    findings: &'a Findings,
}

impl Start<'_> {
    /// Starts node `index`, with its relay and its clock if it will need them.
    async fn node(
        &self,
        index: usize,
    ) -> anyhow::Result<(Arc<Node>, Option<Relay>, Option<Clock>)> {
        let relay = relay_of(self.schedule, index).await?;
        let clock = clock_of(self.schedule, index, &self.places.folder)?;
        let database = match relay {
            Some(_) => network::relay(index),
            None => network::postgres(index),
        };
        let setup = Setup {
            binary: self.places.binary.clone(),
            old: self.old.cloned(),
            folder: self.places.folder.clone(),
            database_url: format!("postgres://postgres@{database}/postgres"),
            lease: self.schedule.lease,
            clock: clock.clone(),
        };
        let random = Random::new(self.schedule.seed).branch(100 + index as u64);
        let node = Node::start(index, setup, self.findings.clone(), random);
        Ok((node, relay, clock))
    }
}

async fn relay_of(schedule: &Schedule, node: usize) -> anyhow::Result<Option<Relay>> {
    if !schedule.is_delayed(node) {
        return Ok(None);
    }
    let relay = Relay::start(network::relay(node), network::postgres(node)).await?;
    Ok(Some(relay))
}

fn clock_of(schedule: &Schedule, node: usize, folder: &Path) -> anyhow::Result<Option<Clock>> {
    let file = folder.join(format!("clock-{}", name(node)));
    let is_moved = schedule.is_clock_moved(node);
    is_moved.then(|| Clock::new(file)).transpose()
}
