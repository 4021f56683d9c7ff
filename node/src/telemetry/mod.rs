//! What operators see: logs and metrics.

mod flow;
mod limits;
mod metrics;
mod per_listener;
mod traffic;

use std::{error::Error, fmt::Write, io::IsTerminal};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

pub(crate) use flow::{Flow, Tally};
pub(crate) use limits::{Limit, LimitsMet};
pub(crate) use metrics::{Dropped, Metrics};
pub(crate) use per_listener::{PerListener, Seat};
pub(crate) use traffic::Traffic;

use crate::config::{Log, LogFormat};

/// An error with its sources, each after a colon.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        // Transparent errors repeat their source.
        if !text.ends_with(&part) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {part}");
        }
        source = error.source();
    }
    text.replace('\n', " ")
}

/// Starts the log on standard output.
///
/// # Errors
///
/// A text that names the setting, if `log.level` cannot be understood.
pub fn start_log(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| format!("log.level: \"{}\" is no level: {error}", log.level))?;
    let registry = tracing_subscriber::registry().with(filter);
    let is_terminal = std::io::stdout().is_terminal();
    let started = match log.format {
        LogFormat::Text => registry
            .with(tracing_subscriber::fmt::layer().with_ansi(is_terminal))
            .try_init(),
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json())
            .try_init(),
    };
    started.map_err(|error| format!("cannot start the log: {error}"))
}
