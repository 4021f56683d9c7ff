//! What Causeway should reach, and whether it did.

use super::{
    results::{Results, show},
    subject::Subject::{self, Cluster, Mosquitto, Node},
};
use crate::catalogue::Scenario;

/// CPU per message of one node, as a ratio to mosquitto's.
pub(crate) const RATIOS: [(Scenario, f64); 8] = [
    (Scenario::S1, 0.20),
    (Scenario::S2, 0.12),
    (Scenario::S3, 0.18),
    (Scenario::S4, 0.25),
    (Scenario::S5, 0.10),
    (Scenario::S6, 0.14),
    (Scenario::S7, 1.0),
    (Scenario::S8, 0.14),
];

const MOST_PEAK_MB: f64 = 60.0;
const MOST_KB_PER_CONNECTION: f64 = 4.0;
/// Both nodes and Postgres, over one node.
const MOST_ACROSS: f64 = 2.2;
/// Across over one node, at S7.
const MOST_ADDED_MEDIAN_MS: f64 = 1.5;
const MOST_ADDED_P99_MS: f64 = 8.0;
const MOST_IDLE_POSTGRES: f64 = 0.01;
/// What N8 may cost over N2: the measuring error.
const MOST_GROWTH: f64 = 1.1;

/// A target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    /// Scenarios and what of them.
    pub(crate) what: String,
    pub(crate) measured: f64,
    bound: f64,
    /// Whether more is better.
    at_least: bool,
}

impl Check {
    /// `None` if it was not measured.
    pub(crate) fn is_met(&self) -> Option<bool> {
        if self.measured.is_nan() || self.bound.is_nan() {
            return None;
        }
        // What rounds to the target has reached it.
        let close = self.bound * 0.005;
        Some(match self.at_least {
            true => self.measured >= self.bound - close,
            false => self.measured <= self.bound + close,
        })
    }

    /// The target in words.
    pub(crate) fn target(&self) -> String {
        let words = if self.at_least { "at least" } else { "at most" };
        format!("{words} {}", show(self.bound))
    }

    /// The answer in words.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        }
    }
}

fn most(scenario: Scenario, what: &str, measured: f64, bound: f64) -> Check {
    Check {
        what: format!("{scenario}: {what}"),
        measured,
        bound,
        at_least: false,
    }
}

/// All targets, in the order of the scenarios.
pub(crate) fn checks(results: &Results) -> Vec<Check> {
    let median =
        |scenario, subject: Subject, figure: &str| results.median(scenario, subject, figure);
    let ratio = |scenario, figure: &str| results.ratio(scenario, [Node, Mosquitto], figure);
    let mut all = Vec::new();
    for (scenario, bound) in RATIOS {
        let measured = ratio(scenario, "cpu_us_per_msg");
        all.push(most(
            scenario,
            "CPU per message, ratio to mosquitto",
            measured,
            bound,
        ));
    }
    for (subject, what) in [(Node, "S1 to S8"), (Cluster, "S1 to S8: across")] {
        let peak = |(scenario, _)| median(scenario, subject, "rss_largest_kb") / 1024.0;
        all.push(Check {
            what: format!("{what}: largest peak memory of a node, MB"),
            measured: RATIOS.map(peak).into_iter().fold(f64::NAN, f64::max),
            bound: MOST_PEAK_MB,
            at_least: false,
        });
    }
    let p99 = |subject| median(Scenario::S7, subject, "lat_p99_ms");
    all.push(most(
        Scenario::S7,
        "latency p99, ms (mosquitto's)",
        p99(Node),
        p99(Mosquitto),
    ));
    let per_connection = median(Scenario::C1, Node, "kb_per_conn");
    all.push(most(
        Scenario::C1,
        "memory per connection, kB",
        per_connection,
        MOST_KB_PER_CONNECTION,
    ));
    let connects = |subject| median(Scenario::C1, subject, "connects_per_s");
    all.push(Check {
        what: "C1: connects per second (mosquitto's)".to_owned(),
        measured: connects(Node),
        bound: connects(Mosquitto),
        at_least: true,
    });
    let idle = |subject| median(Scenario::C1, subject, "idle_cores") * 100.0;
    all.push(most(
        Scenario::C1,
        "idle CPU, % of a core (mosquitto's)",
        idle(Node),
        idle(Mosquitto),
    ));
    all.extend(across(results));
    all
}

