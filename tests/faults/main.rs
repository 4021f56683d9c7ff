//! Breaks a cluster in every way we know while clients use it, and looks for what was lost.
//!
//! `causeway-faults --seeds 1-200 [--jobs N] [--seconds N] [--only FAULT,...] [--report FILE]
//! [--print] [--keep]`: each seed is a schedule of faults, printed before it is carried out, in a
//! world of its own: Postgres, three nodes and nginx in a network namespace. Needs root.
//! docs/faults.md says more.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for tests"
)]

mod arguments;
mod cast;
mod client;
mod clock;
mod failover;
mod fault;
mod findings;
mod inject;
mod many;
mod network;
mod node;
mod outcome;
mod postgres;
mod random;
mod relay;
mod report;
mod run;
mod schedule;
mod world;

use std::process::ExitCode;

use crate::{arguments::Arguments, schedule::Schedule};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::read()?;
    if arguments.only_print {
        for seed in &arguments.seeds {
            print!("{}", Schedule::draw(*seed, &arguments.wish));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let is_innocent = match &arguments.world {
        Some(places) => many::be_world(&arguments, places).await?,
        None => many::run(&arguments).await?,
    };
    Ok(if is_innocent {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
