//! What came of a run.

use std::{sync::atomic::Ordering, time::Duration};

use history::{Counts, History, Rules, check};

use crate::{failover, world::World};

/// Besides the lease, until the Wills of a dead node must have come.
const WILLS: Duration = Duration::from_secs(3);

/// What is told of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The faults in a few words.
    pub faults: String,
    /// What the machine has found.
    pub findings: Vec<String>,
    /// What the checker says.
    pub verdict: String,
    pub is_innocent: bool,
    /// How many violations of each kind.
    pub guilt: String,
    pub counts: Counts,
    /// How often nodes were started, the first time included.
    pub starts: u32,
    /// How often a node ended because others had declared it dead.
    pub fenced: u32,
    /// Connections that took over from an older one.
    pub takeovers: u64,
    /// The most memory that a node has had.
    pub memory_mib: u64,
    /// See [`failover::slowest`].
    pub slowest_failover: Option<Duration>,
}

impl Outcome {
    /// Reads the history.
    pub fn judge(world: &World, history: &History) -> Self {
        let counts: Vec<(u32, u32)> = world.nodes.iter().map(|node| node.counts()).collect();
        let verdict = check(history, &rules(world));
        let findings = world.findings.all();
        let mut guilt: Vec<String> = verdict
            .kinds()
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        if !findings.is_empty() {
            guilt.push(format!("found by the machine {}", findings.len()));
        }
        Self {
            faults: world.schedule.short(),
            is_innocent: findings.is_empty() && verdict.is_innocent(),
            findings,
            verdict: verdict.to_string(),
            guilt: guilt.join(", "),
            counts: verdict.counts,
            starts: counts.iter().map(|(starts, _)| starts).sum(),
            fenced: counts.iter().map(|(_, fenced)| fenced).sum(),
            takeovers: world.stage.takeovers.load(Ordering::SeqCst),
            memory_mib: world
                .nodes
                .iter()
                .map(|node| node.peak_mib())
                .max()
                .unwrap_or(0),
            slowest_failover: failover::slowest(history),
        }
    }

    /// The same as names and values, for a report.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let counts = &self.counts;
        let failover = self.slowest_failover;
        let failover =
            failover.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64()));
        vec![
            ("faults", self.faults.clone()),
            ("published", counts.sent.to_string()),
            ("sent again", counts.repeated.to_string()),
            ("acknowledged", counts.acknowledged.to_string()),
            ("received", counts.received.to_string()),
            ("connections", counts.connected.to_string()),
            ("takeovers", self.takeovers.to_string()),
            ("wills", counts.wills.to_string()),
            ("starts of nodes", self.starts.to_string()),
            ("declared dead", self.fenced.to_string()),
            ("memory MiB", self.memory_mib.to_string()),
            ("slowest failover s", failover),
            ("violations", self.guilt.clone()),
        ]
    }
}

/// The times to judge by.
fn rules(world: &World) -> Rules {
    Rules {
        will_grace: world.schedule.lease + WILLS,
        ..Rules::default()
    }
}
