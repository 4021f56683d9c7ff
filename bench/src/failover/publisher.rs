//! A publisher that goes on while a node dies.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Phase, Plan, Shared, TOPICS, is_persistent, topic_of};
use crate::{
    client::Client,
    histogram::Histogram,
    packet::{self, Stamp, Template},
};

/// Publishes to `topic` at its share of the rate, whether or not the broker keeps up. Returns the
/// times to PUBACK of what was due after the kill.
///
/// # Errors
///
/// If the broker sends it away.
pub(super) async fn run(
    plan: Plan,
    topic: u32,
    shared: Arc<Shared>,
    mut phases: watch::Receiver<Phase>,
) -> anyhow::Result<Histogram> {
    let interval = Duration::from_secs_f64(f64::from(TOPICS) / f64::from(plan.rate));
    let connect = packet::connect(&plan.client_id("publisher", topic), true);
    let mut client = Client::open(plan.third, &connect).await?;
    let template = Template::new(&plan.topic(topic), 1, plan.payload_bytes);
    let persistent = (0..plan.clients)
        .filter(|number| is_persistent(*number) && topic_of(*number) == topic)
        .count() as u64;
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let mut times = Histogram::default();
    let mut number = 0;
    // Publishers take turns within one interval.
    let mut due = Instant::now() + interval * topic / TOPICS;
    loop {
        let phase = *phases.borrow_and_update();
        if phase == Phase::End {
            return Ok(times);
        }
        tokio::select! {
            changed = phases.changed() => changed?,
            () = sleep_until(due), if phase == Phase::Publish => {
                let packet_id = (number % u32::from(u16::MAX)) as u16 + 1;
                let stamp = Stamp { publisher: topic, number, due: 0 };
                template.put(&mut client.out, packet_id, stamp);
                waiting.push_back(due);
                shared.unacknowledged.fetch_add(1, Relaxed);
                client.flush().await?;
                number += 1;
                due += interval;
            }
            open = client.turn(|packet, _| {
                if packet.kind() != packet::PUBACK {
                    return;
                }
                // PUBACKs come in the order of the messages.
                let Some(due) = waiting.pop_front() else { return };
                if shared.killed.get().is_some_and(|killed| due.into_std() >= *killed) {
                    times.add(due.elapsed().as_nanos() as u64);
                }
                shared.owed.fetch_add(persistent, Relaxed);
                shared.unacknowledged.fetch_sub(1, Relaxed);
            }) => anyhow::ensure!(open?, "the broker closed"),
        }
    }
}
