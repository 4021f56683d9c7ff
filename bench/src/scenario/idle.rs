//! Three nodes that nobody uses.

use std::{thread, time::Duration};

use super::rows;
use crate::{
    bed::{Bed, Place},
    report::{Figures, Report, Table},
};

/// How long three nodes are watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);

/// CPU of three nodes and Postgres without clients.
pub(crate) fn idle(bed: &Bed, report: &mut Report) -> anyhow::Result<()> {
    thread::sleep(Duration::from_secs(2)); // what starting has left to do
    let meter = bed.meter(Place::Across);
    let before = meter.read();
    thread::sleep(IDLE);
    let usage = meter.read().since(&before);
    let percent = |seconds: f64| seconds / usage.seconds * 100.0;
    let figures = Figures(vec![
        ("nodes_percent", percent(usage.brokers)),
        ("postgres_percent", percent(usage.database)),
        ("others_percent", percent(usage.others)),
    ]);
    report.round("idle", "cluster", 1, &figures)?;
    report.table(Table {
        title: "Idle: three nodes without clients, in % of one core".to_owned(),
        rows: rows(
            &["", "cluster"],
            &figures,
            &[],
            &[
                ("nodes, together", "nodes_percent", 2),
                ("Postgres", "postgres_percent", 2),
            ],
        ),
    });
    Ok(())
}
