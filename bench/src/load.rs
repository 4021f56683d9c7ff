//! One run of load: publishers, subscribers to all of them, and what was seen of it.
//!
//! Each subscriber and each publisher has threads of its own; they meet in the counters of
//! [`Shared`], of which the run takes the difference between the ends of the measured time.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    connection::Connection,
    cpu::{Meter, Usage},
    histogram::Histogram,
    packet::{self, Template},
    publisher, subscriber,
    tunnel::Trust,
};

const WARM_UP: Duration = Duration::from_secs(1);
/// How long what is under way at the end may take to arrive.
const DRAIN: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Makes names and topics unique.
    pub(crate) run: u32,
    pub(crate) publish_at: SocketAddr,
    /// A subscriber at each.
    pub(crate) subscribe_at: Vec<SocketAddr>,
    /// All connections by TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) publishers: u32,
    pub(crate) qos: u8,
    pub(crate) payload_bytes: usize,
    /// Messages per second of each publisher, whatever the broker does; `None`: full speed.
    pub(crate) rate: Option<f64>,
    /// Messages each publisher may have without PUBACK at full speed (QoS 1).
    pub(crate) unacknowledged: u64,
    /// Messages all together may have under way to each subscriber at full speed.
    pub(crate) undelivered: u64,
    /// Whether the subscribers' sessions outlive their connections.
    pub(crate) persistent: bool,
    pub(crate) measured: Duration,
}

/// What all threads of a run know.
#[derive(Debug)]
pub(crate) struct Shared {
    clock: Instant,
    /// How many subscribers there are.
    copies: u64,
    /// Measured is what was due from here to `until`, in nanoseconds of the clock.
    since: AtomicU64,
    until: AtomicU64,
    pub(crate) stop: AtomicBool,
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    /// By all subscribers together, as is what follows.
    pub(crate) delivered: AtomicU64,
    /// Given up, so that what is lost does not hold up the rest.
    pub(crate) forgiven: AtomicU64,
}

impl Shared {
    fn new(copies: usize) -> Self {
        Self {
            clock: Instant::now(),
            copies: copies as u64,
            since: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            forgiven: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    pub(crate) fn is_measured(&self, due: u64) -> bool {
        due >= self.since.load(Relaxed) && due < self.until.load(Relaxed)
    }

    /// How many deliveries of what was sent have not been seen.
    pub(crate) fn under_way(&self) -> u64 {
        let delivered = self.delivered.load(std::sync::atomic::Ordering::SeqCst);
        (self.sent.load(Relaxed) * self.copies).saturating_sub(delivered)
    }

    /// How many messages each subscriber may still be sent, on average, of `limit`.
    pub(crate) fn room(&self, limit: u64) -> u64 {
        let under_way = self.under_way().saturating_sub(self.forgiven.load(Relaxed));
        limit.saturating_sub(under_way.div_ceil(self.copies.max(1)))
    }

    fn is_settled(&self, qos: u8) -> bool {
        let sent = self.sent.load(Relaxed);
        self.under_way() == 0 && (qos == 0 || self.acknowledged.load(Relaxed) >= sent)
    }

    fn counts(&self) -> [f64; 3] {
        [&self.sent, &self.acknowledged, &self.delivered].map(|count| count.load(Relaxed) as f64)
    }
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent_per_second: f64,
    pub(crate) acknowledged_per_second: f64,
    pub(crate) delivered_per_second: f64,
    /// From when a message was due until it was read by a subscriber.
    pub(crate) delivery: Histogram,
    /// From when a message was due until its PUBACK was read.
    pub(crate) acknowledgement: Histogram,
    /// Deliveries missing, in order and once, five seconds after the end.
    pub(crate) lost: f64,
    /// Delivered again, or after a later one.
    pub(crate) repeated: f64,
    pub(crate) usage: Usage,
    /// Deliveries while `usage` was measured.
    pub(crate) delivered: f64,
}

struct Threads {
    streams: Vec<TcpStream>,
    senders: Vec<JoinHandle<anyhow::Result<()>>>,
    acknowledged: Vec<JoinHandle<anyhow::Result<Histogram>>>,
    subscribers: Vec<JoinHandle<anyhow::Result<(Histogram, u64)>>>,
}

/// Runs `plan` and reads `meter` at both ends of the measured time.
pub(crate) fn run(plan: &Plan, meter: &Meter) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared::new(plan.subscribe_at.len()));
    let threads = start(plan, &shared)?;
    thread::sleep(WARM_UP);

