//! Many persistent sessions of which some reconnect each second, each to the next node, as behind a
//! load balancer.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::{
    ground::{Ground, resident_bytes},
    wire::{Crowd, PATIENCE},
};
use crate::{
    client::block_on,
    histogram::Histogram,
    packet,
    report::{Figures, Report, Table},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Persistent sessions.
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// Filters of each.
    #[arg(long, default_value_t = 1)]
    filters: u32,
    /// Reconnects per second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Connections held at one time; the oldest goes when another one comes.
    #[arg(long, default_value_t = 5000)]
    held: usize,
    /// Seconds measured, after `held` connections are there.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

pub(super) fn run(
    arguments: &Arguments,
    ground: &mut Ground,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [a, b] = ground.pair(report)?;
    let crowd = Crowd::persistent(a.address(), arguments.sessions, arguments.filters);
    block_on(crowd.arrive())?;
    let meter = ground.meter(&[&a, &b]);
    let before_bytes = resident_bytes(&a)? + resident_bytes(&b)?;
    let nodes = [a.address(), b.address()];
    let held_seconds = (arguments.held as u32).div_ceil(arguments.rate);
    let outcome = block_on(reconnect(arguments, crowd, nodes, held_seconds, || {
        meter.read()
    }))?;
    let usage = outcome.after.since(&outcome.before);
    let after_bytes = resident_bytes(&a)? + resident_bytes(&b)?;
    let connects = outcome.connack.1;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let figures = Figures(vec![
        ("sessions", f64::from(arguments.sessions)),
        ("connects_per_second", connects / usage.seconds),
        ("connack_p50_ms", outcome.connack.0.quantile_ms(0.5)),
        ("connack_p99_ms", outcome.connack.0.quantile_ms(0.99)),
        ("connack_max_ms", outcome.connack.0.quantile_ms(1.0)),
        ("errors", f64::from(outcome.errors)),
        ("without_session", f64::from(outcome.without_session)),
        ("broker_us", usage.brokers * 1e6 / connects),
        ("database_us", usage.database * 1e6 / connects),
        ("broker_cores", usage.brokers / usage.seconds),
        ("database_cores", usage.database / usage.seconds),
        ("generator_cores", usage.generator / usage.seconds),
        ("before_mb", mebibytes(before_bytes)),
        ("after_mb", mebibytes(after_bytes)),
    ]);
    report.round("growth reconnect", "two nodes", 1, &figures)?;
    let cells = |(name, value): &(&str, f64)| vec![(*name).to_owned(), format!("{value:.1}")];
    report.table(Table {
        title: "Persistent sessions that reconnect".to_owned(),
        rows: figures.0.iter().map(cells).collect(),
    });
    Ok(())
}

struct Outcome<R> {
    /// Times, and how many there were.
    connack: (Histogram, f64),
    errors: u32,
    /// CONNACK without Session Present: the session was lost.
    without_session: u32,
    before: R,
    after: R,
}

/// A connection that was asked for: when it was due, and whether its session was there.
type Attempt = (Instant, anyhow::Result<(TcpStream, bool)>);

async fn reconnect<R>(
    arguments: &Arguments,
    crowd: Crowd,
    nodes: [SocketAddr; 2],
    warm_seconds: u32,
    read: impl Fn() -> R,
) -> anyhow::Result<Outcome<R>> {
    let begin = Instant::now();
    let warm = begin + Duration::from_secs(warm_seconds.into());
    let all = (warm_seconds + arguments.seconds) * arguments.rate;
    let due_at = |number: u32| begin + Duration::from_secs(1) * number / arguments.rate;
    let (mut attempts, mut closing) = (JoinSet::new(), JoinSet::new());
    let mut before = None;
    let mut held = VecDeque::new();
    let (mut started, mut finished) = (0, 0);
    let (mut connack, mut count, mut errors, mut without_session) =
        (Histogram::default(), 0.0, 0, 0);
    while finished < all {
        tokio::select! {
            () = sleep_until(due_at(started).into()), if started < all => {
                attempts.spawn(attempt(crowd, nodes, started, due_at(started)));
                started += 1;
            }
            Some(ended) = attempts.join_next() => {
                finished += 1;
                let (due, result): Attempt = ended?;
                if due >= warm {
                    before.get_or_insert_with(&read);
                    connack.add(due.elapsed().as_nanos() as u64);
                    count += 1.0;
                }
                match result {
                    Ok((stream, is_present)) => {
                        without_session += u32::from(!is_present);
                        held.push_back(stream);
                    }
                    Err(_) => errors += 1,
                }
                if held.len() > arguments.held
                    && let Some(oldest) = held.pop_front()
                {
                    closing.spawn(close(oldest));
                }
            }
            Some(_) = closing.join_next() => {}
        }
    }
    let after = read();
    Ok(Outcome {
        connack: (connack, count),
        errors,
        without_session,
        before: before.unwrap_or_else(&read),
        after,
    })
}

async fn attempt(crowd: Crowd, nodes: [SocketAddr; 2], number: u32, due: Instant) -> Attempt {
    let [a, b] = nodes;
    let at = if number.is_multiple_of(2) { a } else { b };
    // Neighbours in time are far apart in the database.
    let session = (u64::from(number) * 7919 % u64::from(crowd.sessions)) as u32;
    let client_id = crowd.client_id(session);
    let result = match timeout(PATIENCE, connect(at, &client_id)).await {
        Ok(result) => result,
        Err(late) => Err(late.into()),
    };
    (due, result)
}

/// Connects and returns whether the session was there.
async fn connect(at: SocketAddr, client_id: &str) -> anyhow::Result<(TcpStream, bool)> {
    let mut stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&packet::connect(client_id, false)).await?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await?;
    let [kind, _, session_present, return_code] = connack;
    anyhow::ensure!((kind, return_code) == (0x20, 0), "refused");
    Ok((stream, session_present == 1))
}

async fn close(mut stream: TcpStream) {
    // Broken or not, it goes.
    let _ = stream.write_all(&packet::DISCONNECT).await;
}
