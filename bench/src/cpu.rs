//! CPU time of processes, from their CPU clocks, and of the machine, from `/proc`.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// The kernel's unit in `/proc`, the same on all machines Linux runs on that matter here.
const TICKS_PER_SECOND: f64 = 100.0;

/// Whose CPU time is read.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    brokers: Vec<u32>,
    bystanders: Vec<u32>,
    helpers: Vec<u32>,
}

/// One reading. The difference of two is what happened between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    brokers: f64,
    bystanders: f64,
    database: f64,
    generator: f64,
    machine: f64,
    stolen: f64,
}

/// CPU seconds between two readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Seconds that passed.
    pub(crate) seconds: f64,
    /// All nodes, or the peer.
    pub(crate) brokers: f64,
    /// Nodes that have nothing to do with the load.
    pub(crate) bystanders: f64,
    /// Postgres with all its processes.
    pub(crate) database: f64,
    /// This program.
    pub(crate) generator: f64,
    /// Everything else on the machine.
    pub(crate) others: f64,
    /// What the hypervisor gave to somebody else.
    pub(crate) stolen: f64,
}

impl Meter {
    pub(crate) fn new(brokers: Vec<u32>, database: Option<u32>) -> Self {
        Self {
            brokers,
            bystanders: Vec::new(),
            helpers: database.into_iter().collect(),
        }
    }

    /// The same with nodes that are counted apart.
    pub(crate) fn with_bystanders(mut self, bystanders: Vec<u32>) -> Self {
        self.bystanders = bystanders;
        self
    }

    /// The same with processes of which each is counted with its children, as a database is.
    pub(crate) fn with_helpers(mut self, helpers: Vec<u32>) -> Self {
        self.helpers = helpers;
        self
    }

    /// Whether it reads any broker.
    pub(crate) fn has_brokers(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// Whether it reads any helper.
    pub(crate) fn has_helpers(&self) -> bool {
        !self.helpers.is_empty()
    }

    /// The brokers, bystanders not included.
    pub(crate) fn brokers(&self) -> &[u32] {
        &self.brokers
    }

    pub(crate) fn read(&self) -> Reading {
        let (machine, stolen) = machine();
        let all = |ids: &[u32]| ids.iter().map(|id| own(*id)).sum();
        Reading {
            at: Instant::now(),
            brokers: all(&self.brokers),
            bystanders: all(&self.bystanders),
            database: families(&self.helpers),
            generator: own(std::process::id()),
            machine,
            stolen,
        }
    }
}

impl Reading {
    pub(crate) fn since(&self, earlier: &Self) -> Usage {
        let brokers = self.brokers - earlier.brokers;
        let bystanders = self.bystanders - earlier.bystanders;
        let database = self.database - earlier.database;
        let generator = self.generator - earlier.generator;
        let machine = self.machine - earlier.machine;
        Usage {
            seconds: self.at.duration_since(earlier.at).as_secs_f64(),
            brokers,
            bystanders,
            database,
            generator,
            others: (machine - brokers - bystanders - database - generator).max(0.0),
            stolen: self.stolen - earlier.stolen,
        }
    }
}

/// CPU seconds of all threads of a process, 0 if there is none.
fn own(id: u32) -> f64 {
    clock(id).unwrap_or_else(|| stat(id).map_or(0.0, |stat| stat.own))
}

/// The CPU clock of a process: what `/proc/PID/stat` shows, but exact to the nanosecond.
fn clock(id: u32) -> Option<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(id).ok()?)).ok()?;
    seconds(clock)
}

fn seconds(clock: ClockId) -> Option<f64> {
    Some(Duration::from(clock_gettime(clock).ok()?).as_secs_f64())
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

/// CPU seconds of processes, their children and those of these that have ended.
fn families(roots: &[u32]) -> f64 {
    if roots.is_empty() {
        return 0.0;
    }
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
        .map(
            |(id, stat)| match (roots.contains(id), roots.contains(&stat.parent)) {
                (true, _) => own(*id) + stat.ended,
                (false, true) => own(*id),
                (false, false) => 0.0,
            },
        )
        .sum()
}

/// CPU seconds of the whole machine: user, nice, system, interrupts; and those that were stolen.
fn machine() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks = |wanted: &[usize]| -> f64 {
        line.split_ascii_whitespace()
            .skip(1)
            .enumerate()
            .filter(|(at, _)| wanted.contains(at))
            .filter_map(|(_, field)| field.parse::<f64>().ok())
            .sum()
    };
    (
        ticks(&[0, 1, 2, 5, 6]) / TICKS_PER_SECOND,
        ticks(&[7]) / TICKS_PER_SECOND,
    )
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
        assert!(reading.machine >= reading.brokers - 0.05); // it is told in hundredths
    }

    #[test]
    fn the_clock_agrees_with_what_the_kernel_tells() {
        let begin = Instant::now();
        let mut sum = 0_u64;
        while begin.elapsed() < Duration::from_millis(200) {
            sum = std::hint::black_box(sum + 1);
        }
        let id = std::process::id();
        let (exact, told) = (clock(id).unwrap(), stat(id).unwrap().own);
        assert!(exact > 0.02, "{exact}");
        // Other tests run beside this one, between the two readings.
        assert!((exact - told).abs() < 0.2, "{exact} {told}");
    }
}
