//! The faults there are.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::bail;

use crate::schedule::names;

/// The kinds, with how often each is drawn compared with the others.
pub const KINDS: [(Kind, usize); 15] = [
    (Kind::Kill, 4),
    (Kind::KillTwo, 2),
    (Kind::KillAll, 2),
    (Kind::Pause, 3),
    (Kind::Blink, 2),
    (Kind::Crash, 3),
    (Kind::Outage, 2),
    (Kind::Cut, 2),
    (Kind::CutTo, 1),
    (Kind::CutFrom, 2),
    (Kind::CutNew, 3),
    (Kind::Delay, 2),
    (Kind::Reset, 2),
    (Kind::Clock, 2),
    (Kind::Rolling, 2),
];

/// A kind of fault, as one can ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Kill,
    KillTwo,
    KillAll,
    Pause,
    Blink,
    Crash,
    Outage,
    Cut,
    CutTo,
    CutFrom,
    CutNew,
    Delay,
    Reset,
    Clock,
    Rolling,
}

impl Kind {
    /// What it is called on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillTwo => "kill-two",
            Self::KillAll => "kill-all",
            Self::Pause => "pause",
            Self::Blink => "blink",
            Self::Crash => "crash",
            Self::Outage => "outage",
            Self::Cut => "cut",
            Self::CutTo => "cut-to",
            Self::CutFrom => "cut-from",
            Self::CutNew => "cut-new",
            Self::Delay => "delay",
            Self::Reset => "reset",
            Self::Clock => "clock",
            Self::Rolling => "rolling",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        let known = KINDS.iter().find(|(kind, _)| kind.word() == word);
        let Some((kind, _)) = known else {
            let all: Vec<&str> = KINDS.iter().map(|(kind, _)| kind.word()).collect();
            bail!("no fault {word:?}: {}", all.join(", "));
        };
        Ok(*kind)
    }
}

/// Which packets between a node and the database are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Those of the node.
    To,
    /// Those of the database.
    From,
    Both,
}

/// What happens, and to which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`; they start again at its end.
    Kill(Vec<usize>),
    /// SIGSTOP for longer than the lease, then SIGCONT.
    Pause(usize),
    /// SIGSTOP for less than half of the lease.
    Blink(usize),
    /// `pg_ctl stop -m immediate`, and start.
    Crash,
    /// The same, with the database away for seconds.
    Outage,
    /// Packets between a node and the database are dropped.
    Cut { node: usize, way: Way },
    /// All of them for longer than the lease, and then only those of new connections: what the node was
    /// about to write arrives before it can renew its lease.
    CutNew { node: usize, all: Duration },
    /// They take half a second longer for each question and answer.
    Delay(usize),
    /// Connections of the load balancer to a node are reset.
    Reset(usize),
    /// The clock of a node is moved by an hour, and back.
    Clock { node: usize, is_forwards: bool },
    /// One node after the other is stopped by SIGTERM and started.
    Rolling,
    /// The same, with a pause after each, from the program of another release to the one under test.
    Upgrade,
}

impl Fault {
    /// Whether both may be there at a time.
    pub fn goes_with(&self, other: &Self) -> bool {
        let is_rolling = |fault: &Self| matches!(fault, Self::Rolling | Self::Upgrade);
        let is_database = |fault: &Self| matches!(fault, Self::Crash | Self::Outage);
        if is_rolling(self) || is_rolling(other) || (is_database(self) && is_database(other)) {
            return false;
        }
        // A node that is stopped cannot be stopped, nor a way that is cut be cut, ...
        std::mem::discriminant(self) != std::mem::discriminant(other) && !self.stops_as(other)
    }

    fn stops_as(&self, other: &Self) -> bool {
        let stopped = |fault: &Self| match fault {
            Self::Pause(node) | Self::Blink(node) => Some(*node),
            _ => None,
        };
        stopped(self).is_some() && stopped(self) == stopped(other)
    }
}

/// For people, and for the history.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(nodes) => write!(f, "kill {}", names(nodes)),
            Self::Pause(node) => write!(f, "pause {} beyond its lease", name(*node)),
            Self::Blink(node) => write!(f, "pause {} within its lease", name(*node)),
            Self::Crash => write!(f, "crash of Postgres"),
            Self::Outage => write!(f, "outage of Postgres"),
            Self::Cut { node, way } => {
                let text = match way {
                    Way::To => "cut to Postgres",
                    Way::From => "cut from Postgres",
                    Way::Both => "cut both ways",
                };
                write!(f, "{text} of {}", name(*node))
            }
            Self::CutNew { node, .. } => {
                write!(
                    f,
                    "cut of {}, of its new connections for longer",
                    name(*node)
                )
            }
            Self::Delay(node) => write!(f, "delay of {}", name(*node)),
            Self::Reset(node) => write!(f, "resets between nginx and {}", name(*node)),
            Self::Clock { node, is_forwards } => {
                let way = if *is_forwards {
                    "forwards"
                } else {
                    "backwards"
                };
                write!(f, "clock of {} {way}", name(*node))
            }
            Self::Rolling => write!(f, "rolling restart"),
            Self::Upgrade => write!(f, "rolling upgrade"),
        }
    }
}

/// The name of a node.
pub const fn name(node: usize) -> &'static str {
    match node {
        0 => "a",
        1 => "b",
        _ => "c",
    }
}
