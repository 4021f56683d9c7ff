//! What will happen to the cluster of one seed, drawn before anything starts.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{
    fault::{Fault, KINDS, Kind, Way, name},
    random::Random,
};

/// How many nodes there are.
pub const NODES: usize = 3;
/// Nothing happens before: the clients have just come.
const CALM: (u64, u64) = (1000, 2000);
/// Attempts to draw a fault that goes together with the others.
const ATTEMPTS: usize = 20;

/// Until what was stopped runs again.
const START: Duration = Duration::from_secs(1);
/// How long an upgrade takes, about.
const UPGRADE: Duration = Duration::from_secs(12);

/// What was asked for besides the seed.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Faults begin within so many seconds of load, and load goes on at least so long.
    pub seconds: u64,
    /// Only these kinds; empty: all.
    pub only: Vec<Kind>,
    /// No faults at all.
    pub is_calm: bool,
    /// The program of another release, with which all nodes begin; the first fault is then a
    /// rolling upgrade.
    pub old: Option<PathBuf>,
}

/// A fault and its time.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Since all clients are there.
    pub at: Duration,
    /// Until it is over; for a rolling restart a guess.
    pub lasts: Duration,
    pub fault: Fault,
}

impl Planned {
    fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// Everything about one run that is drawn, but what the clients do.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub lease: Duration,
    /// How long there is load.
    pub load: Duration,
    /// In the order of their beginning.
    pub faults: Vec<Planned>,
}

impl Schedule {
    /// That of `seed`; always the same for the same wish.
    pub fn draw(seed: u64, wish: &Wish) -> Self {
        let mut random = Random::new(seed);
        let lease = Duration::from_secs(if random.once_in(5) { 5 } else { 2 });
        let is_overlapping = random.once_in(3);
        let upgrade = if wish.old.is_some() {
            UPGRADE
        } else {
            Duration::ZERO
        };
        let span = Duration::from_secs(wish.seconds) + upgrade;
        let most = 2 + random.below(3) + (wish.seconds / 12) as usize;
        let mut faults: Vec<Planned> = Vec::new();
        let mut at = random.millis(CALM.0, CALM.1);
        if wish.old.is_some() {
            let (fault, lasts) = (Fault::Upgrade, UPGRADE);
            faults.push(Planned { at, lasts, fault });
            at += UPGRADE + random.millis(500, 2500);
        }
        while !wish.is_calm && at < span && faults.len() < most {
            let Some(planned) = draw_beside(&mut random, &faults, at, lease, wish) else {
                break;
            };
            at = if is_overlapping && random.once_in(2) {
                at + random.tenths_of(planned.lasts, 1, 9)
            } else {
                planned.end() + random.millis(500, 2500)
            };
            faults.push(planned);
        }
        let last = faults.iter().map(Planned::end).max().unwrap_or_default();
        Self {
            seed,
            lease,
            load: span.max(last + Duration::from_secs(2)),
            faults,
        }
    }

    /// The nodes whose way to the database will be slow.
    pub fn is_delayed(&self, node: usize) -> bool {
        self.has(|fault| matches!(fault, Fault::Delay(delayed) if *delayed == node))
    }

    /// Whether the way of `node` to the database is slow while or after it is away in `planned`.
    pub fn is_delayed_after(&self, node: usize, planned: &Planned) -> bool {
        self.faults.iter().any(|other| {
            let is_near = other.at < planned.end() + self.lease && planned.at < other.end();
            is_near && matches!(other.fault, Fault::Delay(delayed) if delayed == node)
        })
    }

    /// The nodes whose clock will be moved.
    pub fn is_clock_moved(&self, node: usize) -> bool {
        self.has(|fault| matches!(fault, Fault::Clock { node: moved, .. } if *moved == node))
    }

    fn has(&self, is_it: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(|planned| is_it(&planned.fault))
    }

    /// The faults in a few words.
    pub fn short(&self) -> String {
        let names: Vec<String> = self
            .faults
            .iter()
            .map(|one| one.fault.to_string())
            .collect();
        names.join(", ")
    }
}

/// For people.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = self.load.as_secs_f64();
        writeln!(
            f,
            "seed {}: lease {:?}, load for {load:.1} s",
            self.seed, self.lease
        )?;
        for planned in &self.faults {
            writeln!(
                f,
                "  {:6.2} s  {} for {:.2} s",
                planned.at.as_secs_f64(),
                planned.fault,
                planned.lasts.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

/// A fault at `at` that can go on while the others do.
fn draw_beside(
    random: &mut Random,
    others: &[Planned],
    at: Duration,
    lease: Duration,
    wish: &Wish,
) -> Option<Planned> {
    (0..ATTEMPTS).find_map(|_| {
        let (fault, lasts) = draw(random, lease, wish);
        let planned = Planned { at, lasts, fault };
        let is_possible = others.iter().all(|other| {
            let is_apart = other.end() + START < planned.at;
            is_apart || other.fault.goes_with(&planned.fault)
        });
        is_possible.then_some(planned)
    })
}

fn draw(random: &mut Random, lease: Duration, wish: &Wish) -> (Fault, Duration) {
    let kinds: Vec<Kind> = KINDS
        .iter()
        .filter(|(kind, _)| wish.only.is_empty() || wish.only.contains(kind))
        .flat_map(|(kind, weight)| std::iter::repeat_n(*kind, *weight))
        .collect();
    let kind = kinds[random.below(kinds.len())];
    let node = random.below(NODES);
    let longer = random.tenths_of(lease, 12, 25);
    match kind {
        Kind::Kill => (Fault::Kill(vec![node]), random.millis(0, 3000)),
        Kind::KillTwo => {
            let two = (0..NODES).filter(|one| *one != node).collect();
            (Fault::Kill(two), random.millis(0, 3000))
        }
        Kind::KillAll => (Fault::Kill((0..NODES).collect()), random.millis(0, 3000)),
        Kind::Pause => (Fault::Pause(node), longer),
        Kind::Blink => (Fault::Blink(node), random.tenths_of(lease, 1, 4)),
        Kind::Crash => (Fault::Crash, random.millis(0, 500)),
        Kind::Outage => {
            let seconds = if random.once_in(20) { 30 } else { 5 };
            (Fault::Outage, Duration::from_secs(seconds))
        }
        Kind::Cut | Kind::CutTo | Kind::CutFrom => {
            let way = match kind {
                Kind::CutTo => Way::To,
                Kind::CutFrom => Way::From,
                _ => Way::Both,
            };
            let lasts = match random.below(3) {
                0 => random.tenths_of(lease, 2, 8),
                // It is over soon after the node was declared dead: before that has noticed.
                1 => random.tenths_of(lease, 12, 15),
                _ => longer,
            };
            (Fault::Cut { node, way }, lasts)
        }
        Kind::CutNew => {
            let all = random.tenths_of(lease, 12, 15);
            let lasts = all + random.tenths_of(lease, 5, 10);
            (Fault::CutNew { node, all }, lasts)
        }
        Kind::Delay => (Fault::Delay(node), random.millis(2000, 5000)),
        Kind::Reset => (Fault::Reset(node), random.millis(100, 500)),
        Kind::Clock => {
            let is_forwards = random.once_in(2);
            (
                Fault::Clock { node, is_forwards },
                random.millis(3000, 6000),
            )
        }
        Kind::Rolling => (Fault::Rolling, Duration::from_secs(6)),
    }
}

/// `a` or `a, c`.
pub fn names(nodes: &[usize]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| name(*node)).collect();
    names.join(" and ")
}
