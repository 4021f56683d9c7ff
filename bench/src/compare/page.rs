//! The page docs/benchmark.md.

use std::fmt::Write as _;

use super::{
    Arguments,
    results::{Results, show},
    tables,
};
use crate::report::Table;

/// The whole page.
pub(crate) fn markdown(results: &Results, arguments: &Arguments) -> String {
    let mut page = String::from("# Benchmark\n\n");
    page.push_str(
        "Written by `make bench`; do not edit. What is measured and how: [bench/README.md](../bench/README.md).\n\n",
    );
    page.push_str(&introduction(results, arguments));
    page.push_str("\n![CPU per message as a ratio to mosquitto](benchmark.svg)\n\n");
    if results.faults().is_empty() && results.failures().is_empty() {
        page.push_str("No message was lost, repeated or out of order in any run.\n");
    }
    for table in tables::all(results) {
        let _ = write!(page, "\n## {}\n\n{}", table.title, rows(&table));
    }
    page.push_str("\n## Scenarios\n\n");
    for scenario in results.scenarios() {
        let _ = writeln!(page, "- {scenario}: {}", scenario.what());
    }
    page
}

fn introduction(results: &Results, arguments: &Arguments) -> String {
    let rounds = match results.rounds() {
        1 => "one round".to_owned(),
        rounds => format!("medians of {rounds} rounds (in brackets the smallest and the largest)"),
    };
    let mut text = format!("Causeway {}", env!("CARGO_PKG_VERSION"));
    if !arguments.note.is_empty() {
        let _ = write!(text, ", {}", arguments.note);
    }
    if let Some(version) = results.mosquitto() {
        let _ = write!(text, ", beside mosquitto {version}");
    }
    let _ = writeln!(
        text,
        ": {rounds}, in turning order, each run with freshly started brokers. {} carried everything, clients and \
         Postgres included; other processes took at most {} cores.",
        machine(),
        show(results.others())
    );
    let _ = writeln!(
        text,
        "At full speed and at a fixed rate {} s were measured (by TLS and with more nodes half of it), after a warm-up. \"Two nodes\" has all publishers on the first and \
         all subscribers on the second.",
        (results.seconds() * 10.0).round() / 10.0
    );
    text
}

/// Cores and model of the processor.
fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let of = model.map(|model| format!(" ({model})")).unwrap_or_default();
    format!("A machine with {cores} cores{of}")
}

fn rows(table: &Table) -> String {
    let mut text = String::new();
    for (at, row) in table.rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell_text(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if at == 0 {
            let _ = writeln!(text, "|{}", " --- |".repeat(row.len()));
        }
    }
    text
}

fn cell_text(cell: &str) -> String {
    match cell {
        "MISSED" => "**missed**".to_owned(),
        other => other.replace('|', "\\|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = Table {
            title: "t".to_owned(),
            rows: vec![row(["a", "b"]), row(["x|y", "MISSED"])],
        };
        assert_eq!(
            rows(&table),
            "| a | b |\n| --- | --- |\n| x\\|y | **missed** |\n"
        );
    }
}
