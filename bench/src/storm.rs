//! Many clients of one node, which is killed, and how long they take to be back at the others.
//!
//! Each connects and subscribes to a topic of its own; when its connection ends it tries the
//! other nodes in turn, at once and then every 50 ms, until it has its SUBACK again.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    client::{Client, block_on},
    histogram::Histogram,
    packet,
};

/// How long one attempt may take, and how long to wait before the next.
const ATTEMPT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// When to give up altogether.
const LIMIT: Duration = Duration::from_secs(60);
/// Handshakes at one time before the storm.
const AT_ONCE: usize = 50;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) clients: u32,
    pub(crate) persistent: bool,
    pub(crate) first: SocketAddr,
    pub(crate) others: [SocketAddr; 2],
    /// How long all are connected before the kill.
    pub(crate) settle: Duration,
}

/// Times since the kill.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) connack: Histogram,
    pub(crate) suback: Histogram,
    /// Attempts beyond the first of each client, all together.
    pub(crate) repeated: u64,
}

struct Back {
    connack: Instant,
    suback: Instant,
    /// Attempts beyond the first.
    repeated: u64,
    /// Held until all are back.
    _client: Client,
}

/// Runs `plan`; `kill` ends the first node and returns when it is gone.
pub(crate) fn run(plan: Plan, kill: impl FnOnce()) -> anyhow::Result<Outcome> {
    block_on(async {
        timeout(LIMIT, storm(plan, kill))
            .await
            .context("not all clients came back within a minute")?
    })
}

async fn storm(plan: Plan, kill: impl FnOnce()) -> anyhow::Result<Outcome> {
    let ready = Arc::new(Barrier::new(plan.clients as usize + 1));
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        clients.spawn(client(plan, number, Arc::clone(&ready), Arc::clone(&turn)));
    }
    tokio::select! {
        _ = ready.wait() => {}
        Some(early) = clients.join_next() => {
            early??;
            anyhow::bail!("a client ended before the storm");
        }
    }
    sleep(plan.settle).await;
    let begin = Instant::now();
    kill();
    let mut outcome = Outcome::default();
    let mut back = Vec::new();
    while let Some(client) = clients.join_next().await {
        let client = client??;
        let since = |at: Instant| at.duration_since(begin).as_nanos() as u64;
        outcome.connack.add(since(client.connack));
        outcome.suback.add(since(client.suback));
        outcome.repeated += client.repeated;
        back.push(client);
    }
    Ok(outcome)
}

async fn client(
    plan: Plan,
    number: u32,
    ready: Arc<Barrier>,
    turn: Arc<Semaphore>,
) -> anyhow::Result<Back> {
    let permit = turn.acquire().await?;
    let (mut client, ..) = timeout(ATTEMPT, handshake(plan, number, plan.first))
        .await
        .context("before the storm")?
        .context("before the storm")?;
    drop(permit);
    ready.wait().await;
    // Until the end; how it ends does not matter.
    while matches!(client.turn(|_, _| ()).await, Ok(true)) {}
    let addresses = plan.others.iter().cycle().skip(number as usize % 2);
    for (repeated, address) in addresses.enumerate() {
        let attempt = timeout(ATTEMPT, handshake(plan, number, *address)).await;
        if let Ok(Ok((client, connack, suback))) = attempt {
            return Ok(Back {
                connack,
                suback,
                repeated: repeated as u64,
                _client: client,
            });
        }
        sleep(PAUSE).await;
    }
    anyhow::bail!("there are no other nodes")
}

/// Connects and subscribes; returns when CONNACK and SUBACK were there.
async fn handshake(
    plan: Plan,
    number: u32,
    address: SocketAddr,
) -> anyhow::Result<(Client, Instant, Instant)> {
    let kind = if plan.persistent {
        "persistent"
    } else {
        "clean"
    };
    let client_id = format!("storm-{kind}-{number}");
    let connect = packet::connect(&client_id, !plan.persistent);
    let mut client = Client::open(address, &connect).await?;
    let connack = Instant::now();
    let subscribe = packet::subscribe(&format!("storm/{kind}/{number}"), 1);
    client.ask(&subscribe, packet::SUBACK).await?;
    Ok((client, connack, Instant::now()))
}
