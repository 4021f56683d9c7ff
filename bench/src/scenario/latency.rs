//! What crossing adds to the time of delivery.

use super::{Rounds, plan, rows};
use crate::{
    bed::{Bed, Place},
    cluster::Arguments,
    report::{Report, Table},
};

/// 64 B with QoS 1 at a fixed rate: what crossing adds to the time of delivery.
pub(crate) fn latency(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across];
    let mut rounds = Rounds::new("latency", &places);
    rounds.run(bed, arguments, report, |bed, place| {
        let mut plan = plan(bed, place, arguments)?;
        plan.qos = 1;
        plan.rate = Some(f64::from(arguments.rate));
        Some(plan)
    })?;
    let (one, across) = (rounds.medians(0), rounds.medians(1));
    let mut table = rows(
        &["", "one node", "across"],
        &one,
        &[&across],
        &[
            ("delivery, median, ms", "delivery_p50_ms", 3),
            ("delivery, p99, ms", "delivery_p99_ms", 3),
            ("PUBACK, median, ms", "puback_p50_ms", 3),
            ("PUBACK, p99, ms", "puback_p99_ms", 3),
            ("delivered/s", "delivered_per_second", 0),
            ("lost", "lost", 0),
        ],
    );
    for (name, target) in [("delivery_p50_ms", "2"), ("delivery_p99_ms", "10")] {
        let added = across.get(name) - one.get(name);
        let label = format!("added to {name} (target <= {target})");
        table.push(vec![label, String::new(), format!("{added:.3}")]);
    }
    report.table(Table {
        title: format!(
            "Latency: 1 publisher, 1 subscriber, QoS 1, {}/s",
            arguments.rate
        ),
        rows: table,
    });
    Ok(())
}
