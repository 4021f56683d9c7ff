//! What a hostile or broken client may do.
//!
//! Several attackers work at once, each with random numbers of its own, so that a seed repeats
//! what each of them does, though not how their packets meet. An attack that gets an error from
//! its socket is over: the node has closed, as it should.

mod bytes;
mod publish;
mod session;
mod subscribe;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use mqtt::ProtocolVersion;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::random::Random;

/// How long one attack may take.
const LONGEST: Duration = Duration::from_secs(6);

/// How many may send packets of megabytes at the same time, in all.
pub const HEAVY: usize = 2;

/// All attacks, by the names that `--attack` knows.
pub const NAMES: [&str; 25] = [
    "noise",
    "damaged",
    "sequence",
    "slow-writer",
    "half-closed",
    "after-disconnect",
    "unfinished",
    "large",
    "alias",
    "properties",
    "deep-topics",
    "retained",
    "qos-2",
    "many-subscriptions",
    "wildcards",
    "deep-filters",
    "share",
    "never-reads",
    "deaf-to-all",
    "flood",
    "takeover",
    "stored",
    "wills",
    "pings",
    "large-connect",
];

/// What all attackers share.
#[derive(Debug)]
pub struct Ground {
    /// Where the nodes speak MQTT.
    pub nodes: Vec<SocketAddr>,
    /// Permission to send packets of megabytes.
    pub heavy: Semaphore,
    /// When all is over.
    pub deadline: Instant,
    /// Largest packet that the nodes accept, in bytes.
    pub maximum_packet_size: usize,
}

/// One attacker.
#[derive(Debug)]
pub struct Attacker {
    pub random: Random,
    ground: Arc<Ground>,
    /// What it has done, for whoever wants to know how it came to a failure.
    pub history: Vec<&'static str>,
}

impl Attacker {
    pub const fn new(seed: u64, ground: Arc<Ground>) -> Self {
        Self {
            random: Random::new(seed),
            ground,
            history: Vec::new(),
        }
    }

    /// Attacks until the time is over; only with `chosen`, if it is not empty.
    pub async fn run(mut self, chosen: &[&'static str]) -> Self {
        let names = if chosen.is_empty() {
            &NAMES[..]
        } else {
            chosen
        };
        while Instant::now() < self.ground.deadline {
            let name = *self.random.pick(names);
            self.history.push(name);
            let rest = self.ground.deadline - Instant::now();
            // An error or a time-out is how an attack ends when the node closes or waits.
            let _ = timeout(LONGEST.min(rest), self.attack(name)).await;
        }
        self
    }

    async fn attack(&mut self, name: &str) -> io::Result<()> {
        match name {
            "noise" => self.noise().await,
            "damaged" => self.damaged().await,
            "sequence" => self.sequence().await,
            "slow-writer" => self.slow_writer().await,
            "half-closed" => self.half_closed().await,
            "after-disconnect" => self.after_disconnect().await,
            "unfinished" => self.unfinished().await,
            "large" => self.large().await,
            "alias" => self.alias().await,
            "properties" => self.properties().await,
            "deep-topics" => self.deep_topics().await,
            "retained" => self.retained().await,
            "qos-2" => self.qos_2().await,
            "many-subscriptions" => self.many_subscriptions().await,
            "wildcards" => self.wildcards().await,
            "deep-filters" => self.deep_filters().await,
            "share" => self.share().await,
            "never-reads" => self.never_reads().await,
            "deaf-to-all" => self.deaf_to_all().await,
            "flood" => self.flood().await,
            "takeover" => self.takeover().await,
            "stored" => self.stored().await,
            "wills" => self.wills().await,
            "pings" => self.pings().await,
            _ => self.large_connect().await,
        }
    }

    fn node(&mut self) -> SocketAddr {
        *self.random.pick(&self.ground.nodes)
    }

    fn version(&mut self) -> ProtocolVersion {
        *self.random.pick(&[
            ProtocolVersion::V3_1,
            ProtocolVersion::V3_1_1,
            ProtocolVersion::V5,
        ])
    }

    /// One of few, so that attackers meet and what is stored for them stays little.
    fn client_id(&mut self) -> String {
        format!("attacker-{}", self.random.below(30))
    }

    /// Nobody else's.
    fn new_client_id(&mut self) -> String {
        format!("attacker-{:08x}", self.random.next() as u32)
    }
}
