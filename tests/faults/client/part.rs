//! Who a client is.

use std::time::Duration;

use mqtt::{ProtocolVersion, Qos};

/// How long a session outlives its connection: longer than any run.
pub const EXPIRY: Duration = Duration::from_secs(600);

/// What becomes of the session when the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Clean Start, and no session afterwards.
    Clean,
    /// A session for longer than the run.
    Persistent,
}

/// Which way a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Through nginx.
    Balanced,
    /// To this node first, and to another when it does not answer.
    Direct(usize),
}

/// What a client publishes.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// One after the other.
    pub topics: Vec<String>,
    pub qos: Qos,
    pub is_retained: bool,
    pub per_second: u32,
    /// Messages that may be unacknowledged at a time.
    pub window: usize,
}

/// A Will in each CONNECT, to the topic `will/CLIENT_ID`.
#[derive(Debug, Clone, Copy)]
pub struct Testament {
    pub qos: Qos,
    pub delay: Duration,
}

/// What a client does besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Nothing.
    Steady,
    /// Gives its subscriptions up now and then, and takes them again.
    Wavering,
    /// Ends its connection now and then, with and without DISCONNECT.
    Mortal,
    /// Connects a second time now and then, while its first connection goes on.
    Doubled,
    /// The same all the time, each time at another node.
    Nomadic,
    /// Comes, subscribes, looks for a moment and goes.
    Probe,
}

/// A client, as it was cast.
#[derive(Debug, Clone)]
pub struct Part {
    pub client_id: String,
    pub version: ProtocolVersion,
    pub keep: Keep,
    pub route: Route,
    pub filters: Vec<(String, Qos)>,
    pub publishing: Option<Publishing>,
    pub testament: Option<Testament>,
    /// Receive Maximum, in MQTT 5.
    pub receive_maximum: Option<u16>,
    /// Packet identifiers are reused after so many.
    pub packet_ids: u16,
    pub habit: Habit,
}

impl Part {
    /// A client that only connects.
    pub fn new(client_id: impl Into<String>, version: ProtocolVersion, keep: Keep) -> Self {
        Self {
            client_id: client_id.into(),
            version,
            keep,
            route: Route::Balanced,
            filters: Vec::new(),
            publishing: None,
            testament: None,
            receive_maximum: None,
            packet_ids: 60_000,
            habit: Habit::Steady,
        }
    }

    pub fn at(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    pub fn subscribed(mut self, filter: impl Into<String>, qos: Qos) -> Self {
        self.filters.push((filter.into(), qos));
        self
    }

    pub fn publishing(mut self, publishing: Publishing) -> Self {
        self.publishing = Some(publishing);
        self
    }

    pub const fn with_habit(mut self, habit: Habit) -> Self {
        self.habit = habit;
        self
    }

    /// The Session Expiry Interval, as far as the version has one.
    pub fn expiry(&self) -> Duration {
        match self.keep {
            Keep::Clean => Duration::ZERO,
            Keep::Persistent => EXPIRY,
        }
    }
}
