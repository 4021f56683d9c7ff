//! Clients of the node that dies which do not come back, and the one who sees their wills.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::sync::watch;

use super::{Phase, Plan, Shared, is_persistent};
use crate::{
    client::Client,
    histogram::Histogram,
    packet::{self, Packet, Stamp},
};

/// The wills that came.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) numbers: HashSet<u32>,
    /// From the kill.
    pub(super) times: Histogram,
    pub(super) repeated: u64,
}

impl Seen {
    fn packet(&mut self, shared: &Shared, packet: Packet<'_>, out: &mut Vec<u8>) {
        if packet.kind() != packet::PUBLISH {
            return;
        }
        let Some((packet_id, stamp)) = packet.publish() else {
            return;
        };
        packet::put_puback(out, packet_id);
        if self.numbers.insert(stamp.number) {
            self.times.add(shared.since_kill().unwrap_or_default());
            shared.wills.fetch_add(1, Relaxed);
        } else {
            self.repeated += 1;
        }
    }
}

/// Connects the clients with wills to the first node. Every second session outlives its connection.
pub(super) async fn leave(plan: &Plan) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for number in 0..plan.wills {
        let stamp = Stamp {
            publisher: 0,
            number,
            due: 0,
        };
        let client_id = plan.client_id("will", number);
        let topic = plan.will_topic(number);
        let connect = packet::connect_with_will(&client_id, !is_persistent(number), &topic, stamp);
        clients.push(Client::open(plan.first, &connect).await?);
    }
    Ok(clients)
}

/// Connects the one who watches to the third node.
pub(super) async fn watch(plan: &Plan) -> anyhow::Result<Client> {
    let connect = packet::connect(&plan.client_id("watcher", 0), true);
    let mut client = Client::open(plan.third, &connect).await?;
    let subscribe = packet::subscribe(&plan.will_topic('+'), 1);
    client.ask(&subscribe, packet::SUBACK).await?;
    Ok(client)
}

/// Watches until the end.
///
/// # Errors
///
/// If the broker sends it away.
pub(super) async fn run(
    mut client: Client,
    shared: Arc<Shared>,
    mut phases: watch::Receiver<Phase>,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            _ = phases.wait_for(|phase| *phase == Phase::End) => return Ok(seen),
            open = client.turn(|packet, out| seen.packet(&shared, packet, out)) => {
                anyhow::ensure!(open?, "the broker closed");
            }
        }
    }
}
