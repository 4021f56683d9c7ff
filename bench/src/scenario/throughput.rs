//! How many messages cross, and what each costs.

use super::{Rounds, plan, rows};
use crate::{
    bed::{Bed, Place},
    cluster::Arguments,
    report::{Figures, Report, Table},
};

/// 64 B with QoS 0 at full speed.
pub(crate) fn throughput(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across, Place::Peer];
    let mut rounds = Rounds::new("throughput", &places);
    rounds.run(bed, arguments, report, |bed, place| {
        plan(bed, place, arguments)
    })?;
    let (one, across, peer) = (rounds.medians(0), rounds.medians(1), rounds.medians(2));
    let mut table = rows(
        &["", "one node", "across", "mosquitto"],
        &one,
        &[&across, &peer],
        &[
            ("delivered/s", "delivered_per_second", 0),
            ("CPU us/message, brokers", "broker_us", 2),
            ("CPU us/message, Postgres", "postgres_us", 2),
            ("CPU us/message, generator", "generator_us", 2),
            ("cores taken by others", "other_cores", 2),
            ("lost", "lost", 0),
            ("repeated", "repeated", 0),
        ],
    );
    let speed = across.get("delivered_per_second") / one.get("delivered_per_second");
    let cpu = |figures: &Figures| figures.get("broker_us") + figures.get("postgres_us");
    let cpu = cpu(&across) / cpu(&one);
    for (label, ratio) in [
        ("speed, across / one node (target >= 0.5)", speed),
        ("CPU of the servers, across / one node", cpu),
    ] {
        table.push(vec![label.to_owned(), String::new(), format!("{ratio:.2}")]);
    }
    report.table(Table {
        title: format!(
            "Throughput: 1 publisher, 1 subscriber, QoS 0, {} under way",
            arguments.window
        ),
        rows: table,
    });
    Ok(())
}
