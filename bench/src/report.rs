//! What is printed: a JSON line per round as it ends, and the tables at the end.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

/// Named figures of one round, or their medians, always in the same order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(pub(crate) Vec<(&'static str, f64)>);

impl Figures {
    /// NaN if there is none of that name.
    pub(crate) fn get(&self, name: &str) -> f64 {
        let found = self.0.iter().find(|(own, _)| *own == name);
        found.map_or(f64::NAN, |(_, value)| *value)
    }

    /// Median by median.
    pub(crate) fn medians(rounds: &[Self]) -> Self {
        let names = rounds.first().map(|first| first.0.as_slice());
        let names = names.unwrap_or_default().iter().map(|(name, _)| *name);
        Self(
            names
                .map(|name| (name, median(rounds.iter().map(|round| round.get(name)))))
                .collect(),
        )
    }
}

/// The median of what is a number; NaN if there is none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2);
    let lower = values.get(values.len().saturating_sub(1) / 2);
    match (lower, upper) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

/// A table of the end. The first row is its header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Collects the tables of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tables: Vec<Table>,
}

impl Report {
    /// Tells on standard error what is going on.
    pub(crate) fn progress(&mut self, text: &str) {
        tell(text);
    }

    /// Prints one round.
    pub(crate) fn round(
        &mut self,
        scenario: &str,
        place: &str,
        round: u32,
        figures: &Figures,
    ) -> anyhow::Result<()> {
        print(&line(
            &[("scenario", scenario), ("place", place)],
            round,
            figures,
        ))
    }

    pub(crate) fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Prints the tables.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for table in &self.tables {
            write!(out, "\n{}", layout(table))?;
        }
        Ok(())
    }
}

/// Tells something on standard error.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}"); // nobody listens: no reason to stop
}

/// Prints a line on standard output.
///
/// # Errors
///
/// If nobody reads it any more.
pub(crate) fn print(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// One round as a JSON object.
pub(crate) fn line(heads: &[(&str, &str)], round: u32, figures: &Figures) -> String {
    let mut line = String::from("{");
    for (name, text) in heads {
        let _ = write!(line, "\"{name}\":\"{}\",", escaped(text));
    }
    let _ = write!(line, "\"round\":{round}");
    for (name, value) in &figures.0 {
        let _ = match *value {
            value if !value.is_finite() => write!(line, ",\"{name}\":null"),
            value if value.fract() == 0.0 => write!(line, ",\"{name}\":{value:.0}"),
            value => write!(line, ",\"{name}\":{value:.4}"),
        };
    }
    line.push('}');
    line
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What must not happen, as names of figures and in words.
const FAULTS: [(&str, &str); 5] = [
    ("lost", "lost"),
    ("dups", "repeated"),
    ("out_of_order", "out of order"),
    ("alien", "that nobody sent"),
    ("failures", "connections failed or closed"),
];

/// The faults of a round in words; `None` if there were none.
pub(crate) fn faults(get: &dyn Fn(&str) -> f64) -> Option<String> {
    let found: Vec<String> = FAULTS
        .iter()
        .map(|(name, words)| (get(name), words))
        .filter(|(count, _)| *count > 0.0)
        .map(|(count, words)| format!("{count:.0} {words}"))
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// Tells them on standard error.
pub(crate) fn tell_faults(what: &str, figures: &Figures) {
    if let Some(faults) = faults(&|name| figures.get(name)) {
        tell(&format!("FAULTS in {what}: {faults}"));
    }
}

/// Columns as wide as their widest cell; the first to the left, the others to the right.
pub(crate) fn layout(table: &Table) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in &table.rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = format!("{}\n", table.title);
    for row in &table.rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at == 0 {
                let _ = write!(line, "  {cell:<width$}");
            } else {
                let _ = write!(line, "  {cell:>width$}");
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_ignores_what_was_not_measured() {
        assert!((median([3.0, f64::NAN, 1.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_line_is_json_whatever_the_label_is() {
        let figures = Figures(vec![("a", 2.0), ("b", 0.25), ("c", f64::NAN)]);
        assert_eq!(
            line(&[("label", "\"x\\\n")], 3, &figures),
            r#"{"label":"\"x\\ ","round":3,"a":2,"b":0.2500,"c":null}"#
        );
    }

    #[test]
    fn faults_are_named_and_their_absence_is_silent() {
        let figures = Figures(vec![
            ("lost", 0.0),
            ("dups", 2.0),
            ("out_of_order", f64::NAN),
        ]);
        let found = faults(&|name| figures.get(name));
        assert_eq!(found.as_deref(), Some("2 repeated"));
        assert_eq!(faults(&|_| 0.0), None);
    }

    #[test]
    fn columns_are_aligned() {
        let table = Table {
            title: "t".to_owned(),
            rows: [["a", "1"], ["bcd", "23"]]
                .map(|row| row.map(str::to_owned).to_vec())
                .to_vec(),
        };
        assert_eq!(layout(&table), "t\n  a     1\n  bcd  23\n");
    }
}
