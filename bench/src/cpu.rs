//! CPU time of processes and of the machine, from `/proc`.

use std::{collections::HashMap, fs, time::Instant};

/// The kernel's unit in `/proc`, the same on all machines Linux runs on that matter here.
const TICKS_PER_SECOND: f64 = 100.0;

/// Whose CPU time is read.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    brokers: Vec<u32>,
    database: Option<u32>,
}

/// One reading. The difference of two is what happened between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    brokers: f64,
    database: f64,
    generator: f64,
    machine: f64,
}

/// CPU seconds between two readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Seconds that passed.
    pub(crate) seconds: f64,
    /// All nodes, or the peer.
    pub(crate) brokers: f64,
    /// Postgres with all its processes.
    pub(crate) database: f64,
    /// This program.
    pub(crate) generator: f64,
    /// Everything else on the machine.
    pub(crate) others: f64,
}

impl Meter {
    pub(crate) fn new(brokers: Vec<u32>, database: Option<u32>) -> Self {
        Self { brokers, database }
    }

    pub(crate) fn read(&self) -> Reading {
        let own = |id: &u32| stat(*id).map_or(0.0, |stat| stat.own);
        Reading {
            at: Instant::now(),
            brokers: self.brokers.iter().map(own).sum(),
            database: self.database.map_or(0.0, family),
            generator: own(&std::process::id()),
            machine: machine(),
        }
    }
}

impl Reading {
    pub(crate) fn since(&self, earlier: &Self) -> Usage {
        let brokers = self.brokers - earlier.brokers;
        let database = self.database - earlier.database;
        let generator = self.generator - earlier.generator;
        let machine = self.machine - earlier.machine;
        Usage {
            seconds: self.at.duration_since(earlier.at).as_secs_f64(),
            brokers,
            database,
            generator,
            others: (machine - brokers - database - generator).max(0.0),
        }
    }
}

struct Stat {
    parent: u32,
    /// CPU seconds of all threads.
    own: f64,
    /// CPU seconds of children that have ended.
    ended: f64,
}

fn stat(id: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Reads a line of `/proc/PID/stat`. The name in it may contain anything, even a parenthesis.
fn parse(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let seconds = |at: usize| -> Option<f64> {
        let ticks: f64 = fields.get(at)?.parse().ok()?;
        Some(ticks / TICKS_PER_SECOND)
    };
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(11)? + seconds(12)?,
        ended: seconds(13)? + seconds(14)?,
    })
}

/// CPU seconds of a process, its children and those of them that have ended.
fn family(root: u32) -> f64 {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some((id, stat)) = id.and_then(|id: u32| Some((id, stat(id)?))) {
            all.insert(id, stat);
        }
    }
    all.iter()
        .map(|(id, stat)| match (*id == root, stat.parent == root) {
            (true, _) => stat.own + stat.ended,
            (false, true) => stat.own,
            (false, false) => 0.0,
        })
        .sum()
}

/// CPU seconds of the whole machine: user, nice, system, interrupts.
fn machine() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: f64 = line
        .split_ascii_whitespace()
        .skip(1)
        .enumerate()
        .filter(|(at, _)| [0, 1, 2, 5, 6].contains(at))
        .filter_map(|(_, field)| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 1 0 9 9 9";
        let stat = parse(line).unwrap();
        assert_eq!(stat.parent, 3);
        assert!((stat.own - 2.0).abs() < 1e-9);
        assert!((stat.ended - 0.5).abs() < 1e-9);
    }

    #[test]
    fn our_own_time_is_found_and_part_of_the_machine() {
        let meter = Meter::new(vec![std::process::id()], None);
        let reading = meter.read();
        assert!(reading.machine >= reading.brokers);
    }
}
