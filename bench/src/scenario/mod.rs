//! The scenarios: which load, and which figures of it go into the table.

mod drain;
mod durable;
mod failover;
mod fanout;
mod idle;
mod latency;
mod storm;
mod throughput;
mod tls;

use std::time::Duration;

use crate::{
    bed::{Bed, Place},
    cluster::Arguments,
    cpu::Usage,
    load::{self, Outcome, Plan},
    report::{Figures, Report},
};

pub(crate) use self::{
    drain::drain, durable::durable, failover::failover, fanout::fanout, idle::idle,
    latency::latency, storm::storm, throughput::throughput, tls::tls,
};

const PAYLOAD_BYTES: usize = 64;
/// Of the scenarios with persistent subscribers, and how much each may have unacknowledged.
const PUBLISHERS: u32 = 10;
const WINDOW: u64 = 100;

/// QoS 0 at full speed, from which the others differ.
fn plan(bed: &mut Bed, place: Place, arguments: &Arguments) -> Option<Plan> {
    let (publish_at, subscribe_at) = bed.addresses(place)?;
    Some(Plan {
        run: bed.next_run(),
        publish_at,
        subscribe_at: vec![subscribe_at],
        trust: None,
        publishers: 1,
        qos: 0,
        payload_bytes: PAYLOAD_BYTES,
        rate: None,
        unacknowledged: WINDOW,
        undelivered: arguments.window,
        persistent: false,
        measured: Duration::from_secs(arguments.seconds),
    })
}

/// The rounds of a scenario at several places, in turn.
struct Rounds {
    scenario: &'static str,
    seen: Vec<(Place, Vec<Figures>)>,
}

impl Rounds {
    fn new(scenario: &'static str, places: &[Place]) -> Self {
        Self {
            scenario,
            seen: places.iter().map(|place| (*place, Vec::new())).collect(),
        }
    }

    /// Every second round goes the other way round, so that no place is always the first.
    fn run(
        &mut self,
        bed: &mut Bed,
        arguments: &Arguments,
        report: &mut Report,
        plan: impl Fn(&mut Bed, Place) -> Option<Plan>,
    ) -> anyhow::Result<()> {
        for round in 1..=arguments.rounds {
            for (place, seen) in &mut self.seen {
                if !arguments.places.contains(place) {
                    continue;
                }
                let Some(plan) = plan(bed, *place) else {
                    continue;
                };
                let figures = figures(&load::run(&plan, &bed.meter(*place))?);
                report.round(self.scenario, place.name(), round, &figures)?;
                seen.push(figures);
            }
            self.seen.reverse();
        }
        if arguments.rounds % 2 == 1 {
            self.seen.reverse();
        }
        Ok(())
    }

    fn medians(&self, at: usize) -> Figures {
        let seen = self.seen.get(at).map(|(_, rounds)| rounds.as_slice());
        Figures::medians(seen.unwrap_or_default())
    }
}

fn figures(outcome: &Outcome) -> Figures {
    let Usage {
        seconds,
        brokers,
        database,
        generator,
        others,
        ..
    } = outcome.usage;
    let each = |cpu_seconds: f64| {
        let messages = outcome.delivered;
        if messages > 0.0 {
            cpu_seconds * 1e6 / messages
        } else {
            f64::NAN
        }
    };
    Figures(vec![
        ("sent_per_second", outcome.sent_per_second),
        ("acknowledged_per_second", outcome.acknowledged_per_second),
        ("delivered_per_second", outcome.delivered_per_second),
        ("delivery_p50_ms", outcome.delivery.quantile_ms(0.5)),
        ("delivery_p99_ms", outcome.delivery.quantile_ms(0.99)),
        ("puback_p50_ms", outcome.acknowledgement.quantile_ms(0.5)),
        ("puback_p99_ms", outcome.acknowledgement.quantile_ms(0.99)),
        ("broker_us", each(brokers)),
        ("postgres_us", each(database)),
        ("generator_us", each(generator)),
        ("other_cores", others / seconds),
        ("lost", outcome.lost),
        ("repeated", outcome.repeated),
    ])
}

/// A header, and a row per `(label, figure, decimals)` with a column for `first` and each of `more`.
fn rows(
    header: &[&str],
    first: &Figures,
    more: &[&Figures],
    wanted: &[(&str, &str, usize)],
) -> Vec<Vec<String>> {
    let mut rows = vec![header.iter().map(ToString::to_string).collect()];
    for (label, name, decimals) in wanted {
        let mut row = vec![(*label).to_owned()];
        for figures in std::iter::once(&first).chain(more) {
            let value = figures.get(name);
            row.push(if value.is_nan() {
                "-".to_owned()
            } else {
                format!("{value:.decimals$}")
            });
        }
        rows.push(row);
    }
    rows
}