fn across(results: &Results) -> Vec<Check> {
    let mut all = Vec::new();
    for scenario in [Scenario::S2, Scenario::S5] {
        let one = results.median(scenario, Node, "cpu_us_per_msg");
        let measured = results.whole_cost(scenario) / one;
        all.push(most(
            scenario,
            "across: CPU with Postgres, ratio to one node",
            measured,
            MOST_ACROSS,
        ));
    }
    let added = |figure| {
        let of = |subject| results.median(Scenario::S7, subject, figure);
        of(Cluster) - of(Node)
    };
    let (median, p99) = (added("lat_p50_ms"), added("lat_p99_ms"));
    all.push(most(
        Scenario::S7,
        "across: median added to one node, ms",
        median,
        MOST_ADDED_MEDIAN_MS,
    ));
    all.push(most(
        Scenario::S7,
        "across: p99 added to one node, ms",
        p99,
        MOST_ADDED_P99_MS,
    ));
    let growth = results.whole_cost(Scenario::N8) / results.whole_cost(Scenario::N2);
    all.push(most(
        Scenario::N8,
        "CPU per message, ratio to N2",
        growth,
        MOST_GROWTH,
    ));
    let postgres = results.median(Scenario::I3, Cluster, "idle_aux_cores") * 100.0;
    let bound = MOST_IDLE_POSTGRES * 100.0;
    all.push(most(
        Scenario::I3,
        "idle CPU of Postgres, % of a core",
        postgres,
        bound,
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn results(rows: &[(Scenario, Subject, &'static str, f64)]) -> Results {
        let mut results = Results::new(None);
        for (scenario, subject, figure, value) in rows {
            results.add(*scenario, *subject, Figures(vec![(figure, *value)]));
        }
        results
    }

    fn find(checks: &[Check], scenario: Scenario, what: &str) -> Check {
        let begin = format!("{scenario}: {what}");
        let found = checks.iter().find(|check| check.what.starts_with(&begin));
        found.unwrap().clone()
    }

    #[test]
    fn a_target_is_met_missed_or_not_measured() {
        let cpu = "cpu_us_per_msg";
        let checks = checks(&results(&[
            (Scenario::S1, Node, cpu, 1.0),
            (Scenario::S1, Mosquitto, cpu, 5.0),
            (Scenario::S2, Node, cpu, 1.0),
            (Scenario::S2, Mosquitto, cpu, 5.0),
            (Scenario::C1, Node, "connects_per_s", 900.0),
            (Scenario::C1, Mosquitto, "connects_per_s", 1000.0),
        ]));
        assert_eq!(find(&checks, Scenario::S1, "CPU").is_met(), Some(true));
        assert_eq!(find(&checks, Scenario::S2, "CPU").is_met(), Some(false));
        assert_eq!(find(&checks, Scenario::S3, "CPU").is_met(), None);
        assert_eq!(
            find(&checks, Scenario::C1, "connects").is_met(),
            Some(false)
        );
    }

    #[test]
    fn across_counts_nodes_postgres_and_bystanders() {
        let results = results(&[
            (Scenario::S5, Node, "cpu_us_per_msg", 1.0),
            (Scenario::N8, Cluster, "cpu_us_per_msg", 2.0),
        ]);
        assert!(results.whole_cost(Scenario::S5).is_nan());
        let mut results = results;
        let figures = vec![("cpu_us_per_msg", 2.0), ("aux_us_per_msg", 0.5)];
        results.add(Scenario::S5, Cluster, Figures(figures.clone()));
        results.add(
            Scenario::N2,
            Cluster,
            Figures([figures, vec![("bystanders_us_per_msg", 0.3)]].concat()),
        );
        assert!((results.whole_cost(Scenario::S5) - 2.5).abs() < 1e-9);
        assert!((results.whole_cost(Scenario::N2) - 2.8).abs() < 1e-9);
        let check = find(&checks(&results), Scenario::S5, "across");
        assert_eq!(
            (check.verdict(), check.target().as_str()),
            ("MISSED", "at most 2.20")
        );
    }
}
