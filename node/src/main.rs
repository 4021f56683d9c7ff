//! The command line: `serve`, `check-conf`, `healthcheck`, `user`.

mod healthcheck;
mod user_command;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use node::{Failure, Node, config};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

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

/// How long tasks that compute may go on after their node has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Before a node that was a member tries again to reach the database.
const PATIENCE: Duration = Duration::from_secs(1);
/// Before a node that was declared dead joins again.
const PAUSE: Duration = Duration::from_millis(200);

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
    let cannot_start = |error| (FAILURE, format!("cannot start: {error}"));
    // Its own, because signals are to be heard while the runtime of a node is being replaced.
    let signals = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    signals.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = listen("SIGTERM", SignalKind::terminate())?;
        let mut interrupt = listen("SIGINT", SignalKind::interrupt())?;
        let watch = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = watch => Ok(()),
            result = incarnations(&config, &stop) => result,
        }
    })
}

fn listen(name: &str, kind: SignalKind) -> Result<Signal, (u8, String)> {
    signal(kind).map_err(|error| (FAILURE, format!("cannot listen for {name}: {error}")))
}

/// Runs a node until `stop`; a new one whenever the cluster has declared it dead.
async fn incarnations(
    config: &config::Config,
    stop: &CancellationToken,
) -> Result<(), (u8, String)> {
    let mut was_member = false;
    loop {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| (FAILURE, format!("cannot start: {error}")))?;
        let (config, stopping) = (config.clone(), stop.clone());
        let life = tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(live(config, stopping));
            // Whatever still runs after a failure must neither act nor hold a port or the process.
            runtime.shutdown_timeout(LAST_WORDS);
            result
        });
        let result = life
            .await
            .unwrap_or_else(|error| Err(End::Fatal(FAILURE, format!("the node failed: {error}"))));
        match result {
            Ok(()) => return Ok(()),
            Err(End::Fatal(code, text)) => return Err((code, text)),
            Err(End::Unreachable(text)) if !was_member || stop.is_cancelled() => {
                return Err((FAILURE, text));
            }
            Err(End::Unreachable(text)) => {
                tracing::warn!(
                    error = text,
                    "cannot join the cluster again yet, will repeat"
                );
                tokio::select! {
                    () = tokio::time::sleep(PATIENCE) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
            Err(End::Fenced(text)) if stop.is_cancelled() => return Err((FAILURE, text)),
            Err(End::Fenced(text)) => {
                was_member = true;
                tracing::error!(
                    error = text,
                    "all connections were closed, joining the cluster again"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// How one incarnation of the node ends before it was asked to.
enum End {
    Fatal(u8, String),
    /// It could not start, because the database is away.
    Unreachable(String),
    /// The cluster has declared it dead.
    Fenced(String),
}

async fn live(config: config::Config, stop: CancellationToken) -> Result<(), End> {
    let node = Node::start(config).await.map_err(|error| {
        let text = node::telemetry::chain(&error);
        if error.is_transient() {
            End::Unreachable(text)
        } else if error.is_configuration() {
            End::Fatal(CONFIGURATION, text)
        } else {
            End::Fatal(FAILURE, text)
        }
    })?;
    node.run(stop.cancelled()).await.map_err(|why| match why {
        Failure::Fenced => End::Fenced(why.to_string()),
        Failure::Broken(text) => End::Fatal(FAILURE, text),
    })
}
