//! The command line: `serve`, `check-conf`, `healthcheck`, `user`.

mod healthcheck;
mod user_command;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use node::{Node, config};
use tokio::signal::unix::{SignalKind, signal};

/// An MQTT broker: alone on an embedded database, or a cluster of identical nodes on one Postgres.
#[derive(Parser)]
#[command(name = "causeway", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node until SIGTERM.
    Serve(Settings),
    /// Say what is wrong with the settings; exit code 2 if something is.
    CheckConf(Settings),
    /// Exit code 0 if a node takes clients.
    Healthcheck {
        /// What to ask.
        #[arg(long, default_value = "http://127.0.0.1:8080/readyz")]
        url: String,
    },
    /// Manage the users who may connect with auth.mode = "default"; nodes may run meanwhile.
    #[command(subcommand)]
    User(user_command::UserCommand),
}

/// Settings: defaults < file < CAUSEWAY_* environment < --set.
#[derive(Args)]
struct Settings {
    /// A file like conf/node.toml.
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// One setting, as in mqtt.maximum_qos=1; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

const CONFIGURATION: u8 = 2;
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            #[expect(clippy::print_stderr, reason = "the one line that says what to change")]
            {
                eprintln!("causeway: {text}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(command: Command) -> Result<(), (u8, String)> {
    match command {
        Command::Serve(settings) => serve(&settings),
        Command::CheckConf(settings) => {
            let config = load(&settings)?;
            node::check(&config)
                .map_err(|error| (CONFIGURATION, node::telemetry::chain(&error)))?;
            #[expect(clippy::print_stdout, reason = "the answer")]
            {
                println!("the settings are valid");
            }
            Ok(())
        }
        Command::Healthcheck { url } => healthcheck::check(&url).map_err(|text| (FAILURE, text)),
        Command::User(command) => user_command::run(command),
    }
}

fn load(settings: &Settings) -> Result<config::Config, (u8, String)> {
    config::load(settings.conf.as_deref(), &settings.set)
        .map_err(|error| (CONFIGURATION, error.to_string()))
}

fn serve(settings: &Settings) -> Result<(), (u8, String)> {
    let config = load(settings)?;
    node::telemetry::start_log(&config.log).map_err(|text| (CONFIGURATION, text))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| (FAILURE, format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())
            .map_err(|error| (FAILURE, format!("cannot listen for SIGTERM: {error}")))?;
        let mut interrupt = signal(SignalKind::interrupt())
            .map_err(|error| (FAILURE, format!("cannot listen for SIGINT: {error}")))?;
        let node = Node::start(config).await.map_err(|error| {
            let code = if error.is_configuration() {
                CONFIGURATION
            } else {
                FAILURE
            };
            (code, node::telemetry::chain(&error))
        })?;
        let stop = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        node.run(stop).await.map_err(|text| (FAILURE, text))
    });
    // Whatever still runs after a failure must not hold the process.
    runtime.shutdown_background();
    result
}
