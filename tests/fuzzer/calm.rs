//! Well-behaved clients that exchange messages meanwhile, and miss nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use harness::{Builder, Client, Event, MessageExt as _, message};
use mqtt::{ProtocolVersion, Qos};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// Longer than anything takes that is not stuck, on a machine that does much else.
pub const STALL: Duration = Duration::from_secs(60);
/// Messages under way above which a publisher waits: no queue of a subscriber is ever full.
const WINDOW: u64 = 50;

/// A publisher and a subscriber, on nodes of their own where there are several.
#[derive(Debug, Clone)]
pub struct Pair {
    pub name: String,
    pub publisher: Builder,
    pub subscriber: Builder,
    pub qos: Qos,
}

impl Pair {
    /// One pair for each QoS and version; `secret` keeps attackers off their topics.
    pub fn all(nodes: &[std::net::SocketAddr], secret: u64) -> Vec<Self> {
        let mut pairs = Vec::new();
        for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let number = pairs.len();
                let name = format!("calm-{secret:x}-{number}");
                let at = |index: usize, role: &str| {
                    Builder::new(nodes[index % nodes.len()], &format!("{name}-{role}"))
                        .version(version)
                };
                let mut subscriber = at(number + 1, "subscriber");
                if qos != Qos::AtMostOnce {
                    subscriber = subscriber.persistent(300);
                }
                pairs.push(Self {
                    publisher: at(number, "publisher"),
                    subscriber,
                    qos,
                    name,
                });
            }
        }
        pairs
    }
}

/// What a pair has done.
#[derive(Debug, Default)]
pub struct Report {
    pub name: String,
    pub sent: u64,
    pub received: u64,
    /// From sending to receiving, each.
    pub latencies: Vec<Duration>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    is_over: AtomicBool,
}

/// Exchanges messages until `deadline`, and then waits for the last of them.
///
/// # Errors
///
/// If a message above QoS 0 was lost, came twice at QoS 2 or out of order; if a connection was
/// closed, or nothing happened for [`STALL`].
pub async fn exchange(pair: Pair, deadline: Instant) -> anyhow::Result<Report> {
    let shared = Arc::new(Shared {
        start: Instant::now(),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut subscriber = pair.subscriber.connect_eventually().await;
    subscriber.subscribe(&pair.name, pair.qos).await;
    let publisher = pair.publisher.connect_eventually().await;
    let mut tasks = JoinSet::new();
    let (topic, qos) = (pair.name.clone(), pair.qos);
    let counts = Arc::clone(&shared);
    tasks.spawn(async move {
        let ended = publish(publisher, &topic, qos, deadline, &counts).await;
        counts.is_over.store(true, Ordering::SeqCst);
        ended.context("publisher").map(|()| Vec::new())
    });
    let counts = Arc::clone(&shared);
    tasks.spawn(async move {
        receive(subscriber, qos, &counts)
            .await
            .context("subscriber")
    });
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies.extend(ended?.with_context(|| pair.name.clone())?);
    }
    let report = Report {
        name: pair.name,
        sent: shared.sent.load(Ordering::SeqCst),
        received: shared.received.load(Ordering::SeqCst),
        latencies,
    };
    ensure!(report.sent > 0, "{} has sent nothing", report.name);
    if qos != Qos::AtMostOnce {
        let Report {
            name,
            sent,
            received,
            ..
        } = &report;
        ensure!(sent == received, "{name}: {received} of {sent} messages");
    }
    Ok(report)
}

async fn publish(
    mut client: Client,
    topic: &str,
    qos: Qos,
    deadline: Instant,
    shared: &Shared,
) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unacknowledged = 0;
    loop {
        let sent = shared.sent.load(Ordering::SeqCst);
        let is_over = Instant::now() >= deadline;
        if is_over && unacknowledged == 0 {
            client.disconnect().await;
            return Ok(());
        }
        let is_behind =
            qos != Qos::AtMostOnce && sent - shared.received.load(Ordering::SeqCst) >= WINDOW;
        let may_send = !is_over && unacknowledged < WINDOW && !is_behind;
        let stall = if is_over || may_send || is_behind && unacknowledged == 0 {
            Duration::from_millis(50)
        } else {
            STALL
        };
        tokio::select! {
            event = client.event() => match event {
                Event::Completed(_, reason_code) => {
                    ensure!(!reason_code.is_error(), "refused: {reason_code}");
                    unacknowledged -= 1;
                }
                Event::Handshake | Event::Pong => {}
                other => bail!("after {sent} messages: {other:?}"),
            },
            _ = ticks.tick(), if may_send => {
                let text = format!("{sent} {}", shared.start.elapsed().as_micros());
                shared.sent.fetch_add(1, Ordering::SeqCst);
                client.start(message(topic, text, qos)).await;
                unacknowledged += u64::from(qos != Qos::AtMostOnce);
            }
            () = sleep(stall) => ensure!(
                stall < STALL && Instant::now() < deadline + STALL,
                "no acknowledgement for {STALL:?}"
            ),
        }
    }
}

async fn receive(mut client: Client, qos: Qos, shared: &Shared) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut expected = 0;
    let mut heard = Instant::now();
    loop {
        let is_over = shared.is_over.load(Ordering::SeqCst);
        let is_complete = expected == shared.sent.load(Ordering::SeqCst);
        let is_lost = qos == Qos::AtMostOnce && heard.elapsed() > Duration::from_secs(5);
        if is_over && (is_complete || is_lost) {
            client.disconnect().await;
            return Ok(latencies);
        }
        let event = tokio::select! {
            event = client.event() => event,
            () = sleep(Duration::from_millis(50)) => {
                let is_waiting = qos != Qos::AtMostOnce && !is_complete;
                ensure!(
                    !is_waiting || heard.elapsed() < STALL,
                    "message {expected} has not come for {STALL:?}"
                );
                if is_complete {
                    heard = Instant::now();
                }
                continue;
            }
        };
        let publish = match event {
            Event::Message(publish) => publish,
            Event::Handshake | Event::Pong => continue,
            other => bail!("after {expected} messages: {other:?}"),
        };
        heard = Instant::now();
        let text = publish.message.text();
        let (number, at) = text.split_once(' ').context("a message of somebody else")?;
        let number: u64 = number.parse()?;
        match qos {
            Qos::AtMostOnce => ensure!(number >= expected, "{number} after {expected}"),
            Qos::AtLeastOnce if number < expected => continue, // again, which is allowed
            Qos::AtLeastOnce | Qos::ExactlyOnce => {
                ensure!(number == expected, "{number} came where {expected} was due");
            }
        }
        expected = number + 1;
        shared.received.fetch_add(1, Ordering::SeqCst);
        let now = shared.start.elapsed();
        latencies.push(now.saturating_sub(Duration::from_micros(at.parse()?)));
    }
}
