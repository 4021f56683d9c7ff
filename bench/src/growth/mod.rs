//! Growth: what a node costs when there is much of everything, and whether it stays as quick.
//!
//! Each scenario has a private Postgres and nodes of its own, so that what it measures of
//! memory began with nothing.

mod changes;
mod ground;
mod matching;
mod reconnect;
mod retained;
mod subscriptions;
mod wire;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::report::Report;

/// Measures one node, or a cluster, with much of everything.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The program under test [default: CAUSEWAY_BIN, or causeway beside this program].
    #[arg(long)]
    broker: Option<PathBuf>,
    /// KEY=VALUE for each node; may be repeated.
    #[arg(long)]
    set: Vec<String>,
    /// KEY=VALUE for Postgres, which has its own defaults otherwise; may be repeated.
    #[arg(long)]
    postgres_set: Vec<String>,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// CPU per message with ever more subscriptions, of which one matches.
    Matching(matching::Arguments),
    /// Memory per subscription, start of a node with them, and the time a route change takes.
    Subscriptions(subscriptions::Arguments),
    /// Many retained messages: memory, start of a node, publishing to them, reading them.
    Retained(retained::Arguments),
    /// Many persistent sessions of which some reconnect each second.
    Reconnect(reconnect::Arguments),
}

/// Runs the scenario that was asked for.
///
/// # Errors
///
/// If a server does not start, or a scenario cannot be run.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut ground = ground::Ground::start(arguments)?;
    let mut report = Report::default();
    match &arguments.scenario {
        Scenario::Matching(own) => matching::run(own, &mut ground, &mut report)?,
        Scenario::Subscriptions(own) => subscriptions::run(own, &mut ground, &mut report)?,
        Scenario::Retained(own) => retained::run(own, &mut ground, &mut report)?,
        Scenario::Reconnect(own) => reconnect::run(own, &mut ground, &mut report)?,
    }
    report.finish()
}
