//! What all rounds have measured, and its medians.

use super::subject::Subject;
use crate::{
    catalogue::Scenario,
    report::{Figures, faults, median},
};

/// The figures of a run of `compare`.
#[derive(Debug)]
pub(crate) struct Results {
    rounds: u32,
    mosquitto: Option<String>,
    rows: Vec<(Scenario, Subject, Figures)>,
    failures: Vec<String>,
}

impl Results {
    pub(crate) fn new(rounds: u32, mosquitto: Option<String>) -> Self {
        Self {
            rounds,
            mosquitto,
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, scenario: Scenario, subject: Subject, figures: Figures) {
        self.rows.push((scenario, subject, figures));
    }

    /// Takes down a run that could not be measured.
    pub(crate) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The version of mosquitto, if it is installed.
    pub(crate) fn mosquitto(&self) -> Option<&str> {
        self.mosquitto.as_deref()
    }

    /// Whether there is any round of it.
    pub(crate) fn has(&self, scenario: Scenario, subject: Subject) -> bool {
        self.of(scenario, subject).next().is_some()
    }

    fn of(&self, scenario: Scenario, subject: Subject) -> impl Iterator<Item = &Figures> {
        self.rows
            .iter()
            .filter(move |(own, who, _)| *own == scenario && *who == subject)
            .map(|(_, _, figures)| figures)
    }

    /// The median of a figure over the rounds; NaN if it was never measured.
    pub(crate) fn median(&self, scenario: Scenario, subject: Subject, figure: &str) -> f64 {
        median(
            self.of(scenario, subject)
                .map(|figures| figures.get(figure)),
        )
    }

    /// The smallest and the largest; NaN if it was never measured.
    pub(crate) fn range(&self, scenario: Scenario, subject: Subject, figure: &str) -> [f64; 2] {
        let values = || {
            self.of(scenario, subject)
                .map(|figures| figures.get(figure))
        };
        // NaN loses against every number.
        [
            values().fold(f64::NAN, f64::min),
            values().fold(f64::NAN, f64::max),
        ]
    }

    /// The median of a figure of one broker over that of another.
    pub(crate) fn ratio(&self, scenario: Scenario, [of, to]: [Subject; 2], figure: &str) -> f64 {
        self.median(scenario, of, figure) / self.median(scenario, to, figure)
    }

    /// CPU of the nodes and of Postgres per message.
    pub(crate) fn whole_cost(&self, scenario: Scenario) -> f64 {
        let cost = |figure| self.median(scenario, Subject::Cluster, figure);
        let aside = cost("bystanders_us_per_msg");
        let aside = if aside.is_nan() { 0.0 } else { aside };
        cost("cpu_us_per_msg") + cost("aux_us_per_msg") + aside
    }

    /// Every run in which something was lost, repeated, out of order or broken, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let found = |(scenario, subject, figures): &(Scenario, Subject, Figures)| {
            faults(figures).map(|faults| format!("{scenario} {subject}: {faults}"))
        };
        self.rows.iter().filter_map(found).collect()
    }

    /// The most that everybody else took of the machine in a run, in cores.
    pub(crate) fn others(&self) -> f64 {
        let all = self
            .rows
            .iter()
            .map(|(_, _, figures)| figures.get("other_cores"));
        all.fold(f64::NAN, f64::max)
    }
}

/// A figure with two to four digits; "–" if it was not measured.
pub(crate) fn show(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "–".to_owned()
    } else if size >= 100.0 {
        thousands(value)
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// The median, and the range if there is more than one round.
pub(crate) fn show_range(
    results: &Results,
    scenario: Scenario,
    subject: Subject,
    figure: &str,
) -> String {
    let median = show(results.median(scenario, subject, figure));
    let [least, most] = results.range(scenario, subject, figure);
    if results.rounds() < 2 || least.is_nan() {
        return median;
    }
    format!("{median} ({} to {})", show(least), show(most))
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_long_as_they_are_worth() {
        let shown = [
            0.0,
            0.012_34,
            0.5,
            5.678,
            17.25,
            123.4,
            3_128_000.4,
            -1234.0,
        ]
        .map(show);
        assert_eq!(
            shown,
            [
                "0.00",
                "0.012",
                "0.50",
                "5.68",
                "17.2",
                "123",
                "3,128,000",
                "-1,234"
            ]
        );
        assert_eq!(show(f64::NAN), "–");
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        let mut results = Results::new(3, None);
        for (node, mosquitto) in [(1.0, 10.0), (2.0, 40.0), (6.0, 20.0)] {
            let figures = |value| Figures(vec![("cpu_us_per_msg", value)]);
            results.add(Scenario::S1, Subject::Node, figures(node));
            results.add(Scenario::S1, Subject::Mosquitto, figures(mosquitto));
        }
        let pair = [Subject::Node, Subject::Mosquitto];
        let ratio = results.ratio(Scenario::S1, pair, "cpu_us_per_msg");
        assert!((ratio - 0.1).abs() < 1e-9);
        let text = show_range(&results, Scenario::S1, Subject::Node, "cpu_us_per_msg");
        assert_eq!(text, "2.00 (1.00 to 6.00)");
        assert!(results.ratio(Scenario::S2, pair, "cpu_us_per_msg").is_nan());
        assert_eq!(show_range(&results, Scenario::S2, Subject::Node, "x"), "–");
    }

    #[test]
    fn one_bad_round_of_many_is_told() {
        let mut results = Results::new(2, None);
        results.add(Scenario::S1, Subject::Node, Figures(vec![("lost", 0.0)]));
        results.add(Scenario::S1, Subject::Node, Figures(vec![("lost", 3.0)]));
        assert_eq!(results.faults(), ["S1 node: 3 lost"]);
    }
}
