//! The scenarios: which load, and which figures of it go into the table.

use std::{thread, time::Duration};

use crate::{
    Arguments,
    bed::{Bed, Place},
    cpu::Usage,
    load::{self, Outcome, Plan},
    report::{Figures, Report, Table},
    storm,
};

const PAYLOAD_BYTES: usize = 64;
/// Of the durable scenario, and how much each may have unacknowledged.
const DURABLE_PUBLISHERS: u32 = 10;
const DURABLE_WINDOW: u64 = 100;
/// How long three nodes are watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);
/// Nodes bury others only when they have been members for a whole lease themselves.
const STEADY: Duration = Duration::from_secs(8);
/// A lease of 5 s is renewed every third of it. How soon a death is noticed depends on the time
/// since the last renewal, so rounds kill at different ones.
const RENEWAL_MS: u64 = 1667;
const SHIFT_MS: u64 = 619;

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

/// By TLS: QoS 0 at full speed, and QoS 1 at a fixed rate, where nothing can be packed together.
pub(crate) fn tls(bed: &mut Bed, arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across, Place::Peer];
    let encrypted = |bed: &mut Bed, place| {
        let mut plan = plan(bed, place, arguments)?;
        let ((publish_at, subscribe_at), trust) = bed.tls_addresses(place).ok()??;
        (plan.publish_at, plan.subscribe_at) = (publish_at, subscribe_at);
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

/// QoS 1 to a persistent session, at full speed and then at half of what was reached.
pub(crate) fn durable(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let places = [Place::OneNode, Place::Across];
    let durable = |bed: &mut Bed, place, rate: Option<f64>| {
        let mut plan = plan(bed, place, arguments)?;
        plan.publishers = DURABLE_PUBLISHERS;
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
        per_second / 2.0 / f64::from(DURABLE_PUBLISHERS)
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
            "Durable: {DURABLE_PUBLISHERS} publishers with {DURABLE_WINDOW} unacknowledged each, \
             1 persistent subscriber, QoS 1"
        ),
        rows: table,
    });
    Ok(())
}

/// All clients of a killed node come back at once.
pub(crate) fn storm(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let kinds = [("persistent", true), ("clean", false)];
    let mut seen = [Vec::new(), Vec::new()];
    let mut kills = 0;
    thread::sleep(STEADY);
    for round in 1..=arguments.rounds {
        for ((kind, persistent), rounds) in kinds.into_iter().zip(&mut seen) {
            let (first, others) = bed.storm_addresses();
            kills += 1;
            let settle = Duration::from_millis(2000 + kills * SHIFT_MS % RENEWAL_MS);
            let plan = storm::Plan {
                clients: arguments.clients,
                persistent,
                first,
                others,
                settle,
            };
            let outcome = storm::run(plan, || bed.kill_first())?;
            let figures = Figures(vec![
                ("connack_p50_ms", outcome.connack.quantile_ms(0.5)),
                ("connack_max_ms", outcome.connack.quantile_ms(1.0)),
                ("suback_p50_ms", outcome.suback.quantile_ms(0.5)),
                ("suback_max_ms", outcome.suback.quantile_ms(1.0)),
                ("repeated_attempts", outcome.repeated as f64),
            ]);
            report.round("storm", kind, round, &figures)?;
            rounds.push(figures);
            bed.replace_first()?;
        }
    }
    let [persistent, clean] = seen.map(|rounds| Figures::medians(&rounds));
    report.table(Table {
        title: format!(
            "Storm: {} clients of a killed node reconnect to two others (target: all within 5000 ms)",
            arguments.clients
        ),
        rows: rows(
            &["", "persistent", "clean"],
            &persistent,
            &[&clean],
            &[
                ("CONNACK, median, ms", "connack_p50_ms", 0),
                ("CONNACK, slowest, ms", "connack_max_ms", 0),
                ("SUBACK, median, ms", "suback_p50_ms", 0),
                ("SUBACK, slowest, ms", "suback_max_ms", 0),
                ("attempts repeated", "repeated_attempts", 0),
            ],
        ),
    });
    Ok(())
}

/// QoS 0 at full speed, from which the others differ.
fn plan(bed: &mut Bed, place: Place, arguments: &Arguments) -> Option<Plan> {
    let (publish_at, subscribe_at) = bed.addresses(place)?;
    Some(Plan {
        run: bed.next_run(),
        publish_at,
        subscribe_at,
        trust: None,
        publishers: 1,
        qos: 0,
        payload_bytes: PAYLOAD_BYTES,
        rate: None,
        unacknowledged: DURABLE_WINDOW,
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
