//! `causeway-bench cluster`: what crossing the cluster adds to one node, in one run, and how quickly the clients of
//! a dead node are back.
//!
//! Starts a private Postgres and three nodes, puts load on them, and prints a JSON line per round
//! and a table of medians. Everything it starts ends with it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    bed::{Bed, Place},
    generator,
    report::Report,
    scenario,
};

/// Ten thousand sessions, and what else is open.
const FILES: u64 = 11_000;

/// Puts load on three nodes around a private Postgres: crossing them beside one node, nodes that die, queues that fill
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The program under test [default: CAUSEWAY_BIN, or causeway beside this program].
    #[arg(long)]
    pub(crate) broker: Option<PathBuf>,
    /// Scenarios to run.
    #[arg(long, value_delimiter = ',', default_values_t = Scenario::ALL)]
    pub(crate) only: Vec<Scenario>,
    /// Where to measure, one after the other in each round.
    #[arg(long, value_delimiter = ',', default_values_t = Place::ALL)]
    pub(crate) places: Vec<Place>,
    /// Rounds per scenario, of which the table holds the medians.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Seconds measured per round, after one second of warm-up.
    #[arg(long, default_value_t = 8)]
    pub(crate) seconds: u64,
    /// Messages per second of the scenarios latency and failover, and of the second half of tls.
    #[arg(long, default_value_t = 1000)]
    pub(crate) rate: u32,
    /// Messages under way at full speed with QoS 0.
    #[arg(long, default_value_t = 8000)]
    pub(crate) window: u64,
    /// Clients of the reconnect storm.
    #[arg(long, default_value_t = 1000)]
    pub(crate) clients: u32,
    /// Sessions of the scenario drain.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sessions: u32,
    /// Messages that wait for each of them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queued: u32,
    /// Sessions that get the same messages.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) share: u32,
    /// Times that a node is killed in the scenario failover, for each lease.
    #[arg(long, default_value_t = 10)]
    pub(crate) kills: u32,
    /// Leases of the scenario failover, in seconds.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 2])]
    pub(crate) leases: Vec<u64>,
    /// KEY=VALUE for each node; may be repeated.
    #[arg(long)]
    pub(crate) set: Vec<String>,
    /// KEY=VALUE for Postgres, which has its own defaults otherwise; may be repeated.
    #[arg(long)]
    pub(crate) postgres_set: Vec<String>,
    /// Seconds to wait before each scenario, for profilers.
    #[arg(long, default_value_t = 0)]
    pub(crate) pause: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Idle,
    Latency,
    Throughput,
    Tls,
    Durable,
    Storm,
    Fanout,
    Drain,
    Failover,
}

impl Scenario {
    const ALL: [Self; 9] = [
        Self::Idle,
        Self::Latency,
        Self::Throughput,
        Self::Tls,
        Self::Durable,
        Self::Storm,
        Self::Fanout,
        Self::Drain,
        Self::Failover,
    ];
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Tls => "tls",
            Self::Durable => "durable",
            Self::Storm => "storm",
            Self::Fanout => "fanout",
            Self::Drain => "drain",
            Self::Failover => "failover",
        })
    }
}

/// Runs it.
///
/// # Errors
///
/// If a server does not start, or a scenario cannot be run.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    generator::allow_files(FILES)?;
    let mut bed = Bed::start(arguments)?;
    let mut report = Report::default();
    for scenario in &arguments.only {
        report.progress(&format!(
            "{scenario}: nodes {:?}, {}",
            bed.processes(),
            bed.database_url()
        ));
        std::thread::sleep(Duration::from_secs(arguments.pause));
        match scenario {
            Scenario::Idle => scenario::idle(&bed, &mut report)?,
            Scenario::Latency => scenario::latency(&mut bed, arguments, &mut report)?,
            Scenario::Throughput => scenario::throughput(&mut bed, arguments, &mut report)?,
            Scenario::Tls => scenario::tls(&mut bed, arguments, &mut report)?,
            Scenario::Durable => scenario::durable(&mut bed, arguments, &mut report)?,
            Scenario::Storm => scenario::storm(&mut bed, arguments, &mut report)?,
            Scenario::Fanout => scenario::fanout(&mut bed, arguments, &mut report)?,
            Scenario::Drain => scenario::drain(&mut bed, arguments, &mut report)?,
            Scenario::Failover => scenario::failover(&mut bed, arguments, &mut report)?,
        }
    }
    report.finish()
}
