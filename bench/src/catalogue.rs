//! The scenarios, by name: what each one is, and the load it stands for.

use std::time::Duration;

use clap::ValueEnum;

use crate::{
    generator::{Broker, Handshakes, Idle, Offline, Pace, Pattern, Retained, Traffic},
    report::Figures,
};

/// Handshakes of C1 at one time, and clients of H1 and H2.
const PARALLEL: usize = 100;
const HANDSHAKING: usize = 50;
/// Nodes do something every second or two.
const LEAST_IDLE: Duration = Duration::from_secs(6);

/// A scenario. S, C, O and R are the same for every broker; T and H are by TLS; N and I are about a
/// cluster alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Scenario {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
    C1,
    O1,
    R1,
    T5,
    T7,
    H1,
    H2,
    N2,
    N4,
    N8,
    I3,
}

/// What a scenario does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Load {
    Traffic(Traffic),
    Idle(Idle),
    Offline(Offline),
    Retained(Retained),
    Handshakes(Handshakes),
    /// Waits, and looks on for so long.
    Nothing {
        settle: Duration,
        measured: Duration,
    },
}

/// How long, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Of C1.
    pub(crate) connections: usize,
    /// Of R1.
    pub(crate) topics: usize,
    /// How long C1 settles and is held.
    pub(crate) settle: Duration,
    pub(crate) hold: Duration,
    /// How long a new cluster settles before I3.
    pub(crate) rest: Duration,
}

impl Scale {
    /// Half as long under load.
    pub(crate) fn halved(&self) -> Self {
        Self {
            warm_up: self.warm_up / 2,
            measured: self.measured / 2,
            ..*self
        }
    }
}

impl Scenario {
    pub(crate) const ALL: [Self; 19] = [
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S4,
        Self::S5,
        Self::S6,
        Self::S7,
        Self::S8,
        Self::C1,
        Self::O1,
        Self::R1,
        Self::T5,
        Self::T7,
        Self::H1,
        Self::H2,
        Self::N2,
        Self::N4,
        Self::N8,
        Self::I3,
    ];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::S4 => "S4",
            Self::S5 => "S5",
            Self::S6 => "S6",
            Self::S7 => "S7",
            Self::S8 => "S8",
            Self::C1 => "C1",
            Self::O1 => "O1",
            Self::R1 => "R1",
            Self::T5 => "T5",
            Self::T7 => "T7",
            Self::H1 => "H1",
            Self::H2 => "H2",
            Self::N2 => "N2",
            Self::N4 => "N4",
            Self::N8 => "N8",
            Self::I3 => "I3",
        }
    }

    /// What it is, in a line.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::S1 => "1 publisher to 1 subscriber, QoS 0, 16 B",
            Self::S2 => "10 pairs, QoS 0, 256 B",
            Self::S3 => "1 publisher to 500 subscribers, QoS 0, 64 B",
            Self::S4 => "100 publishers to 1 wildcard subscriber, QoS 1, 64 B",
            Self::S5 => "10 pairs, QoS 1, 256 B",
            Self::S6 => "10 pairs, QoS 2, 256 B",
            Self::S7 => "10 pairs, QoS 1, 64 B, 5,000 messages/s",
            Self::S8 => "10 publishers to a shared group of 10, QoS 1, 64 B",
            Self::C1 => "17,000 idle connections",
            Self::O1 => "100 sessions away, 200 messages each, QoS 1, 64 B",
            Self::R1 => "50,000 retained messages of 64 B, then one subscriber",
            Self::T5 => "S5 by TLS 1.3",
            Self::T7 => "S7 by TLS 1.3",
            Self::H1 => "full TLS handshakes, 50 clients",
            Self::H2 => "resumed TLS handshakes, 50 clients",
            Self::N2 => "S5 across 2 nodes",
            Self::N4 => "S5 across 2 of 4 nodes",
            Self::N8 => "S5 across 2 of 8 nodes",
            Self::I3 => "3 idle nodes",
        }
    }

    /// Whether clients speak TLS.
    pub(crate) fn is_by_tls(self) -> bool {
        matches!(self, Self::T5 | Self::T7 | Self::H1 | Self::H2)
    }

    /// How many nodes the cluster needs, if it is about nothing else.
    pub(crate) fn nodes(self) -> Option<usize> {
        match self {
            Self::N2 => Some(2),
            Self::N4 => Some(4),
            Self::N8 => Some(8),
            Self::I3 => Some(3),
            _ => None,
        }
    }

    /// What it does.
    pub(crate) fn load(self, scale: &Scale) -> Load {
        let pairs = |qos, payload_bytes, pace| {
            let mut traffic = traffic(scale, Pattern::Pairs, (10, 10), pace);
            (traffic.qos, traffic.payload_bytes) = (qos, payload_bytes);
            Load::Traffic(traffic)
        };
        let many = |pattern, clients, (qos, payload_bytes), window| {
            let mut traffic = traffic(scale, pattern, clients, Pace::Window(window));
            (traffic.qos, traffic.payload_bytes) = (qos, payload_bytes);
            Load::Traffic(traffic)
        };
        match self {
            Self::S1 => many(Pattern::Pairs, (1, 1), (0, 16), 2000),
            Self::S2 => pairs(0, 256, Pace::Window(200)),
            Self::S3 => many(Pattern::FanOut, (1, 500), (0, 64), 20),
            Self::S4 => many(Pattern::FanIn, (100, 1), (1, 64), 2),
            Self::S5 | Self::T5 | Self::N2 | Self::N4 | Self::N8 => {
                pairs(1, 256, Pace::Window(100))
            }
            Self::S6 => pairs(2, 256, Pace::Window(10)),
            Self::S7 | Self::T7 => pairs(1, 64, Pace::Rate(5000.0)),
            Self::S8 => many(Pattern::Shared, (10, 10), (1, 64), 40),
            Self::C1 => Load::Idle(Idle {
                connections: scale.connections,
                parallel: PARALLEL,
                settle: scale.settle,
                hold: scale.hold,
            }),
            Self::O1 => Load::Offline(Offline {
                sessions: 100,
                messages: 200,
                payload_bytes: 64,
                publishers: 4,
                unacknowledged: 100,
            }),
            Self::R1 => Load::Retained(Retained {
                topics: scale.topics,
                payload_bytes: 64,
                publishers: 4,
                unacknowledged: 100,
            }),
            Self::H1 | Self::H2 => Load::Handshakes(Handshakes {
                clients: HANDSHAKING,
                resumed: self == Self::H2,
                warm_up: scale.warm_up,
                measured: scale.measured,
            }),
            Self::I3 => Load::Nothing {
                settle: scale.rest,
                measured: scale.measured.max(LEAST_IDLE),
            },
        }
    }
}

