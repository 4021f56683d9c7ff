//! QoS 1 to two sessions that outlive their connections, each on a node of its own.

use super::{PUBLISHERS, Rounds, WINDOW, plan, rows};
use crate::{
    bed::{Bed, Place},
    cluster::Arguments,
    load::Plan,
    report::{Figures, Report, Table},
};

/// Messages acknowledged per second that a machine with two cores should reach with everything on
/// it, and the 99th percentile in milliseconds until PUBACK at half of that.
const TARGET_PER_SECOND: f64 = 30_000.0;
const TARGET_PUBACK_MS: f64 = 50.0;

/// At full speed, at half of the speed wanted, and at half of the speed reached.
pub(crate) fn fanout(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across];
    let mut full = Rounds::new("fanout", &places);
    full.run(bed, arguments, report, |bed, place| {
        durable(bed, place, arguments, None)
    })?;
    let wanted = TARGET_PER_SECOND / 2.0;
    let mut wanted_half = Rounds::new("fanout at half of the speed wanted", &places);
    wanted_half.run(bed, arguments, report, |bed, place| {
        durable(bed, place, arguments, Some(wanted))
    })?;
    let reached = [0, 1].map(|at| full.medians(at).get("acknowledged_per_second") / 2.0);
    let mut reached_half = Rounds::new("fanout at half of the speed reached", &places);
    reached_half.run(bed, arguments, report, |bed, place| {
        let [one, across] = reached;
        let rate = if place == Place::OneNode { one } else { across };
        durable(bed, place, arguments, Some(rate))
    })?;

    let columns = |rounds: &Rounds| [0, 1].map(|at| rounds.medians(at));
    let mut table = block(
        &columns(&full),
        &[
            (
                "acknowledged/s (target >= 30000)",
                "acknowledged_per_second",
                0,
            ),
            ("delivered/s, both together", "delivered_per_second", 0),
            ("PUBACK, p99, ms", "puback_p99_ms", 1),
            ("CPU us/delivery, nodes", "broker_us", 2),
            ("CPU us/delivery, Postgres", "postgres_us", 2),
            ("CPU us/delivery, generator", "generator_us", 2),
            ("cores taken by others", "other_cores", 2),
            ("lost", "lost", 0),
            ("repeated", "repeated", 0),
        ],
    );
    for (title, rounds) in [
        (format!("at {wanted:.0}/s:"), &wanted_half),
        ("at half of the speed reached:".to_owned(), &reached_half),
    ] {
        table.push(vec![title]);
        table.extend(block(&columns(rounds), HALF).into_iter().skip(1));
    }
    report.table(Table {
        title: format!(
            "Fan-out: {PUBLISHERS} publishers with {WINDOW} unacknowledged each, \
             2 persistent subscribers, QoS 1 (target at half: PUBACK p99 < {TARGET_PUBACK_MS} ms)"
        ),
        rows: table,
    });
    Ok(())
}

/// Rows of the loads that do not wait.
const HALF: &[(&str, &str, usize)] = &[
    ("acknowledged/s", "acknowledged_per_second", 0),
    ("PUBACK, median, ms", "puback_p50_ms", 2),
    ("PUBACK, p99, ms", "puback_p99_ms", 2),
    ("delivery, median, ms", "delivery_p50_ms", 2),
    ("delivery, p99, ms", "delivery_p99_ms", 2),
    ("CPU us/delivery, nodes", "broker_us", 2),
    ("CPU us/delivery, Postgres", "postgres_us", 2),
    ("cores taken by others", "other_cores", 2),
    ("lost", "lost", 0),
    ("repeated", "repeated", 0),
];

fn block(columns: &[Figures; 2], wanted: &[(&str, &str, usize)]) -> Vec<Vec<String>> {
    let [one, across] = columns;
    rows(&["", "one node", "two others"], one, &[across], wanted)
}

/// `rate` is that of all publishers together.
fn durable(bed: &mut Bed, place: Place, arguments: &Arguments, rate: Option<f64>) -> Option<Plan> {
    let (publish_at, subscribe_at) = bed.fanout_addresses(place)?;
    let mut plan = plan(bed, place, arguments)?;
    (plan.publish_at, plan.subscribe_at) = (publish_at, subscribe_at.to_vec());
    plan.publishers = PUBLISHERS;
    plan.qos = 1;
    plan.persistent = true;
    plan.rate = rate.map(|rate| rate / f64::from(PUBLISHERS));
    Some(plan)
}
