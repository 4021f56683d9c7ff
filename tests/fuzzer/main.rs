//! Attacks running nodes over their sockets while well-behaved clients exchange messages.
//!
//! `causeway-fuzzer [--seconds N] [--nodes N] [--seed N] [--attack NAME]...`: attacks one node on
//! SQLite, or several on Postgres, for that long; with the seed and the attacks that an earlier run
//! has printed, or new ones. Fails if a well-behaved client missed anything, or if a node panicked,
//! took more memory than its settings allow, or kept a connection or a file.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for tests"
)]

mod attack;
mod bed;
mod calm;
mod random;
mod raw;
mod watch;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::{
    attack::{Attacker, Ground, HEAVY, NAMES},
    bed::{Bed, MAXIMUM_PACKET_SIZE},
    calm::{Pair, Report},
    random::Random,
};

/// Attackers at the same time.
const ATTACKERS: u64 = 6;

/// What was asked for.
struct Arguments {
    seconds: u64,
    nodes: usize,
    seed: u64,
    attacks: Vec<&'static str>,
}

impl Arguments {
    fn read() -> anyhow::Result<Self> {
        let mut read = Self {
            seconds: 30,
            nodes: 1,
            seed: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)?
                .subsec_nanos()
                .into(),
            attacks: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} what?"))?;
            match word.as_str() {
                "--seconds" => read.seconds = value.parse().context("--seconds")?,
                "--nodes" => read.nodes = value.parse().context("--nodes")?,
                "--seed" => read.seed = value.parse().context("--seed")?,
                "--attack" => {
                    let known = NAMES.into_iter().find(|name| *name == value);
                    let known = known.with_context(|| format!("no attack {value}: {NAMES:?}"))?;
                    read.attacks.push(known);
                }
                _ => bail!("unknown argument {word}"),
            }
        }
        Ok(read)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    println!(
        "{} node(s), {} s, seed {}",
        arguments.nodes, arguments.seconds, arguments.seed
    );
    let mut bed = Bed::start(arguments.nodes).await;
    bed.remember()?;
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut random = Random::new(arguments.seed);

    let mut calm = JoinSet::new();
    for pair in Pair::all(&bed.addresses(), random.next()) {
        calm.spawn(calm::exchange(pair, deadline));
    }
    let ground = Arc::new(Ground {
        nodes: bed.addresses(),
        heavy: Semaphore::new(HEAVY),
        deadline,
        maximum_packet_size: MAXIMUM_PACKET_SIZE,
    });
    let attackers = (0..ATTACKERS).map(|_| Attacker::new(random.next(), Arc::clone(&ground)));
    let attackers = apart(attackers.collect(), arguments.attacks.clone());

    let mut faults = Vec::new();
    let mut reports = Vec::new();
    while let Some(ended) = calm.join_next().await {
        match ended {
            Ok(Ok(report)) => reports.push(report),
            Ok(Err(error)) => faults.push(format!("{error:#}")),
            Err(error) => faults.push(format!("a well-behaved client failed: {error}")),
        }
    }
    let attackers = tokio::task::spawn_blocking(move || attackers.join()).await?;
    let history = match attackers {
        Ok(Ok(history)) => history,
        Ok(Err(error)) => bail!("an attacker failed: {error:#}"),
        Err(_) => bail!("the thread of the attackers panicked"),
    };
    tell(&reports, &history);
    match bed.check(HEAVY).await {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(error) => faults.push(format!("{error:#}")),
    }
    if !faults.is_empty() {
        let again = arguments
            .attacks
            .iter()
            .map(|name| format!(" --attack {name}"));
        bail!(
            "{}\nagain: --seed {} --nodes {} --seconds {}{}",
            faults.join("\n"),
            arguments.seed,
            arguments.nodes,
            arguments.seconds,
            again.collect::<String>()
        );
    }
    Ok(())
}

/// Lets the attackers work on threads of their own: what they compute must not hold up the
/// well-behaved clients. Returns what they have done.
fn apart(
    attackers: Vec<Attacker>,
    chosen: Vec<&'static str>,
) -> std::thread::JoinHandle<anyhow::Result<Vec<&'static str>>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for attacker in attackers {
                let chosen = chosen.clone();
                tasks.spawn(async move { attacker.run(&chosen).await });
            }
            let mut history = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                history.extend(ended?.history);
            }
            Ok(history)
        })
    })
}

fn tell(reports: &[Report], history: &[&str]) {
    let mut latencies: Vec<Duration> = reports
        .iter()
        .flat_map(|one| one.latencies.clone())
        .collect();
    latencies.sort_unstable();
    let quantile = |q: f64| {
        let at = (latencies.len() as f64 * q) as usize;
        latencies.get(at).copied().unwrap_or_default()
    };
    let total = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    println!(
        "well-behaved clients: {} sent, {} received; latency {:?} in the middle, {:?} for 99 of 100, {:?} at most",
        total(|report| report.sent),
        total(|report| report.received),
        quantile(0.5),
        quantile(0.99),
        latencies.last().copied().unwrap_or_default()
    );
    let counts = NAMES.map(|name| {
        let count = history.iter().filter(|one| **one == name).count();
        format!("{name} {count}")
    });
    println!("attacks: {}", counts.join(", "));
}
