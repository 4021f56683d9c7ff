//! The load scenarios of Causeway: what crossing the cluster adds to one node, in one run.
//!
//! Starts a private Postgres and three nodes, puts load on them with packets made by hand,
//! and prints a JSON line per round and a table of medians. Everything it starts ends with
//! it. It knows MQTT 3.1.1 only, and no more of a node than its command line.

mod bed;
mod census;
mod client;
mod connection;
mod cpu;
mod drain;
mod failover;
mod growth;
mod histogram;
mod load;
mod memory;
mod node;
mod packet;
mod peer;
mod postgres;
mod process;
mod publisher;
mod report;
mod scenario;
mod scratch;
mod storm;
mod subscriber;
mod tunnel;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use crate::{
    bed::{Bed, Place},
    report::Report,
};

/// Puts load on three nodes around a private Postgres and compares crossing them with one node.
#[derive(Debug, Parser)]
#[command(name = "causeway-bench")]
struct Arguments {
    /// The program under test [default: CAUSEWAY_BIN, or causeway beside this program].
    #[arg(long)]
    broker: Option<PathBuf>,
    /// Scenarios to run.
    #[arg(long, value_delimiter = ',', default_values_t = Scenario::ALL)]
    only: Vec<Scenario>,
    /// Where to measure, one after the other in each round.
    #[arg(long, value_delimiter = ',', default_values_t = Place::ALL)]
    places: Vec<Place>,
    /// Rounds per scenario, of which the table holds the medians.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds measured per round, after one second of warm-up.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Messages per second of the scenarios latency and failover, and of the second half of tls.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Messages under way at full speed with QoS 0.
    #[arg(long, default_value_t = 8000)]
    window: u64,
    /// Clients of the reconnect storm.
    #[arg(long, default_value_t = 1000)]
    clients: u32,
    /// Sessions of the scenario drain.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
    /// Messages that wait for each of them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    queued: u32,
    /// Sessions that get the same messages.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    share: u32,
    /// Times that a node is killed in the scenario failover, for each lease.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// Leases of the scenario failover, in seconds.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 2])]
    leases: Vec<u64>,
    /// KEY=VALUE for each node; may be repeated.
    #[arg(long)]
    set: Vec<String>,
    /// KEY=VALUE for Postgres, which has its own defaults otherwise; may be repeated.
    #[arg(long)]
    postgres_set: Vec<String>,
    /// Seconds to wait before each scenario, for profilers.
    #[arg(long, default_value_t = 0)]
    pause: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Growth(growth::Arguments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
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

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Growth(growth)) = &arguments.command {
        let mut report = Report::default();
        growth::run(growth, &mut report)?;
        return report.finish();
    }
    let mut bed = Bed::start(&arguments)?;
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
            Scenario::Latency => scenario::latency(&mut bed, &arguments, &mut report)?,
            Scenario::Throughput => scenario::throughput(&mut bed, &arguments, &mut report)?,
            Scenario::Tls => scenario::tls(&mut bed, &arguments, &mut report)?,
            Scenario::Durable => scenario::durable(&mut bed, &arguments, &mut report)?,
            Scenario::Storm => scenario::storm(&mut bed, &arguments, &mut report)?,
            Scenario::Fanout => scenario::fanout(&mut bed, &arguments, &mut report)?,
            Scenario::Drain => scenario::drain(&mut bed, &arguments, &mut report)?,
            Scenario::Failover => scenario::failover(&mut bed, &arguments, &mut report)?,
        }
    }
    report.finish()
}
