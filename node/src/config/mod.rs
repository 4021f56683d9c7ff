//! Settings: which there are, what they default to, and whether they make sense together.
//!
//! Owns files and environment: no other room reads either. Later sources win: defaults, the
//! file of `--conf`, `CAUSEWAY_*` in the environment, `--set`.

mod addresses;
mod auth;
mod check;
mod cluster;
pub(crate) mod files;
mod listener;
mod load;
mod mqtt;
mod store;
mod sys;
mod tls;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub use addresses::Addresses;
pub use auth::{Auth, AuthMode};
pub use cluster::Cluster;
pub(crate) use listener::Kind;
pub use listener::{Listener, Mode, ProxyProtocol, UnixPath};
pub(crate) use load::host_name;
pub use load::{ConfigError, Problem, load, password};
pub use mqtt::{DropPolicy, MOST_TOPIC_LEVELS, Mqtt};
pub use store::{Store, Synchronous};
pub use sys::Sys;
pub use tls::{ClientCertificate, Tls, TlsVersion};

/// All settings, one struct per table of `node.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// This node.
    pub node: Node,
    /// Where and how clients connect.
    pub listener: Listener,
    /// Certificates of the listeners with TLS.
    pub tls: Tls,
    /// Where people and programs connect.
    pub http: Http,
    /// The embedded database of a node alone.
    pub store: Store,
    /// The database that makes a cluster.
    pub cluster: Cluster,
    /// Who may connect.
    pub auth: Auth,
    /// What the protocol leaves to the broker.
    pub mqtt: Mqtt,
    /// What the broker says about itself by MQTT.
    pub sys: Sys,
    /// How a node stops.
    pub drain: Drain,
    /// What is logged, and how.
    pub log: Log,
}

/// This node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Shown everywhere, unique in the cluster; 1 to 64 characters. Empty: the host name.
    /// Fixed until restart.
    pub name: String,
}

/// Where people and programs connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address of metrics and health, or `off`. Fixed until restart.
    pub listen: Bind,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Bind::At(SocketAddr::from(([127, 0, 0, 1], 8080))),
        }
    }
}

/// An address to listen at, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Bind {
    /// Nobody listens.
    Off,
    /// IP address and port; port 0 picks a free one.
    At(SocketAddr),
}

impl Bind {
    /// The address, unless off.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl TryFrom<String> for Bind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| {
            format!("\"{text}\" is neither an address like 127.0.0.1:8080 nor \"off\"")
        })
    }
}

impl From<Bind> for String {
    fn from(bind: Bind) -> Self {
        match bind {
            Bind::Off => "off".to_owned(),
            Bind::At(address) => address.to_string(),
        }
    }
}

/// How a node stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Clients sent away per second after SIGTERM, 1 to 1 000 000.
    pub rate: u32,
    /// How long a node whose clients have all been sent away waits for the database to take what is
    /// left, 1 s to 1 h. Then it ends with exit code 1: sessions that are not released can be had
    /// when its lease has run out.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            rate: 1000,
            timeout: Duration::from_secs(30),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// One line of text per event, or one JSON object.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives like `info,node::feed=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}
