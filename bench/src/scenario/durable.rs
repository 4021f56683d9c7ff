//! QoS 1 to a session that outlives its connection.

use super::{PUBLISHERS, Rounds, WINDOW, plan, rows};
use crate::{
    bed::{Bed, Place},
    cluster::Arguments,
    report::{Report, Table},
};

/// QoS 1 to a persistent session, at full speed and then at half of what was reached.
pub(crate) fn durable(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across];
    let durable = |bed: &mut Bed, place, rate: Option<f64>| {
        let mut plan = plan(bed, place, arguments)?;
        plan.publishers = PUBLISHERS;
        plan.qos = 1;
        plan.persistent = true;
        plan.rate = rate;
        Some(plan)
    };
    let mut full = Rounds::new("durable", &places);
    full.run(bed, arguments, report, |bed, place| {
        durable(bed, place, None)
    })?;
    let reached = [full.medians(0), full.medians(1)].map(|figures| {
        let per_second = figures.get("acknowledged_per_second");
        per_second / 2.0 / f64::from(PUBLISHERS)
    });
    let [half_one, half_across] = reached;
    let mut half = Rounds::new("durable at half rate", &places);
    half.run(bed, arguments, report, |bed, place| {
        let rate = if place == Place::OneNode {
            half_one
        } else {
            half_across
        };
        durable(bed, place, Some(rate))
    })?;
    let full_rows = [
        ("acknowledged/s", "acknowledged_per_second", 0),
        ("delivered/s", "delivered_per_second", 0),
        ("CPU us/message, nodes", "broker_us", 2),
        ("CPU us/message, Postgres", "postgres_us", 2),
        ("lost", "lost", 0),
        ("repeated", "repeated", 0),
    ];
    let half_rows = [
        ("half rate: acknowledged/s", "acknowledged_per_second", 0),
        ("half rate: PUBACK, median, ms", "puback_p50_ms", 2),
        ("half rate: PUBACK, p99, ms", "puback_p99_ms", 2),
        ("half rate: delivery, p99, ms", "delivery_p99_ms", 2),
        ("half rate: lost", "lost", 0),
    ];
    let header = ["", "one node", "across"];
    let mut table = rows(&header, &full.medians(0), &[&full.medians(1)], &full_rows);
    let more = rows(&header, &half.medians(0), &[&half.medians(1)], &half_rows);
    table.extend(more.into_iter().skip(1));
    report.table(Table {
        title: format!(
            "Durable: {PUBLISHERS} publishers with {WINDOW} unacknowledged each, \
             1 persistent subscriber, QoS 1"
        ),
        rows: table,
    });
    Ok(())
}
