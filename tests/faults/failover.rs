//! How soon clients of a killed node go on.

use std::{collections::HashSet, time::Duration};

use history::{Happened, History, Side};

use crate::schedule::NODES;

/// Clients that lose their connection within this time after a node was killed are its clients.
const ITS_CLIENTS: Duration = Duration::from_secs(1);

/// The longest time from the kill of one or two nodes until a client of theirs that had got
/// messages got one again. Not counted where another fault was under way, or began meanwhile.
pub fn slowest(history: &History) -> Option<Duration> {
    let mut under_way = 0;
    let mut slowest = None;
    for (index, entry) in history.entries.iter().enumerate() {
        let Happened::Fault { text, begins } = &entry.what else {
            continue;
        };
        if *begins && under_way == 0 && is_partial_kill(text) {
            slowest = slowest.max(failover(history, index, entry.at));
        }
        under_way = if *begins {
            under_way + 1
        } else {
            under_way - 1
        };
    }
    slowest
}

/// A kill that leaves a node.
fn is_partial_kill(text: &str) -> bool {
    text.starts_with("kill") && text.matches(" and ").count() < NODES - 1
}

/// From the kill at `at` until the last of those who lost their connection got a message again.
fn failover(history: &History, index: usize, at: Duration) -> Option<Duration> {
    let (before, after) = history.entries.split_at(index);
    let had_messages: HashSet<&str> = before
        .iter()
        .filter(|entry| matches!(entry.what, Happened::Received { .. }))
        .map(|entry| entry.client.as_str())
        .collect();
    let mut waiting: HashSet<&str> = HashSet::new();
    let mut slowest = None;
    for entry in after.iter().skip(1) {
        let client = entry.client.as_str();
        match &entry.what {
            Happened::Closed {
                by: Side::Server, ..
            } if entry.at < at + ITS_CLIENTS && had_messages.contains(client) => {
                waiting.insert(client);
            }
            Happened::Received { .. } if waiting.remove(client) => {
                slowest = Some(entry.at.saturating_sub(at));
            }
            Happened::Fault { begins: true, .. } => break,
            _ => {}
        }
    }
    slowest
}