    let (before, counts) = (meter.read(), shared.counts());
    shared.since.store(shared.now(), Relaxed);
    thread::sleep(plan.measured);
    shared.until.store(shared.now(), Relaxed);
    let (usage, counts) = (meter.read().since(&before), {
        let [sent, acknowledged, delivered] = shared.counts();
        let [sent0, acknowledged0, delivered0] = counts;
        [
            sent - sent0,
            acknowledged - acknowledged0,
            delivered - delivered0,
        ]
    });

    shared.stop.store(true, Relaxed);
    let deadline = Instant::now() + DRAIN;
    while !(threads.senders.iter().all(JoinHandle::is_finished) && shared.is_settled(plan.qos))
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(5));
    }
    let (acknowledgement, delivery, repeated) = end(threads)?;
    if plan.persistent {
        for (number, address) in plan.subscribe_at.iter().enumerate() {
            let id = subscriber_id(plan, number);
            Connection::open(*address, plan.trust.as_ref(), &id, true)?; // ends the session
        }
    }
    let per_second = counts.map(|count| count / usage.seconds);
    let [
        sent_per_second,
        acknowledged_per_second,
        delivered_per_second,
    ] = per_second;
    let [_, _, delivered] = counts;
    Ok(Outcome {
        sent_per_second,
        acknowledged_per_second,
        delivered_per_second,
        delivery,
        acknowledgement,
        lost: shared.under_way() as f64,
        repeated: repeated as f64,
        usage,
        delivered,
    })
}

fn subscriber_id(plan: &Plan, number: usize) -> String {
    format!("bench-{}-subscriber-{number}", plan.run)
}

fn start(plan: &Plan, shared: &Arc<Shared>) -> anyhow::Result<Threads> {
    let topic = format!("bench/{}", plan.run);
    let trust = plan.trust.as_ref();
    let mut streams = Vec::new();
    let mut subscribers = Vec::new();
    for (number, address) in plan.subscribe_at.iter().enumerate() {
        let id = subscriber_id(plan, number);
        let mut subscriber =
            Connection::open(*address, trust, &id, !plan.persistent).context("subscriber")?;
        subscriber.subscribe(&format!("{topic}/+"), plan.qos)?;
        let subscriber = subscriber.patient()?;
        streams.push(subscriber.stream.try_clone()?);
        subscribers.push(subscriber);
    }
    let mut senders = Vec::new();
    let mut acknowledged = Vec::new();
    let mut wakers: Vec<publisher::Waker> = Vec::new();
    for number in 0..plan.publishers {
        let id = format!("bench-{}-publisher-{number}", plan.run);
        let connection = Connection::open(plan.publish_at, trust, &id, true)
            .context("publisher")?
            .patient()?;
        streams.push(connection.stream.try_clone()?);
        let template = Template::new(&format!("{topic}/{number}"), plan.qos, plan.payload_bytes);
        let job = publisher::Job::new(number, plan, template, Arc::clone(shared));
        let (sender, receiver, waker) = publisher::start(job, connection);
        senders.push(sender);
        acknowledged.push(receiver);
        wakers.push(waker);
    }
    let subscribers = subscribers
        .into_iter()
        .map(|subscriber| subscriber::start(subscriber, Arc::clone(shared), wakers.clone()))
        .collect();
    Ok(Threads {
        streams,
        senders,
        acknowledged,
        subscribers,
    })
}

fn end(threads: Threads) -> anyhow::Result<(Histogram, Histogram, u64)> {
    for stream in &threads.streams {
        let mut stream = stream;
        // The broker may have closed already; the threads tell why.
        let _ = std::io::Write::write_all(&mut stream, &packet::DISCONNECT);
        let _ = stream.shutdown(Shutdown::Both);
    }
    for sender in threads.senders {
        joined(sender).context("publisher")?;
    }
    let mut acknowledgement = Histogram::default();
    for receiver in threads.acknowledged {
        acknowledgement.merge(&joined(receiver).context("publisher")?);
    }
    let (mut delivery, mut repeated) = (Histogram::default(), 0);
    for subscriber in threads.subscribers {
        let (times, again) = joined(subscriber).context("subscriber")?;
        delivery.merge(&times);
        repeated += again;
    }
    Ok((acknowledgement, delivery, repeated))
}

fn joined<T>(handle: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    handle
        .join()
        .map_err(|_| anyhow::anyhow!("a thread of the load panicked"))?
}

/// Wakes `thread` if it says that it waits.
pub(crate) fn wake(thread: &Thread, waits: &AtomicBool) {
    if waits.swap(false, std::sync::atomic::Ordering::SeqCst) {
        thread.unpark();
    }
}
