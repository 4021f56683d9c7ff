//! `causeway-bench compare`: every scenario on mosquitto, one node and a cluster, in turn.

mod page;
mod plot;
mod results;
mod subject;
mod tables;
mod targets;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;

use self::{
    results::Results,
    subject::{Stable, Subject},
};
use crate::{
    any_broker::seconds,
    catalogue::{Scale, Scenario},
    generator, report,
};

/// Idle connections, and what else is open.
const FILES: u64 = 17_500;

/// Starts mosquitto, one node and a cluster in turn, runs every scenario on each, and prints tables
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Scenarios to run, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', ignore_case = true, default_values_t = Scenario::ALL, hide_default_value = true)]
    pub(crate) only: Vec<Scenario>,
    /// What to measure, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = Subject::ALL)]
    pub(crate) brokers: Vec<Subject>,
    /// Rounds; each runs each scenario on each broker, in turning order, and the tables hold medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) rounds: u32,
    /// Seconds measured per run; half of it in T, H and N
    #[arg(long, default_value_t = 8.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seconds of load before
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) warm_up: f64,
    /// Connections of C1, 1 to 1000000
    #[arg(long, default_value_t = 17_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// One short round of everything but N8, in less than three minutes
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "warm_up", "connections"])]
    pub(crate) quick: bool,
    /// Add the runs in this file, printed by an earlier compare; with --rounds 0 nothing else is measured
    #[arg(long, value_name = "FILE")]
    pub(crate) add: Vec<PathBuf>,
    /// Write benchmark.md and benchmark.svg into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) write: Option<PathBuf>,
    /// What was measured, as in "commit 0a1b2c3": a line on the page
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// The program causeway [default: CAUSEWAY_BIN, or causeway beside this program]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) causeway: Option<PathBuf>,
    /// KEY=VALUE for each node; may be repeated
    #[arg(long)]
    pub(crate) set: Vec<String>,
    /// KEY=VALUE for Postgres, which has its own defaults otherwise; may be repeated
    #[arg(long)]
    pub(crate) postgres_set: Vec<String>,
}

impl Arguments {
    fn scale(&self) -> Scale {
        let seconds = Duration::from_secs_f64;
        match self.quick {
            true => Scale {
                warm_up: seconds(0.5),
                measured: seconds(1.2),
                connections: 4000,
                topics: 20_000,
                settle: seconds(0.3),
                hold: seconds(1.5),
                rest: seconds(5.0),
            },
            false => Scale {
                warm_up: seconds(self.warm_up),
                measured: seconds(self.seconds),
                connections: self.connections as usize,
                topics: 50_000,
                settle: seconds(2.0),
                hold: seconds(3.0),
                rest: seconds(5.0),
            },
        }
    }

    fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Measures and prints: a JSON line for each run, then the tables.
    ///
    /// # Errors
    ///
    /// If a broker does not start, or a load could not be put on it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        generator::allow_files(FILES.max(u64::from(self.connections) + 500))?;
        let mut stable = Stable::new(self)?;
        let mosquitto = stable.mosquitto_version();
        if mosquitto.is_none() && self.brokers.contains(&Subject::Mosquitto) {
            report::tell("mosquitto is not installed: its columns and all ratios to it are empty");
        }
        let mut results = Results::new(mosquitto);
        for path in &self.add {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            results.add_printed(&text)?;
        }
        let scale = self.scale();
        for round in 1..=self.rounds() {
            for scenario in &self.only {
                if self.quick && *scenario == Scenario::N8 {
                    continue;
                }
                for subject in self.turn(round) {
                    if subject.takes_part(*scenario) {
                        self.measure(
                            &mut stable,
                            &mut results,
                            (*scenario, subject, round),
                            &scale,
                        )?;
                    }
                }
            }
        }
        drop(stable);
        for table in tables::all(&results) {
            report::print(&format!("\n{}", report::layout(&table)))?;
        }
        if let Some(folder) = &self.write {
            self.write(folder, &results)?;
        }
        let failed = results.failures();
        anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
        Ok(())
    }

    /// The brokers, another one first in each round.
    fn turn(&self, round: u32) -> Vec<Subject> {
        let mut brokers = self.brokers.clone();
        let by = (round as usize - 1) % brokers.len().max(1);
        brokers.rotate_left(by);
        brokers
    }

    fn measure(
        &self,
        stable: &mut Stable,
        results: &mut Results,
        (scenario, subject, round): (Scenario, Subject, u32),
        scale: &Scale,
    ) -> anyhow::Result<()> {
        let what = format!("{scenario} {subject}");
        let Some(running) = stable.start(subject, scenario).context(what.clone())? else {
            return Ok(());
        };
        // What a broker does after its start is not the load's.
        let rest = if self.quick { 300 } else { 500 };
        std::thread::sleep(Duration::from_millis(rest));
        let scale = match scenario.is_by_tls() || scenario.nodes().is_some() {
            true => &scale.halved(),
            false => scale,
        };
        let load = scenario.load(scale);
        let measured = generator::in_thread(|| load.run(&running.broker));
        stable.stop(running)?;
        match measured {
            Ok(figures) => {
                let heads = [("scenario", scenario.name()), ("broker", subject.name())];
                report::print(&report::line(&heads, round, &figures))?;
                report::tell_faults(&what, &figures);
                results.add(scenario, subject, figures);
            }
            Err(error) => {
                report::tell(&format!("{what}: {error:#}"));
                results.fail(format!("{what}: {error:#}"));
            }
        }
        Ok(())
    }

    fn write(&self, folder: &std::path::Path, results: &Results) -> anyhow::Result<()> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("benchmark.svg", plot::svg(results))?;
        write("benchmark.md", page::markdown(results, self))
    }
}
