//! Changes of the routes at a steady rate: a client subscribes at one node, and as soon as it has its
//! SUBACK somebody publishes to it at another node; then it unsubscribes.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::wire::{self, PATIENCE, UNSUBACK};
use crate::{
    client::{Client, block_on},
    cpu::{Meter, Usage},
    histogram::Histogram,
    packet::{self, Stamp, Template},
};

/// Clients that change their subscriptions in turn.
const CLIENTS: u32 = 100;

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Per second; SUBSCRIBE and UNSUBSCRIBE are one each.
    pub(super) rate: u32,
    pub(super) seconds: u32,
    pub(super) subscribe_at: SocketAddr,
    pub(super) publish_at: SocketAddr,
}

/// Times since the moment at which the change was due.
#[derive(Debug, Default)]
struct Seen {
    suback: Histogram,
    message: Histogram,
    changes: u32,
    unseen: u32,
}

#[derive(Debug)]
pub(super) struct Outcome {
    seen: Seen,
    usage: Usage,
}

impl Outcome {
    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        let Self { seen, usage } = self;
        let changes = f64::from(seen.changes);
        vec![
            ("changes_per_second", changes / usage.seconds),
            ("suback_p50_ms", seen.suback.quantile_ms(0.5)),
            ("suback_p99_ms", seen.suback.quantile_ms(0.99)),
            ("seen_p50_ms", seen.message.quantile_ms(0.5)),
            ("seen_p99_ms", seen.message.quantile_ms(0.99)),
            ("seen_max_ms", seen.message.quantile_ms(1.0)),
            ("unseen", f64::from(seen.unseen)),
            ("change_broker_us", usage.brokers * 1e6 / changes),
            ("change_database_us", usage.database * 1e6 / changes),
        ]
    }
}

pub(super) fn run(plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
    block_on(change(plan, meter))
}

async fn change(plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
    let (ask, asked) = mpsc::channel(1024);
    let mut all = JoinSet::new();
    let mut publisher =
        Client::open(plan.publish_at, &packet::connect("growth-tell", true)).await?;
    let mut publishing = JoinSet::new();
    publishing.spawn(async move { publish(&mut publisher, asked).await });
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let connect = packet::connect(&format!("growth-change-{number}"), true);
        clients.push(Client::open(plan.subscribe_at, &connect).await?);
    }
    let (begin, before) = (Instant::now(), meter.read());
    for (number, client) in (0..).zip(clients) {
        all.spawn(alternate(plan, number, client, ask.clone(), begin));
    }
    drop(ask);
    let mut seen = Seen::default();
    while let Some(one) = all.join_next().await {
        let one = one??;
        seen.suback.merge(&one.suback);
        seen.message.merge(&one.message);
        seen.changes += one.changes;
        seen.unseen += one.unseen;
    }
    let usage = meter.read().since(&before);
    while let Some(end) = publishing.join_next().await {
        end??;
    }
    Ok(Outcome { seen, usage })
}

async fn publish(client: &mut Client, mut topics: mpsc::Receiver<String>) -> anyhow::Result<()> {
    let stamp = Stamp {
        publisher: 0,
        number: 0,
        due: 0,
    };
    while let Some(topic) = topics.recv().await {
        Template::new(&topic, 0, 16).put(&mut client.out, 0, stamp);
        client.flush().await?;
    }
    Ok(())
}

async fn alternate(
    plan: Plan,
    number: u32,
    mut client: Client,
    ask: mpsc::Sender<String>,
    begin: Instant,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let each = Duration::from_secs_f64(f64::from(CLIENTS) / f64::from(plan.rate));
    let first = begin + each * number / CLIENTS;
    let rounds = plan.rate * plan.seconds / CLIENTS / 2;
    for round in 0..rounds {
        let due = first + each * (2 * round);
        sleep_until(due.into()).await;
        let since = || due.elapsed().as_nanos() as u64;
        let device = format!("c{number}-{round}");
        let filter = format!("d/+/x/{device}/#");
        client.out.extend(packet::subscribe(&filter, 1));
        wait(&mut client, packet::SUBACK)
            .await
            .context("no SUBACK")?;
        seen.suback.add(since());
        ask.send(format!("d/{number}/x/{device}/state")).await?;
        match wait(&mut client, packet::PUBLISH).await {
            Ok(()) => seen.message.add(since()),
            Err(_) => seen.unseen += 1,
        }
        sleep_until((due + each).into()).await;
        client.out.extend(wire::unsubscribe(&filter));
        wait(&mut client, UNSUBACK).await.context("no UNSUBACK")?;
        seen.changes += 2;
    }
    Ok(seen)
}

/// Writes what is to be written, and waits for a packet of that kind.
async fn wait(client: &mut Client, kind: u8) -> anyhow::Result<()> {
    let mut is_there = false;
    while !is_there {
        let turn = client.turn(|packet, _| is_there |= packet.kind() == kind);
        let is_open = timeout(PATIENCE, turn).await??;
        anyhow::ensure!(is_open, "the broker closed");
    }
    Ok(())
}
