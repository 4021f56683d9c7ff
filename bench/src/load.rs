//! One run of load: publishers, one subscriber to all of them, and what was seen of it.
//!
//! The subscriber and each publisher have threads of their own; they meet in the counters of
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
    pub(crate) subscribe_at: SocketAddr,
    /// All connections by TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) publishers: u32,
    pub(crate) qos: u8,
    pub(crate) payload_bytes: usize,
    /// Messages per second of each publisher, whatever the broker does; `None`: full speed.
    pub(crate) rate: Option<f64>,
    /// Messages each publisher may have without PUBACK at full speed (QoS 1).
    pub(crate) unacknowledged: u64,
    /// Messages all together may have under way to the subscriber at full speed.
    pub(crate) undelivered: u64,
    /// Whether the subscriber's session outlives its connection.
    pub(crate) persistent: bool,
    pub(crate) measured: Duration,
}

/// What all threads of a run know.
#[derive(Debug)]
pub(crate) struct Shared {
    clock: Instant,
    /// Measured is what was due from here to `until`, in nanoseconds of the clock.
    since: AtomicU64,
    until: AtomicU64,
    pub(crate) stop: AtomicBool,
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Given up, so that what is lost does not hold up the rest.
    pub(crate) forgiven: AtomicU64,
}

impl Shared {
    fn new() -> Self {
        Self {
            clock: Instant::now(),
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

    fn is_settled(&self, qos: u8) -> bool {
        let sent = self.sent.load(Relaxed);
        let under_way = sent.saturating_sub(self.delivered.load(Relaxed));
        under_way == 0 && (qos == 0 || self.acknowledged.load(Relaxed) >= sent)
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
    /// From when a message was due until it was read by the subscriber.
    pub(crate) delivery: Histogram,
    /// From when a message was due until its PUBACK was read.
    pub(crate) acknowledgement: Histogram,
    /// Sent and not delivered in order once, five seconds after the end.
    pub(crate) lost: f64,
    /// Delivered again, or after a later one.
    pub(crate) repeated: f64,
    pub(crate) usage: Usage,
    /// Messages delivered while `usage` was measured.
    pub(crate) delivered: f64,
}

struct Threads {
    streams: Vec<TcpStream>,
    senders: Vec<JoinHandle<anyhow::Result<()>>>,
    acknowledged: Vec<JoinHandle<anyhow::Result<Histogram>>>,
    subscriber: JoinHandle<anyhow::Result<(Histogram, u64)>>,
}

/// Runs `plan` and reads `meter` at both ends of the measured time.
pub(crate) fn run(plan: &Plan, meter: &Meter) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared::new());
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
        let trust = plan.trust.as_ref();
        Connection::open(plan.subscribe_at, trust, &subscriber_id(plan), true)?; // ends the session
    }
    let per_second = counts.map(|count| count / usage.seconds);
    let [
        sent_per_second,
        acknowledged_per_second,
        delivered_per_second,
    ] = per_second;
    let [_, _, delivered] = counts;
    let [sent, _, arrived] = shared.counts();
    Ok(Outcome {
        sent_per_second,
        acknowledged_per_second,
        delivered_per_second,
        delivery,
        acknowledgement,
        lost: sent - arrived,
        repeated: repeated as f64,
        usage,
        delivered,
    })
}

fn subscriber_id(plan: &Plan) -> String {
    format!("bench-{}-subscriber", plan.run)
}

fn start(plan: &Plan, shared: &Arc<Shared>) -> anyhow::Result<Threads> {
    let topic = format!("bench/{}", plan.run);
    let trust = plan.trust.as_ref();
    let id = subscriber_id(plan);
    let mut subscriber =
        Connection::open(plan.subscribe_at, trust, &id, !plan.persistent).context("subscriber")?;
    subscriber.subscribe(&format!("{topic}/+"), plan.qos)?;
    let subscriber = subscriber.patient()?;
    let mut streams = vec![subscriber.stream.try_clone()?];
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
    let subscriber = subscriber::start(subscriber, Arc::clone(shared), wakers);
    Ok(Threads {
        streams,
        senders,
        acknowledged,
        subscriber,
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
    let (delivery, repeated) = joined(threads.subscriber).context("subscriber")?;
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
