//! Many retained messages: what they hold in memory, how long a node takes to load them, what it costs
//! to replace them, and how quickly subscribers get one branch of them or all.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::time::timeout;

use super::{
    ground::{self, Ground, resident_bytes},
    wire::{self, PATIENCE},
};
use crate::{
    client::{Client, block_on},
    packet,
    report::{Figures, Report, Table},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Topics with a retained message.
    #[arg(long, default_value_t = 100_000)]
    topics: u32,
    /// Bytes of payload of each.
    #[arg(long, default_value_t = 64)]
    payload: usize,
}

/// Branches that the topics are spread over.
const BRANCHES: u32 = 100;
/// Messages without PUBACK.
const WINDOW: u32 = 1000;
const SETTLE: Duration = Duration::from_secs(4);

pub(super) fn run(
    arguments: &Arguments,
    ground: &mut Ground,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [a, b] = ground.pair(report)?;
    let meter = ground.meter(&[&a, &b]);
    let [empty_a, empty_b] = [resident_bytes(&a)?, resident_bytes(&b)?];
    let count = f64::from(arguments.topics);
    let mut figures = vec![("topics", count)];
    // The second time each is replaced.
    for names in [
        ["set_per_second", "set_broker_us", "set_database_us"],
        [
            "replaced_per_second",
            "replace_broker_us",
            "replace_database_us",
        ],
    ] {
        let before = meter.read();
        block_on(publish(a.address(), arguments))?;
        let usage = meter.read().since(&before);
        let [rate, broker, database] = names;
        figures.push((rate, count / usage.seconds));
        figures.push((broker, usage.brokers * 1e6 / count));
        figures.push((database, usage.database * 1e6 / count));
    }
    thread::sleep(SETTLE);
    let each = |now: u64, before: u64| (now as f64 - before as f64) / count;
    figures.push(("publisher_bytes", each(resident_bytes(&a)?, empty_a)));
    figures.push(("other_bytes", each(resident_bytes(&b)?, empty_b)));
    let (c, start) = ground.node("c")?;
    figures.push(("start_seconds", start.as_secs_f64()));
    figures.push(("started_bytes", each(resident_bytes(&c)?, empty_b)));
    let branch = arguments.topics / BRANCHES;
    for (filter, wanted, names) in [
        ("r/7/#", branch, ["branch_ms", "branch_broker_us"]),
        ("r/#", arguments.topics, ["all_ms", "all_broker_us"]),
    ] {
        let before = meter.read();
        let (begin, [time, cost]) = (Instant::now(), names);
        block_on(read(b.address(), filter, wanted))?;
        figures.push((time, begin.elapsed().as_secs_f64() * 1e3));
        let usage = meter.read().since(&before);
        figures.push((cost, usage.brokers * 1e6 / f64::from(wanted)));
    }
    ground::stop(c);
    let figures = Figures(figures);
    report.round("growth retained", "two nodes", 1, &figures)?;
    let cells = |(name, value): &(&str, f64)| vec![(*name).to_owned(), format!("{value:.1}")];
    report.table(Table {
        title: format!("{count} retained messages of {} bytes", arguments.payload),
        rows: figures.0.iter().map(cells).collect(),
    });
    Ok(())
}

fn topic(number: u32) -> String {
    format!("r/{}/device/{number}", number % BRANCHES)
}

/// Sets the retained message of each topic.
async fn publish(at: SocketAddr, arguments: &Arguments) -> anyhow::Result<()> {
    let mut client = Client::open(at, &packet::connect("growth-set", true)).await?;
    let payload = vec![b'.'; arguments.payload];
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < arguments.topics {
        while sent < arguments.topics && sent - acknowledged < WINDOW {
            let packet_id = (sent % 60_000) as u16 + 1;
            wire::put_retained(&topic(sent), packet_id, &payload, &mut client.out);
            sent += 1;
        }
        let turn =
            client.turn(|packet, _| acknowledged += u32::from(packet.kind() == packet::PUBACK));
        anyhow::ensure!(timeout(PATIENCE, turn).await??, "the broker closed");
    }
    client.close().await
}

/// Subscribes and waits for `wanted` messages.
async fn read(at: SocketAddr, filter: &str, wanted: u32) -> anyhow::Result<()> {
    let mut client = Client::open(at, &packet::connect("growth-read", true)).await?;
    client.out = wire::subscribe(&[filter.to_owned()], 0);
    let mut received = 0;
    while received < wanted {
        let turn = client.turn(|packet, _| received += u32::from(packet.kind() == packet::PUBLISH));
        anyhow::ensure!(timeout(PATIENCE, turn).await??, "the broker closed");
    }
    client.close().await
}
