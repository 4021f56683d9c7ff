//! A subscriber whose node dies.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Phase, Plan, Shared, is_persistent, topic_of};
use crate::{
    client::Client,
    packet::{self, Packet},
};

/// How long one attempt may take, and how long to wait before the next.
const ATTEMPT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// What one subscriber has seen; times in nanoseconds since the kill.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) persistent: bool,
    pub(super) connack: Option<u64>,
    /// The first message of the new connection.
    pub(super) first: Option<u64>,
    numbers: HashSet<u32>,
    pub(super) repeated: u64,
    /// Attempts to connect that failed.
    pub(super) attempts: u64,
}

impl Progress {
    pub(super) fn new(persistent: bool) -> Self {
        Self {
            persistent,
            connack: None,
            first: None,
            numbers: HashSet::new(),
            repeated: 0,
            attempts: 0,
        }
    }

    fn packet(&mut self, shared: &Shared, packet: Packet<'_>, out: &mut Vec<u8>) {
        if packet.kind() != packet::PUBLISH {
            return;
        }
        let Some((packet_id, stamp)) = packet.publish() else {
            return;
        };
        packet::put_puback(out, packet_id);
        if self.connack.is_some() && self.first.is_none() {
            self.first = shared.since_kill();
            shared.back.fetch_add(1, Relaxed);
        }
        if !self.numbers.insert(stamp.number) {
            self.repeated += 1;
        } else if self.persistent {
            shared.arrived.fetch_add(1, Relaxed);
        }
    }
}

fn connect(plan: &Plan, number: u32) -> Vec<u8> {
    packet::connect(
        &plan.client_id("subscriber", number),
        !is_persistent(number),
    )
}

fn subscribe(plan: &Plan, number: u32) -> Vec<u8> {
    packet::subscribe(&plan.topic(topic_of(number)), 1)
}

/// Connects to the first node and subscribes.
pub(super) async fn join(plan: &Plan, number: u32) -> anyhow::Result<Client> {
    let mut client = Client::open(plan.first, &connect(plan, number)).await?;
    client.ask(&subscribe(plan, number), packet::SUBACK).await?;
    Ok(client)
}

/// Stays with `client` until its node dies, and then with the second node, until the end.
pub(super) async fn run(
    plan: Plan,
    number: u32,
    mut client: Client,
    (shared, mut phases): (Arc<Shared>, watch::Receiver<Phase>),
) -> Progress {
    let mut progress = Progress::new(is_persistent(number));
    let life = async {
        loop {
            // How it ends does not matter.
            while matches!(
                client
                    .turn(|packet, out| progress.packet(&shared, packet, out))
                    .await,
                Ok(true)
            ) {}
            client = come_back(&plan, number, &shared, &mut progress).await;
        }
    };
    tokio::select! {
        _ = phases.wait_for(|phase| *phase == Phase::End) => {}
        () = life => {}
    }
    progress
}

/// Tries until the second node takes it. A session that has outlived its connection knows its
/// subscription, the others ask for it.
async fn come_back(plan: &Plan, number: u32, shared: &Shared, progress: &mut Progress) -> Client {
    let connect = connect(plan, number);
    loop {
        let open = Client::open(plan.second, &connect);
        if let Ok(Ok(mut client)) = timeout(ATTEMPT, open).await {
            progress.connack = progress.connack.or_else(|| shared.since_kill());
            if !progress.persistent {
                client.out.extend(subscribe(plan, number));
            }
            return client;
        }
        progress.attempts += 1;
        sleep(PAUSE).await;
    }
}
