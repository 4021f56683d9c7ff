//! How soon clients of a killed node go on.

use std::{collections::HashMap, time::Duration};

use history::{Happened, History, Side};

/// Clients that lose their connection within this time after a node was killed are its clients.
const ITS_CLIENTS: Duration = Duration::from_secs(1);

/// The longest time from the kill of a node until a client of it that had got messages got one
/// again.
pub fn slowest(history: &History) -> Option<Duration> {
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
