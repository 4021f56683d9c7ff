//! What all rounds have measured, and its medians.

use std::collections::HashMap;

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::subject::Subject;
use crate::{
    catalogue::Scenario,
    report::{Figures, faults, median},
};

/// The figures of a run of `compare`, and of earlier ones.
#[derive(Debug)]
pub(crate) struct Results {
    mosquitto: Option<String>,
    rows: Vec<Row>,
    failures: Vec<String>,
}

/// One run of a scenario.
#[derive(Debug)]
struct Row {
    scenario: Scenario,
    subject: Subject,
    figures: HashMap<String, f64>,
}

impl Row {
    /// NaN if there is none of that name.
    fn get(&self, figure: &str) -> f64 {
        self.figures.get(figure).copied().unwrap_or(f64::NAN)
    }

    /// Reads a line that `compare` has printed.
    fn parse(line: &str) -> Option<Self> {
        let inner = line.strip_prefix('{')?.strip_suffix('}')?;
        let (mut scenario, mut subject, mut figures) = (None, None, HashMap::new());
        for member in inner.split(',') {
            let (name, value) = member.split_once(':')?;
            let name = name.strip_prefix('"')?.strip_suffix('"')?;
            let text = value.trim_matches('"');
            match name {
                "scenario" => scenario = Some(Scenario::from_str(text, false).ok()?),
                "broker" => subject = Some(Subject::from_str(text, false).ok()?),
                _ if value == "null" => {}
                _ => {
                    figures.insert(name.to_owned(), value.parse().ok()?);
                }
            }
        }
        Some(Self {
            scenario: scenario?,
            subject: subject?,
            figures,
        })
    }
}

impl Results {
    pub(crate) fn new(mosquitto: Option<String>) -> Self {
        Self {
            mosquitto,
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, scenario: Scenario, subject: Subject, figures: Figures) {
        let figures = figures.0.into_iter();
        let figures = figures.map(|(name, value)| (name.to_owned(), value));
        self.rows.push(Row {
            scenario,
            subject,
            figures: figures.collect(),
        });
    }

    /// Adds what an earlier run has printed; its tables are passed over.
    ///
    /// # Errors
    ///
    /// If a line is an object, but not one of this program.
    pub(crate) fn add_printed(&mut self, text: &str) -> anyhow::Result<()> {
        let objects = text.lines().filter(|line| line.starts_with('{'));
        for line in objects {
            let row =
                Row::parse(line).with_context(|| format!("not printed by compare: {line}"))?;
            self.rows.push(row);
        }
        Ok(())
    }

    /// Takes down a run that could not be measured.
    pub(crate) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The most runs there are of a scenario and a broker.
    pub(crate) fn rounds(&self) -> usize {
        let runs = |row: &Row| self.of(row.scenario, row.subject).count();
        self.rows.iter().map(runs).max().unwrap_or_default()
    }

    /// The version of mosquitto, if it is installed.
    pub(crate) fn mosquitto(&self) -> Option<&str> {
        self.mosquitto.as_deref()
    }

    /// Whether there is any round of it.
    pub(crate) fn has(&self, scenario: Scenario, subject: Subject) -> bool {
        self.of(scenario, subject).next().is_some()
    }

    fn of(&self, scenario: Scenario, subject: Subject) -> impl Iterator<Item = &Row> {
        let all = self.rows.iter();
        all.filter(move |row| row.scenario == scenario && row.subject == subject)
    }

    /// The median of a figure over the rounds; NaN if it was never measured.
    pub(crate) fn median(&self, scenario: Scenario, subject: Subject, figure: &str) -> f64 {
        median(self.of(scenario, subject).map(|row| row.get(figure)))
    }

    /// The smallest and the largest; NaN if it was never measured.
    pub(crate) fn range(&self, scenario: Scenario, subject: Subject, figure: &str) -> [f64; 2] {
        let values = || self.of(scenario, subject).map(|row| row.get(figure));
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
        let found = |row: &Row| {
            let (scenario, subject) = (row.scenario, row.subject);
            faults(&|name| row.get(name)).map(|faults| format!("{scenario} {subject}: {faults}"))
        };
        self.rows.iter().filter_map(found).collect()
    }

    /// The most that everybody else took of the machine in a run, in cores.
    pub(crate) fn others(&self) -> f64 {
        let all = self.rows.iter().map(|row| row.get("other_cores"));
        all.fold(f64::NAN, f64::max)
    }

    /// How long was measured, at most, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        let all = self.rows.iter().map(|row| row.get("measured_s"));
        all.fold(f64::NAN, f64::max)
    }

    /// The scenarios that were measured, each once, in order.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = Scenario> {
        let is_there = |scenario: &Scenario| self.rows.iter().any(|row| row.scenario == *scenario);
        Scenario::ALL.into_iter().filter(is_there)
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
        let mut results = Results::new(None);
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
    fn what_is_printed_can_be_added() {
        let figures = || Figures(vec![("cpu_us_per_msg", 0.25), ("aux_us_per_msg", f64::NAN)]);
        let heads = [("scenario", "S5"), ("broker", "node")];
        let line = crate::report::line(&heads, 1, &figures());
        let mut results = Results::new(None);
        results.add(Scenario::S5, Subject::Node, figures());
        let printed = format!("{line}\n\nA table\n  scenario\n");
        results.add_printed(&printed).unwrap();
        assert_eq!(results.rounds(), 2);
        let [least, most] = results.range(Scenario::S5, Subject::Node, "cpu_us_per_msg");
        assert!((least - 0.25).abs() < 1e-9 && (most - 0.25).abs() < 1e-9);
        let missing = results.median(Scenario::S5, Subject::Node, "aux_us_per_msg");
        assert!(missing.is_nan());
        for wrong in [
            "{\"scenario\":\"S5\"}",
            "{\"scenario\":\"X\",\"broker\":\"node\"}",
            "{}",
        ] {
            assert!(results.add_printed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_bad_round_of_many_is_told() {
        let mut results = Results::new(None);
        results.add(Scenario::S1, Subject::Node, Figures(vec![("lost", 0.0)]));
        results.add(Scenario::S1, Subject::Node, Figures(vec![("lost", 3.0)]));
        assert_eq!(results.faults(), ["S1 node: 3 lost"]);
    }
}
