//! The tables of a comparison, for the terminal and for the page.

use super::{
    results::{Results, show, show_range},
    subject::Subject::{self, Cluster, Mosquitto, Node},
    targets::{RATIOS, checks},
};
use crate::{catalogue::Scenario, report::Table};

const CPU: &str = "cpu_us_per_msg";

/// What is in all rounds, as far as it was measured.
pub(crate) fn all(results: &Results) -> Vec<Table> {
    let tables = [
        faults(results),
        targets(results),
        cost(results),
        speed(results),
        latency(results),
        brokers(results, Scenario::C1, &CONNECTIONS),
        brokers(results, Scenario::O1, &AWAY),
        brokers(results, Scenario::R1, &RETAINED),
        tls(results),
        handshakes(results),
        nodes(results),
        idle(results),
    ];
    let is_measured = |table: &Table| table.rows.len() > 1;
    tables.into_iter().filter(is_measured).collect()
}

fn table(title: impl Into<String>, header: &[&str]) -> Table {
    Table {
        title: title.into(),
        rows: vec![header.iter().map(|&text| text.to_owned()).collect()],
    }
}

fn faults(results: &Results) -> Table {
    let mut table = table(
        "FAULTS: messages lost, repeated, out of order or alien",
        &["run"],
    );
    table
        .rows
        .extend(results.faults().into_iter().map(|fault| vec![fault]));
    let failed = results.failures().iter();
    table
        .rows
        .extend(failed.map(|failure| vec![format!("not measured: {failure}")]));
    table
}

fn targets(results: &Results) -> Table {
    let header = ["what", "measured", "target", ""];
    let mut table = table("Targets", &header);
    for check in checks(results)
        .iter()
        .filter(|check| check.is_met().is_some())
    {
        table.rows.push(vec![
            check.what.clone(),
            show(check.measured),
            check.target(),
            check.verdict().to_owned(),
        ]);
    }
    table
}

/// The S scenarios that any broker has gone through.
fn traffic(results: &Results) -> impl Iterator<Item = (Scenario, f64)> {
    RATIOS.into_iter().filter(|(scenario, _)| {
        Subject::ALL
            .iter()
            .any(|subject| results.has(*scenario, *subject))
    })
}

fn cost(results: &Results) -> Table {
    let header = [
        "scenario",
        "mosquitto",
        "one node",
        "ratio",
        "target",
        "two nodes",
        "Postgres",
        "both / one node",
    ];
    let mut table = table("CPU of the broker per message delivered, µs", &header);
    for (scenario, target) in traffic(results) {
        let range = |subject| show_range(results, scenario, subject, CPU);
        let one = results.median(scenario, Node, CPU);
        table.rows.push(vec![
            scenario.to_string(),
            range(Mosquitto),
            range(Node),
            show(results.ratio(scenario, [Node, Mosquitto], CPU)),
            show(target),
            range(Cluster),
            show(results.median(scenario, Cluster, "aux_us_per_msg")),
            show(results.whole_cost(scenario) / one),
        ]);
    }
    table
}

fn speed(results: &Results) -> Table {
    let header = [
        "scenario",
        "mosquitto",
        "one node",
        "two nodes",
        "MB: mosquitto",
        "one node",
        "two nodes",
    ];
    let title =
        "Thousand messages delivered per second, and peak memory of the largest process in MB";
    let mut table = table(title, &header);
    for (scenario, _) in traffic(results) {
        let mut row = vec![scenario.to_string()];
        for (figure, unit) in [("delivered_per_s", 1000.0), ("rss_largest_kb", 1024.0)] {
            let each = |subject| show(results.median(scenario, subject, figure) / unit);
            row.extend(Subject::ALL.map(each));
        }
        table.rows.push(row);
    }
    table
}

fn latency(results: &Results) -> Table {
    let header = ["S7", "median", "p90", "p99", "p99.9", "PUBACK p99"];
    let title = "Latency at 5,000 messages/s (S7), ms, from when a message was due";
    let mut table = table(title, &header);
    let figures = [
        "lat_p50_ms",
        "lat_p90_ms",
        "lat_p99_ms",
        "lat_p999_ms",
        "ack_p99_ms",
    ];
    for subject in measured(results, Scenario::S7) {
        let each = |figure| show_range(results, Scenario::S7, subject, figure);
        let cells = figures.map(each);
        table
            .rows
            .push([vec![words(subject).to_owned()], cells.to_vec()].concat());
    }
    table
}

fn words(subject: Subject) -> &'static str {
    match subject {
        Mosquitto => "mosquitto",
        Node => "one node",
        Cluster => "two nodes",
    }
}

fn measured(results: &Results, scenario: Scenario) -> impl Iterator<Item = Subject> {
    let all = Subject::ALL.into_iter();
    all.filter(move |subject| results.has(scenario, *subject))
}

/// Title, and the head, the figure and its unit of each column.
type Columns = (&'static str, &'static [(&'static str, &'static str, f64)]);

const CONNECTIONS: Columns = (
    "Idle connections",
    &[
        ("connects/s", "connects_per_s", 1.0),
        ("CONNACK p99, ms", "connack_p99_ms", 1.0),
        ("CPU, µs/connect", "cpu_us_per_conn", 1.0),
        ("Postgres", "aux_us_per_conn", 1.0),
        ("kB/connection", "kb_per_conn", 1.0),
        ("idle: % of a core", "idle_cores", 0.01),
        ("idle: Postgres", "idle_aux_cores", 0.01),
    ],
);

