//! The receiving end of a run of load.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
};

use crate::{
    connection::Connection,
    histogram::Histogram,
    load::Shared,
    packet::{self, Packet, Stamp},
    publisher::Waker,
};

struct Seen {
    shared: Arc<Shared>,
    /// Per publisher the number of its next message.
    next: Vec<u32>,
    delivery: Histogram,
    repeated: u64,
    /// Of the present read.
    fresh: u64,
    acks: Vec<u8>,
}

impl Seen {
    fn packet(&mut self, packet: Packet<'_>, now: u64) {
        if packet.kind() != packet::PUBLISH {
            return;
        }
        let Some((packet_id, stamp)) = packet.publish() else {
            return;
        };
        if packet_id > 0 {
            packet::put_puback(&mut self.acks, packet_id);
        }
        if !self.is_next(stamp) {
            self.repeated += 1;
            return;
        }
        self.fresh += 1;
        if self.shared.is_measured(stamp.due) {
            self.delivery.add(now.saturating_sub(stamp.due));
        }
    }

    fn is_next(&mut self, stamp: Stamp) -> bool {
        match self.next.get_mut(stamp.publisher as usize) {
            Some(next) if stamp.number >= *next => {
                *next = stamp.number + 1;
                true
            }
            _ => false,
        }
    }
}

/// Reads and acknowledges until the stream ends. Returns the times of delivery and how many
/// messages came again or after a later one.
pub(crate) fn start(
    connection: Connection,
    shared: Arc<Shared>,
    wakers: Vec<Waker>,
) -> JoinHandle<anyhow::Result<(Histogram, u64)>> {
    thread::spawn(move || {
        let Connection {
            mut stream,
            mut reader,
        } = connection;
        let mut seen = Seen {
            shared: Arc::clone(&shared),
            next: vec![0; wakers.len()],
            delivery: Histogram::default(),
            repeated: 0,
            fresh: 0,
            acks: Vec::new(),
        };
        loop {
            let mut now = None;
            let open = reader.read(&mut |packet| {
                let now = *now.get_or_insert_with(|| shared.now());
                seen.packet(packet, now);
                Ok(())
            });
            shared.delivered.fetch_add(seen.fresh, Relaxed);
            seen.fresh = 0;
            if !is_open(open, &shared)? {
                return Ok((seen.delivery, seen.repeated));
            }
            for waker in &wakers {
                waker.wake();
            }
            if !seen.acks.is_empty() {
                // A broken stream is found by the next read.
                let _ = stream.write_all(&seen.acks);
                seen.acks.clear();
            }
        }
    })
}

/// Whether to go on reading. Before the end of a run a stream has no reason to end.
pub(crate) fn is_open(read: anyhow::Result<bool>, shared: &Shared) -> anyhow::Result<bool> {
    if shared.stop.load(Relaxed) {
        return Ok(read.unwrap_or(false));
    }
    anyhow::ensure!(read?, "the broker closed a connection");
    Ok(true)
}
