//! A million subscriptions: what they hold in memory, how long a node takes to load them, and how
//! long a change of the routes takes to be known everywhere then.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    changes,
    ground::{self, Ground, resident_bytes},
    wire::Crowd,
};
use crate::{
    client::block_on,
    node::Node,
    report::{Figures, Report, Table},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Persistent sessions.
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// Filters of each.
    #[arg(long, default_value_t = 10)]
    filters: u32,
    /// Changes of the routes per second.
    #[arg(long, default_value_t = 1000)]
    changes: u32,
    /// Seconds for which they go on.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// What is under way, or left to the allocator, settles in that time.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) fn run(
    arguments: &Arguments,
    ground: &mut Ground,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [a, b] = ground.pair(report)?;
    let empty = [resident_bytes(&a)?, resident_bytes(&b)?];
    let count = f64::from(arguments.sessions) * f64::from(arguments.filters);
    let per_subscription = |node: &Node, before: u64| -> anyhow::Result<f64> {
        Ok((resident_bytes(node)? as f64 - before as f64) / count)
    };

    let crowd = Crowd::persistent(a.address(), arguments.sessions, arguments.filters);
    let meter = ground.meter(&[&a, &b]);
    let (begin, before) = (Instant::now(), meter.read());
    block_on(crowd.arrive())?;
    let load_seconds = begin.elapsed().as_secs_f64();
    let load = meter.read().since(&before);
    thread::sleep(SETTLE);
    let [empty_a, empty_b] = empty;
    let (owner, other) = (
        per_subscription(&a, empty_a)?,
        per_subscription(&b, empty_b)?,
    );
    report.progress(&format!(
        "loaded in {load_seconds:.1} s: {owner:.0} B, {other:.0} B"
    ));

    let (c, start) = ground.node("c")?;
    let started = per_subscription(&c, empty_b)?;
    let peak = crate::memory::peak_bytes(c.process()).unwrap_or_default() as f64 / count;
    report.progress(&format!(
        "a node starts in {:.2} s: {started:.0} B, peak {peak:.0} B",
        start.as_secs_f64()
    ));
    ground::stop(c);

    let changed = changes::run(
        changes::Plan {
            rate: arguments.changes,
            seconds: arguments.seconds,
            subscribe_at: a.address(),
            publish_at: b.address(),
        },
        &ground.meter(&[&a, &b]),
    )?;
    let mut figures = vec![
        ("subscriptions", count),
        ("load_seconds", load_seconds),
        ("load_broker_us", load.brokers * 1e6 / count),
        ("load_database_us", load.database * 1e6 / count),
        ("owner_bytes", owner),
        ("other_bytes", other),
        ("started_bytes", started),
        ("started_peak_bytes", peak),
        ("start_seconds", start.as_secs_f64()),
    ];
    figures.extend(changed.figures());
    let figures = Figures(figures);
    report.round("growth subscriptions", "two nodes", 1, &figures)?;
    report.table(table(&figures));
    Ok(())
}

fn table(figures: &Figures) -> Table {
    let row = |name: &str, key: &str, unit: &str| {
        vec![
            name.to_owned(),
            format!("{:.1}", figures.get(key)),
            unit.to_owned(),
        ]
    };
    Table {
        title: format!(
            "{} subscriptions of persistent sessions",
            figures.get("subscriptions")
        ),
        rows: vec![
            vec!["what".to_owned(), "value".to_owned(), "unit".to_owned()],
            row(
                "memory of the node they were made at",
                "owner_bytes",
                "B each",
            ),
            row("memory of another node", "other_bytes", "B each"),
            row("memory of a node started later", "started_bytes", "B each"),
            row(
                "its largest while it started",
                "started_peak_bytes",
                "B each",
            ),
            row("start of a node", "start_seconds", "s"),
            row("route change until SUBACK, median", "suback_p50_ms", "ms"),
            row("route change until SUBACK, p99", "suback_p99_ms", "ms"),
            row(
                "until a message comes through it, median",
                "seen_p50_ms",
                "ms",
            ),
            row("until a message comes through it, p99", "seen_p99_ms", "ms"),
            row("messages that did not come", "unseen", ""),
            row("changes", "changes_per_second", "/s"),
        ],
    }
}
