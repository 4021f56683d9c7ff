//! What came of a run.

use std::{collections::HashMap, fmt, time::Duration};

use history::{Happened, History, Side};

use crate::world::World;

/// Clients that lose their connection within this time after a node was killed are its clients.
const ITS_CLIENTS: Duration = Duration::from_secs(1);

/// What is told of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The faults in a few words.
    pub faults: String,
    /// Everything that must not have happened.
    pub violations: Vec<String>,
    pub published: usize,
    pub delivered: usize,
    pub connections: usize,
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
        let count = |is_it: fn(&Happened) -> bool| {
            let entries = history.entries.iter();
            entries.filter(|entry| is_it(&entry.what)).count()
        };
        let counts: Vec<(u32, u32)> = world.nodes.iter().map(|node| node.counts()).collect();
        Self {
            faults: world.schedule.short(),
            violations: world.findings.all(),
            published: count(|what| matches!(what, Happened::Publish { .. })),
            delivered: count(|what| matches!(what, Happened::Received { .. })),
            connections: count(|what| matches!(what, Happened::Connected { .. })),
            starts: counts.iter().map(|(starts, _)| starts).sum(),
            fenced: counts.iter().map(|(_, fenced)| fenced).sum(),
            slowest_failover: slowest_failover(history),
        }
    }

    pub const fn is_innocent(&self) -> bool {
        self.violations.is_empty()
    }
}

/// One line.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; {} published, {} delivered, {} connections, {} starts, {} fenced",
            self.faults,
            self.published,
            self.delivered,
            self.connections,
            self.starts,
            self.fenced
        )?;
        if let Some(slowest) = self.slowest_failover {
            write!(f, ", failover {:.2} s", slowest.as_secs_f64())?;
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
        history.entries[..index].iter().any(|entry| {
            entry.client == client && matches!(entry.what, Happened::Received { .. })
        })
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
