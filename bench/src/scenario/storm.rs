//! How soon the clients of a dead node are back.

use std::{thread, time::Duration};

use super::rows;
use crate::{
    bed::Bed,
    cluster::Arguments,
    report::{Figures, Report, Table},
    storm,
};

/// Nodes bury others only when they have been members for a whole lease themselves.
const STEADY: Duration = Duration::from_secs(8);
/// A lease of 5 s is renewed every third of it. How soon a death is noticed depends on the time
/// since the last renewal, so rounds kill at different ones.
const RENEWAL_MS: u64 = 1667;
const SHIFT_MS: u64 = 619;

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
