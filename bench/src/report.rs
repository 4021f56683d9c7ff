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

fn median(values: impl Iterator<Item = f64>) -> f64 {
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
        let _ = writeln!(io::stderr(), "{text}"); // nobody listens: no reason to stop
    }

    /// Prints one round.
    pub(crate) fn round(
        &mut self,
        scenario: &str,
        place: &str,
        round: u32,
        figures: &Figures,
    ) -> anyhow::Result<()> {
        let mut line =
            format!("{{\"scenario\":\"{scenario}\",\"place\":\"{place}\",\"round\":{round}");
        for (name, value) in &figures.0 {
            if value.is_nan() {
                write!(line, ",\"{name}\":null")?;
            } else {
                write!(line, ",\"{name}\":{value:.3}")?;
            }
        }
        writeln!(io::stdout(), "{line}}}")?;
        Ok(())
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

/// Columns as wide as their widest cell; the first to the left, the others to the right.
fn layout(table: &Table) -> String {
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