fn traffic(scale: &Scale, pattern: Pattern, clients: (usize, usize), pace: Pace) -> Traffic {
    let (publishers, subscribers) = clients;
    Traffic {
        pattern,
        publishers,
        subscribers,
        qos: 0,
        payload_bytes: 0,
        pace,
        warm_up: scale.warm_up,
        measured: scale.measured,
    }
}

impl Load {
    /// Puts it on `broker`.
    ///
    /// # Errors
    ///
    /// If connections do not come up, or the load cannot go on.
    pub(crate) fn run(&self, broker: &Broker) -> anyhow::Result<Figures> {
        match self {
            Self::Traffic(traffic) => traffic.run(broker),
            Self::Idle(idle) => idle.run(broker),
            Self::Offline(offline) => offline.run(broker),
            Self::Retained(retained) => retained.run(broker),
            Self::Handshakes(handshakes) => handshakes.run(broker),
            Self::Nothing { settle, measured } => {
                std::thread::sleep(*settle);
                let before = broker.meter.read();
                std::thread::sleep(*measured);
                let usage = broker.meter.read().since(&before);
                Ok(Figures(vec![
                    ("measured_s", usage.seconds),
                    ("idle_cores", usage.brokers / usage.seconds),
                    ("idle_aux_cores", usage.database / usage.seconds),
                    ("other_cores", usage.others / usage.seconds),
                ]))
            }
        }
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale {
        warm_up: Duration::from_secs(2),
        measured: Duration::from_secs(8),
        connections: 17_000,
        topics: 50_000,
        settle: Duration::from_secs(2),
        hold: Duration::from_secs(3),
        rest: Duration::from_secs(5),
    };

    #[test]
    fn every_scenario_is_listed_once_and_in_order() {
        assert!(Scenario::ALL.is_sorted_by(|a, b| a < b));
        assert_eq!(Scenario::ALL.len(), Scenario::value_variants().len());
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_str(scenario.name(), false), Ok(scenario));
        }
    }

    #[test]
    fn across_tls_and_more_nodes_the_load_is_the_same() {
        let load = |scenario: Scenario| scenario.load(&SCALE);
        for same in [Scenario::T5, Scenario::N2, Scenario::N8] {
            assert_eq!(load(same), load(Scenario::S5));
        }
        assert_eq!(load(Scenario::T7), load(Scenario::S7));
        assert_ne!(load(Scenario::H1), load(Scenario::H2));
    }

    #[test]
    fn the_bounds_are_those_that_the_page_states() {
        let bound = |scenario: Scenario| match scenario.load(&SCALE) {
            Load::Traffic(Traffic {
                pace: Pace::Window(window),
                publishers,
                subscribers,
                qos,
                payload_bytes,
                ..
            }) => (publishers, subscribers, qos, payload_bytes, window),
            _ => panic!("{scenario} has no window"),
        };
        assert_eq!(bound(Scenario::S1), (1, 1, 0, 16, 2000));
        assert_eq!(bound(Scenario::S3), (1, 500, 0, 64, 20));
        assert_eq!(bound(Scenario::S4), (100, 1, 1, 64, 2));
        assert_eq!(bound(Scenario::S6), (10, 10, 2, 256, 10));
        assert_eq!(bound(Scenario::S8), (10, 10, 1, 64, 40));
    }
}
