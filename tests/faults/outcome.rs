//! What came of a run.

use std::{collections::HashMap, fmt, time::Duration};

use history::{Counts, Happened, History, Rules, Side, check};

use crate::world::World;

/// Clients that lose their connection within this time after a node was killed are its clients.
const ITS_CLIENTS: Duration = Duration::from_secs(1);

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
    /// The longest time from the kill of a node until a client of it that had got messages got one
    /// again.
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
            slowest_failover: slowest_failover(history),
        }
    }
}

/// The times to judge by: a node that is paused or cut off answers late.
fn rules(_world: &World) -> Rules {
    Rules::default()
}

/// One line.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "{}; {} published, {} received, {} connections, {} takeovers, {} wills, {} starts, {} fenced",
            self.faults,
            counts.sent,
            counts.received,
            counts.connected,
            counts.takeovers,
            counts.wills,
            self.starts,
            self.fenced
        )?;
        if let Some(slowest) = self.slowest_failover {
            write!(f, ", failover {:.2} s", slowest.as_secs_f64())?;
        }
        if !self.guilt.is_empty() {
            write!(f, "; {}", self.guilt)?;
        }
        Ok(())
    }
}

fn slowest_failover(history: &History) -> Option<Duration> {
    let entries = &history.entries;
    let kills = entries.iter().enumerate().filter_map(|(index, entry)| {
        let Happened::Fault { text, begins: true } = &entry.what else {
            return None;
        };
        text.starts_with("kill").then_some((index, entry.at))
    });
    kills
        .filter_map(|(index, at)| failover(history, index, at))
        .max()
}

/// From the kill at `at` until the last of those who lost their connection got a message again.
fn failover(history: &History, index: usize, at: Duration) -> Option<Duration> {
    let has_received = |client: &str| {
        history.entries[..index]
            .iter()
            .any(|entry| entry.client == client && matches!(entry.what, Happened::Received { .. }))
    };
    let mut waiting: HashMap<&str, u32> = HashMap::new();
    let mut slowest = None;
    for entry in &history.entries[index..] {
        match &entry.what {
            Happened::Closed {
                by: Side::Server, ..
            } if entry.at < at + ITS_CLIENTS && has_received(&entry.client) => {
                waiting.insert(&entry.client, entry.connection);
            }
            Happened::Received { .. } => {
                let was_waiting = waiting.remove(entry.client.as_str());
                if was_waiting.is_some() {
                    slowest = Some(entry.at.saturating_sub(at));
                }
            }
            _ => {}
        }
    }
    slowest
}