const AWAY: Columns = (
    "Sessions that are away",
    &[
        ("published/s", "publish_per_s", 1.0),
        ("PUBACK p99, ms", "ack_p99_ms", 1.0),
        ("CPU, µs/publish", "cpu_us_per_publish", 1.0),
        ("Postgres", "aux_us_per_publish", 1.0),
        ("drained/s", "drain_per_s", 1.0),
        ("CPU, µs/drained", "cpu_us_per_drained", 1.0),
        ("Postgres", "aux_us_per_drained", 1.0),
        ("peak MB", "rss_largest_kb", 1024.0),
    ],
);

const RETAINED: Columns = (
    "Retained messages",
    &[
        ("set/s", "set_per_s", 1.0),
        ("CPU, µs/set", "cpu_us_per_set", 1.0),
        ("Postgres", "aux_us_per_set", 1.0),
        ("first, ms", "first_ms", 1.0),
        ("all, ms", "deliver_ms", 1.0),
        ("CPU, µs/delivered", "cpu_us_per_msg", 1.0),
        ("Postgres", "aux_us_per_msg", 1.0),
        ("kB/topic", "kb_per_topic", 1.0),
    ],
);

fn brokers(results: &Results, scenario: Scenario, (title, columns): &Columns) -> Table {
    let heads = columns.iter().map(|(head, ..)| *head);
    let header: Vec<&str> = std::iter::once(scenario.name()).chain(heads).collect();
    let title = format!("{title} ({scenario}: {})", scenario.what());
    let mut table = table(title, &header);
    for subject in measured(results, scenario) {
        let cells = columns
            .iter()
            .map(|(_, figure, unit)| show(results.median(scenario, subject, figure) / unit));
        let row = std::iter::once(words(subject).to_owned()).chain(cells);
        table.rows.push(row.collect());
    }
    table
}

fn tls(results: &Results) -> Table {
    let header = [
        "scenario",
        "mosquitto",
        "one node",
        "ratio",
        "one node without TLS",
    ];
    let mut table = table("CPU of the broker per message by TLS 1.3, µs", &header);
    for (by_tls, plain) in [(Scenario::T5, Scenario::S5), (Scenario::T7, Scenario::S7)] {
        if measured(results, by_tls).next().is_none() {
            continue;
        }
        let range = |subject| show_range(results, by_tls, subject, CPU);
        table.rows.push(vec![
            format!("{by_tls}: {plain}"),
            range(Mosquitto),
            range(Node),
            show(results.ratio(by_tls, [Node, Mosquitto], CPU)),
            show(results.median(plain, Node, CPU)),
        ]);
    }
    table
}

fn handshakes(results: &Results) -> Table {
    let header = [
        "scenario",
        "broker",
        "per second",
        "CPU, µs each",
        "resumed, %",
        "CONNACK p99, ms",
    ];
    let mut table = table("TLS 1.3 handshakes, each with CONNECT", &header);
    for scenario in [Scenario::H1, Scenario::H2] {
        for subject in measured(results, scenario) {
            let median = |figure| results.median(scenario, subject, figure);
            table.rows.push(vec![
                format!("{scenario}: {}", scenario.what()),
                words(subject).to_owned(),
                show(median("handshakes_per_s")),
                show_range(results, scenario, subject, "cpu_us_per_handshake"),
                format!("{:.0}", median("resumed_share") * 100.0),
                show(median("connack_p99_ms")),
            ]);
        }
    }
    table
}

fn nodes(results: &Results) -> Table {
    let header = [
        "nodes",
        "the two that care",
        "all others",
        "Postgres",
        "sum",
        "thousand/s",
    ];
    let title = "CPU per message when only two nodes care about the topics (S5 across), µs";
    let mut table = table(title, &header);
    for scenario in [Scenario::N2, Scenario::N4, Scenario::N8] {
        if results.has(scenario, Cluster) {
            let median = |figure| results.median(scenario, Cluster, figure);
            table.rows.push(vec![
                scenario
                    .nodes()
                    .map_or_else(String::new, |nodes| nodes.to_string()),
                show_range(results, scenario, Cluster, CPU),
                show(median("bystanders_us_per_msg")),
                show(median("aux_us_per_msg")),
                show(results.whole_cost(scenario)),
                show(median("delivered_per_s") / 1000.0),
            ]);
        }
    }
    table
}

fn idle(results: &Results) -> Table {
    let mut table = table("Three idle nodes (I3), % of a core", &["nodes", "Postgres"]);
    if results.has(Scenario::I3, Cluster) {
        let percent = |figure| show(results.median(Scenario::I3, Cluster, figure) * 100.0);
        table
            .rows
            .push(vec![percent("idle_cores"), percent("idle_aux_cores")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Figures, layout};

    #[test]
    fn what_was_not_measured_has_no_table() {
        assert!(all(&Results::new(None)).is_empty());
    }

    #[test]
    fn without_mosquitto_its_columns_are_empty() {
        let mut results = Results::new(None);
        results.add(Scenario::S1, Node, Figures(vec![(CPU, 0.5), ("lost", 0.0)]));
        let table = cost(&results);
        let row = ["S1", "–", "0.50", "–", "0.20", "–", "–", "–"];
        assert_eq!(table.rows.last().unwrap(), &row);
        assert!(faults(&results).rows.len() == 1);
        assert!(layout(&table).contains("S1"));
    }

    #[test]
    fn faults_come_first() {
        let mut results = Results::new(None);
        results.add(
            Scenario::S3,
            Cluster,
            Figures(vec![(CPU, 0.5), ("dups", 7.0)]),
        );
        let first = all(&results).remove(0);
        assert!(first.title.starts_with("FAULTS"));
        assert_eq!(first.rows.last().unwrap(), &["S3 cluster: 7 repeated"]);
    }
}
