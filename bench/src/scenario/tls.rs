//! What TLS costs, beside a peer with the same certificate.

use super::{Rounds, plan, rows};
use crate::{
    bed::{Bed, Place},
    cluster::Arguments,
    report::{Report, Table},
};

/// By TLS: QoS 0 at full speed, and QoS 1 at a fixed rate, where nothing can be packed together.
pub(crate) fn tls(bed: &mut Bed, arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across, Place::Peer];
    let encrypted = |bed: &mut Bed, place| {
        let mut plan = plan(bed, place, arguments)?;
        let ((publish_at, subscribe_at), trust) = bed.tls_addresses(place).ok()??;
        (plan.publish_at, plan.subscribe_at) = (publish_at, vec![subscribe_at]);
        plan.trust = Some(trust);
        Some(plan)
    };
    let mut full = Rounds::new("tls", &places);
    full.run(bed, arguments, report, encrypted)?;
    let mut paced = Rounds::new("tls at a rate", &places);
    paced.run(bed, arguments, report, |bed, place| {
        let mut plan = encrypted(bed, place)?;
        plan.qos = 1;
        plan.rate = Some(f64::from(arguments.rate));
        Some(plan)
    })?;
    let header = ["", "one node", "across", "mosquitto"];
    let table = |rounds: &Rounds, wanted| {
        let [one, across, peer] = [0, 1, 2].map(|at| rounds.medians(at));
        let mut table = rows(&header, &one, &[&across, &peer], wanted);
        let ratio = one.get("broker_us") / peer.get("broker_us");
        let label = "CPU of the broker, one node / mosquitto".to_owned();
        table.push(vec![label, format!("{ratio:.2}")]);
        table
    };
    report.table(Table {
        title: "TLS: 1 publisher, 1 subscriber, QoS 0, full speed".to_owned(),
        rows: table(
            &full,
            &[
                ("delivered/s", "delivered_per_second", 0),
                ("CPU us/message, brokers", "broker_us", 2),
                ("CPU us/message, generator", "generator_us", 2),
                ("lost", "lost", 0),
            ],
        ),
    });
    report.table(Table {
        title: format!("TLS: the same with QoS 1 at {}/s", arguments.rate),
        rows: table(
            &paced,
            &[
                ("delivery, median, ms", "delivery_p50_ms", 3),
                ("delivery, p99, ms", "delivery_p99_ms", 3),
                ("CPU us/message, brokers", "broker_us", 1),
                ("lost", "lost", 0),
            ],
        ),
    });
    Ok(())
}
