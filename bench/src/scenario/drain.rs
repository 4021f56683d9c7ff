//! A cluster that begins anew with all clients before the door and their queues full.

use std::time::Instant;

use super::{PAYLOAD_BYTES, rows};
use crate::{
    bed::{Bed, Place},
    client::block_on,
    cluster::Arguments,
    cpu::Usage,
    drain::{self, Outcome, Plan},
    report::{Figures, Report, Table},
};

const MIB: f64 = 1024.0 * 1024.0;

/// Fills the queues, restarts all nodes, and lets all clients come back at once.
pub(crate) fn drain(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        let figures = one_round(bed, arguments, report)?;
        report.round("drain", "cluster", round, &figures)?;
        rounds.push(figures);
    }
    report.progress("drain: ending the sessions");
    block_on(drain::forget(plan(bed, arguments)))?;
    let medians = Figures::medians(&rounds);
    report.table(Table {
        title: format!(
            "Drain: {} sessions with {} messages each reconnect to three nodes that were restarted",
            arguments.sessions, arguments.queued
        ),
        rows: rows(
            &["", "cluster"],
            &medians,
            &[],
            &[
                ("entries filled/s", "filled_per_second", 0),
                ("nodes ready after their start, ms", "ready_ms", 0),
                ("all drained, s", "drained_s", 2),
                ("messages/s", "drained_per_second", 0),
                ("client drained, median, ms", "drained_p50_ms", 0),
                ("CONNACK, median, ms", "connack_p50_ms", 0),
                ("CONNACK, slowest, ms", "connack_max_ms", 0),
                ("CPU s, nodes", "broker_s", 2),
                ("CPU s, Postgres", "postgres_s", 2),
                ("CPU s, generator", "generator_s", 2),
                ("cores taken by others", "other_cores", 2),
                ("connections to Postgres, most", "connections", 0),
                ("memory of a node, most, MiB", "memory_mib", 0),
                ("attempts repeated", "repeated_attempts", 0),
                ("lost", "lost", 0),
                ("repeated", "repeated", 0),
            ],
        ),
    });
    Ok(())
}

fn plan(bed: &mut Bed, arguments: &Arguments) -> Plan {
    Plan {
        run: bed.next_run(),
        sessions: arguments.sessions,
        queued: arguments.queued,
        share: arguments.share,
        payload_bytes: PAYLOAD_BYTES,
        nodes: bed.all_addresses(),
    }
}

fn one_round(bed: &mut Bed, arguments: &Arguments, report: &mut Report) -> anyhow::Result<Figures> {
    let mut plan = plan(bed, arguments);
    report.progress("drain: making the sessions");
    block_on(drain::prepare(plan))?;
    report.progress("drain: filling their queues");
    let begin = Instant::now();
    block_on(drain::fill(plan))?;
    let filled = plan.entries() as f64 / begin.elapsed().as_secs_f64();
    let ready = bed.restart(&[])?;
    plan.nodes = bed.all_addresses();
    report.progress(&format!("drain: nodes {:?}", bed.processes()));
    let census = bed.count_connections()?;
    let meter = bed.meter(Place::Across);
    let before = meter.read();
    let outcome = block_on(drain::drain(plan))?;
    let usage = meter.read().since(&before);
    let mut figures = figures(&outcome, &usage, plan.entries());
    let connections = census.largest().map_or(f64::NAN, f64::from);
    figures.0.extend([
        ("connections", connections),
        ("memory_mib", bed.peak_memory_bytes() as f64 / MIB),
        ("ready_ms", ready.as_secs_f64() * 1e3),
        ("filled_per_second", filled),
    ]);
    Ok(figures)
}

fn figures(outcome: &Outcome, usage: &Usage, entries: u64) -> Figures {
    let arrived = entries.saturating_sub(outcome.lost) as f64;
    Figures(vec![
        ("drained_s", outcome.seconds),
        ("drained_per_second", arrived / outcome.seconds),
        ("drained_p50_ms", outcome.drained.quantile_ms(0.5)),
        ("drained_p99_ms", outcome.drained.quantile_ms(0.99)),
        ("connack_p50_ms", outcome.connack.quantile_ms(0.5)),
        ("connack_max_ms", outcome.connack.quantile_ms(1.0)),
        ("broker_s", usage.brokers),
        ("postgres_s", usage.database),
        ("generator_s", usage.generator),
        ("other_cores", usage.others / usage.seconds),
        ("repeated_attempts", outcome.attempts as f64),
        ("lost", outcome.lost as f64),
        ("repeated", outcome.repeated as f64),
    ])
}
