//! The sending end of a run of load: one thread that writes and one that reads acknowledgements.
//!
//! At a rate a message is due whether or not the broker keeps up, and times count from then.
//! At full speed a bounded number is under way, so that no queue of the broker overflows.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use crate::{
    connection::{Connection, Reader},
    histogram::Histogram,
    load::{self, Plan, Shared},
    packet::{self, Stamp, Template},
    subscriber::is_open,
};

/// Most messages of one write.
const BATCH: u64 = 128;
/// Without any progress for so many nanoseconds, what is under way is given up.
const STALLED: u64 = 2_000_000_000;

/// What one publisher knows.
#[derive(Debug)]
pub(crate) struct Job {
    number: u32,
    qos: u8,
    rate: Option<f64>,
    publishers: u64,
    unacknowledged: u64,
    undelivered: u64,
    template: Template,
    shared: Arc<Shared>,
    progress: Arc<Progress>,
}

/// What its two threads share.
#[derive(Debug)]
struct Progress {
    waits: AtomicBool,
    acknowledged: AtomicU64,
    /// By packet identifier: when the message was due.
    due: Vec<AtomicU64>,
}

/// Wakes the writing thread of a publisher if it waits.
#[derive(Debug, Clone)]
pub(crate) struct Waker {
    thread: Thread,
    progress: Arc<Progress>,
}

impl Waker {
    pub(crate) fn wake(&self) {
        load::wake(&self.thread, &self.progress.waits);
    }
}

impl Job {
    pub(crate) fn new(number: u32, plan: &Plan, template: Template, shared: Arc<Shared>) -> Self {
        Self {
            number,
            qos: plan.qos,
            rate: plan.rate,
            publishers: u64::from(plan.publishers),
            unacknowledged: plan.unacknowledged,
            undelivered: plan.undelivered,
            template,
            shared,
            progress: Arc::new(Progress {
                waits: AtomicBool::new(false),
                acknowledged: AtomicU64::new(0),
                due: (0..=u16::MAX).map(|_| AtomicU64::new(0)).collect(),
            }),
        }
    }

    /// How many messages may be sent now.
    fn room(&self, sent: u64) -> u64 {
        // The others count too: what is left is shared.
        let mut room = self.shared.room(self.undelivered) / self.publishers;
        if self.qos > 0 {
            let waiting = sent.saturating_sub(self.progress.acknowledged.load(SeqCst));
            room = room.min(self.unacknowledged.saturating_sub(waiting));
        }
        room
    }

    fn put(&self, out: &mut Vec<u8>, number: u64, due: u64) {
        let packet_id = (number % u64::from(u16::MAX)) as u16 + 1;
        if let Some(slot) = self.progress.due.get(usize::from(packet_id)) {
            slot.store(due, Relaxed);
        }
        let stamp = Stamp {
            publisher: self.number,
            number: number as u32,
            due,
        };
        self.template.put(out, packet_id, stamp);
    }

    fn send(&self, stream: &mut std::net::TcpStream, out: &mut Vec<u8>) -> anyhow::Result<bool> {
        let written = stream.write_all(out);
        out.clear();
        if self.shared.stop.load(Relaxed) {
            return Ok(false);
        }
        written?;
        Ok(true)
    }

    /// Sends each message when it is due, late ones at once.
    fn at_rate(&self, mut stream: std::net::TcpStream, rate: f64) -> anyhow::Result<()> {
        let interval = 1e9 / rate;
        // Publishers take turns within one interval.
        let shift = interval * f64::from(self.number) / self.publishers as f64;
        let start = self.shared.now() as f64 + shift;
        let mut out = Vec::new();
        let mut number = 0_u64;
        loop {
            let due = (start + interval * number as f64) as u64;
            let now = self.shared.now();
            if due > now {
                thread::sleep(Duration::from_nanos(due - now));
            }
            self.put(&mut out, number, due);
            number += 1;
            self.shared.sent.fetch_add(1, Relaxed);
            if !self.send(&mut stream, &mut out)? {
                return Ok(());
            }
        }
    }

    fn at_full_speed(&self, mut stream: std::net::TcpStream) -> anyhow::Result<()> {
        let mut bound = self.undelivered / self.publishers;
        if self.qos > 0 {
            bound = bound.min(self.unacknowledged);
        }
        let batch = bound.div_ceil(64).clamp(1, BATCH);
        let mut out = Vec::new();
        let mut number = 0_u64;
        while !self.shared.stop.load(Relaxed) {
            let room = self.wait_for_room(number, batch).min(BATCH);
            let now = self.shared.now();
            for _ in 0..room {
                self.put(&mut out, number, now);
                number += 1;
            }
            self.shared.sent.fetch_add(room, Relaxed);
            if !self.send(&mut stream, &mut out)? {
                break;
            }
        }
        Ok(())
    }

    /// Waits until `batch` messages may be sent, or the end.
    fn wait_for_room(&self, sent: u64, batch: u64) -> u64 {
        let begin = self.shared.now();
        loop {
            let room = self.room(sent);
            if room >= batch || self.shared.stop.load(Relaxed) {
                return room;
            }
            if self.shared.now() - begin > STALLED {
                let under_way = self.shared.under_way();
                self.shared.forgiven.store(under_way, Relaxed);
                return batch;
            }
            self.progress.waits.store(true, SeqCst);
            if self.room(sent) < batch {
                thread::park_timeout(Duration::from_millis(20));
            }
            self.progress.waits.store(false, SeqCst);
        }
    }
}

fn read_acknowledgements(
    reader: &mut Reader,
    shared: &Shared,
    waker: &Waker,
) -> anyhow::Result<Histogram> {
    let mut times = Histogram::default();
    let progress = &waker.progress;
    loop {
        let mut fresh = 0;
        let mut now = None;
        let read = reader.read(&mut |packet| {
            if packet.kind() != packet::PUBACK {
                return Ok(());
            }
            let now = *now.get_or_insert_with(|| shared.now());
            fresh += 1;
            let packet_id = packet.packet_id().unwrap_or_default();
            if let Some(due) = progress.due.get(usize::from(packet_id)) {
                let due = due.load(Relaxed);
                if shared.is_measured(due) {
                    times.add(now.saturating_sub(due));
                }
            }
            Ok(())
        });
        progress.acknowledged.fetch_add(fresh, SeqCst);
        shared.acknowledged.fetch_add(fresh, Relaxed);
        if !is_open(read, shared)? {
            return Ok(times);
        }
        waker.wake();
    }
}

type Sender = JoinHandle<anyhow::Result<()>>;
type Receiver = JoinHandle<anyhow::Result<Histogram>>;

/// Starts both threads. The first ends with the run, the second with the stream.
pub(crate) fn start(job: Job, connection: Connection) -> (Sender, Receiver, Waker) {
    let Connection { stream, mut reader } = connection;
    let shared = Arc::clone(&job.shared);
    let progress = Arc::clone(&job.progress);
    let sender = thread::spawn(move || match job.rate {
        Some(rate) => job.at_rate(stream, rate),
        None => job.at_full_speed(stream),
    });
    let waker = Waker {
        thread: sender.thread().clone(),
        progress: Arc::clone(&progress),
    };
    let own = Waker {
        thread: sender.thread().clone(),
        progress,
    };
    let receiver = thread::spawn(move || read_acknowledgements(&mut reader, &shared, &own));
    (sender, receiver, waker)
}
