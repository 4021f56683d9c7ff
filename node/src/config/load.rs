//! Reads the settings from all sources and says everything that is wrong with them.

use std::{fmt, ops::RangeInclusive, path::Path, time::Duration};

use figment::{
    Figment, Profile,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Tag, Value},
};

use super::{Config, check};

const PREFIX: &str = "CAUSEWAY_";

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as in `mqtt.maximum_qos`; empty if no single one is at fault.
    pub key: String,
    /// What is wrong and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.key, self.text)
        }
    }
}

/// The settings cannot be used. Nothing has been started.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl ConfigError {
    fn one(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            problems: vec![Problem {
                key: key.into(),
                text: text.into(),
            }],
        }
    }
}

/// Settings from defaults, the file, the environment and `assignments` (`KEY=VALUE`), later
/// ones first.
///
/// # Errors
///
/// [`ConfigError`] with every problem that could be told apart.
pub fn load(file: Option<&Path>, assignments: &[String]) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError::one(
                "",
                format!("--conf {}: no such file", path.display()),
            ));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    for (name, value) in Env::prefixed(PREFIX).iter() {
        // Every setting is in a room. What is not may be somebody else's: Kubernetes gives the
        // containers beside a service of our name CAUSEWAY_PORT and CAUSEWAY_SERVICE_HOST.
        if !name.as_str().contains("__") {
            continue;
        }
        let key = name.as_str().to_lowercase().replace("__", ".");
        let variable = format!("{PREFIX}{}", name.as_str().to_uppercase());
        figment = assign(figment, &key, &value, &variable)?;
    }
    for assignment in assignments {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(ConfigError::one(
                "",
                format!("--set {assignment}: expected KEY=VALUE"),
            ));
        };
        figment = assign(figment, key.trim(), value, &format!("--set {assignment}"))?;
    }
    let config: Config = figment.extract().map_err(|error| ConfigError {
        problems: error.into_iter().map(|error| describe(&error)).collect(),
    })?;
    validate(&config)?;
    Ok(config)
}

/// Sets one key to a text, read as the type its default has: a password like `12345` stays text.
fn assign(figment: Figment, key: &str, text: &str, origin: &str) -> Result<Figment, ConfigError> {
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let default = defaults
        .find_value(key)
        .map_err(|_| ConfigError::one(key, format!("unknown setting (from {origin})")))?;
    let wrong = |expected: &str| {
        ConfigError::one(key, format!("\"{text}\" is not {expected} (from {origin})"))
    };
    let value = match default {
        Value::String(..) | Value::Char(..) => Value::from(text),
        Value::Bool(..) => Value::from(text.parse::<bool>().map_err(|_| wrong("true or false"))?),
        Value::Num(..) => Value::from(text.parse::<i64>().map_err(|_| wrong("a whole number"))?),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => {
            return Err(ConfigError::one(
                key,
                format!("is no single setting (from {origin})"),
            ));
        }
    };
    let mut nested = value;
    for part in key.rsplit('.') {
        nested = Value::Dict(Tag::Default, Dict::from([(part.to_owned(), nested)]));
    }
    let Value::Dict(_, dict) = nested else {
        return Err(ConfigError::one(key, "is no setting"));
    };
    Ok(figment.merge(Serialized::from(dict, Profile::Default)))
}

fn describe(error: &figment::Error) -> Problem {
    let mut key = error.path.join(".");
    let mut text = error.kind.to_string();
    if let figment::error::Kind::UnknownField(field, known) = &error.kind {
        if !key.ends_with(field.as_str()) {
            key = if key.is_empty() {
                field.clone()
            } else {
                format!("{key}.{field}")
            };
        }
        text = format!("unknown setting; known here: {}", known.join(", "));
    }
    if let Some(source) = error
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.source.as_ref())
    {
        text = format!("{} (in {source})", text.trim_end().replace('\n', " "));
    }
    Problem {
        key,
        text: text.replace('\n', " "),
    }
}

fn validate(config: &Config) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    let mut check = |key: &str, is_right: bool, text: String| {
        if !is_right {
            problems.push(Problem {
                key: key.to_owned(),
                text,
            });
        }
    };
    for (key, value, range) in numbers(config) {
        let text = format!(
            "{value} is out of range {} to {}",
            range.start(),
            range.end()
        );
        check(key, range.contains(&value), text);
    }
    for (key, value, range) in durations(config) {
        let text = format!(
            "{value:?} is out of range {:?} to {:?}",
            range.start(),
            range.end()
        );
        check(key, range.contains(&value), text);
    }
    check(
        "node.name",
        config.node.name.len() <= 64 && !config.node.name.contains(char::is_control),
        "longer than 64 bytes, or with control characters".to_owned(),
    );
    let url = &config.cluster.database_url;
    check(
        "cluster.database_url",
        url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://"),
        "does not start with postgres:// (and may be empty)".to_owned(),
    );
    check::sockets(config, &mut check);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError { problems })
    }
}

/// A setting, its value, and what it may be.
pub(super) type Number = (&'static str, i64, RangeInclusive<i64>);

fn numbers(config: &Config) -> Vec<Number> {
    let listener = &config.listener;
    let mut numbers = vec![
        ("listener.backlog", listener.backlog.into(), 1..=65_535),
        (
            "listener.max_connections",
            listener.max_connections.into(),
            1..=10_000_000,
        ),
        (
            "listener.accept_rate",
            listener.accept_rate.into(),
            0..=1_000_000,
        ),
        (
            "cluster.max_connections",
            config.cluster.max_connections.into(),
            4..=100,
        ),
        (
            "auth.scram_iterations",
            config.auth.scram_iterations.into(),
            4096..=1_000_000,
        ),
        ("drain.rate", config.drain.rate.into(), 1..=1_000_000),
    ];
    numbers.extend(config.mqtt.numbers());
    numbers
}

fn durations(config: &Config) -> [(&'static str, Duration, RangeInclusive<Duration>); 6] {
    let second = Duration::from_secs(1);
    [
        ("cluster.lease", config.cluster.lease, second..=second * 300),
        (
            "mqtt.connect_timeout",
            config.mqtt.connect_timeout,
            second..=second * 600,
        ),
        (
            "mqtt.acknowledge_timeout",
            config.mqtt.acknowledge_timeout,
            second..=second * 86_400,
        ),
        (
            "mqtt.publish_burst",
            config.mqtt.publish_burst,
            Duration::from_millis(10)..=second * 3600,
        ),
        (
            "drain.timeout",
            config.drain.timeout,
            second..=second * 3600,
        ),
        (
            "sys.interval",
            config.sys.interval,
            Duration::ZERO..=second * 86_400,
        ),
    ]
}

/// The password that `causeway user add` takes from the environment, `CAUSEWAY_PASSWORD`.
#[must_use]
pub fn password() -> Option<String> {
    Env::raw()
        .only(&["CAUSEWAY_PASSWORD"])
        .iter()
        .next()
        .map(|(_, value)| value)
}

/// The name of this host, for `node.name`.
pub(crate) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
