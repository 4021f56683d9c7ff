//! How long the clients of a dead node hear nothing, and when its wills are told.

use std::{thread, time::Duration};

use super::{PAYLOAD_BYTES, rows};
use crate::{
    bed::Bed,
    client::block_on,
    cluster::Arguments,
    cpu::Reading,
    failover::{self, Outcome, Plan},
    report::{Figures, Report, Table},
};

/// Clients of the node that dies which come back, and those which do not and have wills.
const CLIENTS: u32 = 50;
const WILLS: u32 = 20;
/// At least so long all is well before a kill.
const CALM: Duration = Duration::from_secs(1);
/// Nodes bury others only when they have been members for a whole lease themselves.
const STEADY: Duration = Duration::from_secs(3);

/// Kills the first node again and again, with one lease after the other.
pub(crate) fn failover(
    bed: &mut Bed,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut header = vec![String::new()];
    let mut columns = Vec::new();
    for lease in &arguments.leases {
        let place = format!("lease {lease} s");
        bed.restart(&[format!("cluster.lease={lease}s")])?;
        let lease = Duration::from_secs(*lease);
        thread::sleep(lease + STEADY);
        let mut all = Outcome::default();
        let mut others = Vec::new();
        for kill in 1..=arguments.kills {
            let (outcome, busy) = one_kill(bed, arguments, settle(lease, kill))?;
            let mut figures = figures(&outcome);
            figures.0.push(("other_cores", busy));
            report.round("failover", &place, kill, &figures)?;
            others.push(Figures(vec![("other_cores", busy)]));
            all.merge(&outcome);
            bed.replace_first()?;
        }
        let mut figures = figures(&all);
        figures.0.extend(Figures::medians(&others).0);
        header.push(place);
        columns.push(figures);
    }
    bed.restart(&[])?;
    let Some((first, more)) = columns.split_first() else {
        return Ok(());
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    report.table(Table {
        title: format!(
            "Failover: {} kills, {CLIENTS} clients of the node each, {} messages/s",
            arguments.kills, arguments.rate
        ),
        rows: rows(&header, first, &more.iter().collect::<Vec<_>>(), ROWS),
    });
    Ok(())
}

const ROWS: &[(&str, &str, usize)] = &[
    ("first message, median, ms", "first_p50_ms", 0),
    ("first message, p99, ms (target < 1000)", "first_p99_ms", 0),
    ("first message, slowest, ms", "first_max_ms", 0),
    ("persistent sessions, p99, ms", "persistent_p99_ms", 0),
    ("clean sessions, p99, ms", "clean_p99_ms", 0),
    ("CONNACK, median, ms", "connack_p50_ms", 0),
    ("CONNACK, slowest, ms", "connack_max_ms", 0),
    ("wills, median, ms", "will_p50_ms", 0),
    (
        "wills, slowest, ms (target <= lease + 1 s)",
        "will_max_ms",
        0,
    ),
    ("PUBACK meanwhile, p99, ms", "puback_p99_ms", 1),
    ("PUBACK meanwhile, slowest, ms", "puback_max_ms", 0),
    ("clients without a message", "silent", 0),
    ("wills missing", "wills_missing", 0),
    ("wills repeated", "wills_repeated", 0),
    ("lost, persistent sessions", "lost", 0),
    ("repeated, persistent sessions", "repeated", 0),
    ("not acknowledged", "unacknowledged", 0),
    ("attempts repeated", "repeated_attempts", 0),
    ("cores taken by others", "other_cores", 2),
];

/// A lease is renewed every third of it, and how soon a death is noticed depends on the time since
/// the last renewal. So kills come at times that fill such a third evenly.
fn settle(lease: Duration, kill: u32) -> Duration {
    let golden = 0.618_034;
    CALM + lease.mul_f64((f64::from(kill) * golden).fract() / 3.0)
}

/// Returns what was seen, and the cores that others used from the kill on.
fn one_kill(
    bed: &mut Bed,
    arguments: &Arguments,
    settle: Duration,
) -> anyhow::Result<(Outcome, f64)> {
    let (first, [second, third]) = bed.storm_addresses();
    let plan = Plan {
        run: bed.next_run(),
        clients: CLIENTS,
        wills: WILLS,
        rate: arguments.rate,
        payload_bytes: PAYLOAD_BYTES,
        first,
        second,
        third,
        settle,
    };
    let meter = bed.survivors_meter();
    let mut before: Option<Reading> = None;
    let outcome = block_on(failover::run(plan, || {
        before = Some(meter.read());
        bed.kill_first();
    }))?;
    let usage = before.map(|before| meter.read().since(&before));
    let busy = usage.map_or(f64::NAN, |usage| usage.others / usage.seconds);
    Ok((outcome, busy))
}

fn figures(outcome: &Outcome) -> Figures {
    let first = outcome.first();
    Figures(vec![
        ("first_p50_ms", first.quantile_ms(0.5)),
        ("first_p99_ms", first.quantile_ms(0.99)),
        ("first_max_ms", first.quantile_ms(1.0)),
        ("persistent_p50_ms", outcome.persistent.quantile_ms(0.5)),
        ("persistent_p99_ms", outcome.persistent.quantile_ms(0.99)),
        ("clean_p50_ms", outcome.clean.quantile_ms(0.5)),
        ("clean_p99_ms", outcome.clean.quantile_ms(0.99)),
        ("connack_p50_ms", outcome.connack.quantile_ms(0.5)),
        ("connack_max_ms", outcome.connack.quantile_ms(1.0)),
        ("will_p50_ms", outcome.wills.quantile_ms(0.5)),
        ("will_max_ms", outcome.wills.quantile_ms(1.0)),
        ("puback_p99_ms", outcome.puback.quantile_ms(0.99)),
        ("puback_max_ms", outcome.puback.quantile_ms(1.0)),
        ("silent", outcome.silent as f64),
        ("wills_missing", outcome.wills_missing as f64),
        ("wills_repeated", outcome.wills_repeated as f64),
        ("lost", outcome.lost as f64),
        ("repeated", outcome.repeated as f64),
        ("unacknowledged", outcome.unacknowledged as f64),
        ("repeated_attempts", outcome.attempts as f64),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_kills_come_in_every_fifth_of_the_time_between_renewals() {
        let lease = Duration::from_secs(6);
        let mut fifths = [0; 5];
        for kill in 1..=10 {
            let late = settle(lease, kill) - CALM;
            assert!(late < Duration::from_secs(2));
            fifths[(late.as_secs_f64() / 0.4) as usize] += 1;
        }
        assert!(fifths.iter().all(|count| *count > 0), "{fifths:?}");
    }
}
