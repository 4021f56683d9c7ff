//! What flows through this node, counted by every thread for itself.
//!
//! A counter that all threads add to moves from core to core with every message. So each thread has its
//! own, and they are added up when somebody asks.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use mqtt::Qos;

/// What is counted for each packet, or for each call of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// PUBLISH packets received, by QoS.
    PublishReceived(Qos),
    /// PUBLISH packets sent, by QoS.
    PublishSent(Qos),
    /// Packets received without PUBLISH.
    OthersReceived,
    /// Packets sent without PUBLISH.
    OthersSent,
    /// Bytes of payloads received.
    PayloadReceived,
    /// Bytes of payloads sent.
    PayloadSent,
    /// Bytes received.
    BytesReceived,
    /// Bytes sent.
    BytesSent,
}

const FLOWS: usize = 12;
/// Threads that have counters of their own; beyond it some share them.
const SHARDS: usize = 64;

impl Flow {
    pub(super) const ALL: [Self; FLOWS] = [
        Self::PublishReceived(Qos::AtMostOnce),
        Self::PublishReceived(Qos::AtLeastOnce),
        Self::PublishReceived(Qos::ExactlyOnce),
        Self::PublishSent(Qos::AtMostOnce),
        Self::PublishSent(Qos::AtLeastOnce),
        Self::PublishSent(Qos::ExactlyOnce),
        Self::OthersReceived,
        Self::OthersSent,
        Self::PayloadReceived,
        Self::PayloadSent,
        Self::BytesReceived,
        Self::BytesSent,
    ];

    /// Its place in [`Flow::ALL`].
    const fn index(self) -> usize {
        match self {
            Self::PublishReceived(qos) => qos.as_u8() as usize,
            Self::PublishSent(qos) => 3 + qos.as_u8() as usize,
            Self::OthersReceived => 6,
            Self::OthersSent => 7,
            Self::PayloadReceived => 8,
            Self::PayloadSent => 9,
            Self::BytesReceived => 10,
            Self::BytesSent => 11,
        }
    }
}

/// What one connection has counted since its last [`Flows::add_all`].
#[derive(Debug, Default)]
pub(crate) struct Tally([u32; FLOWS]);

impl Tally {
    /// Counts one packet.
    pub(crate) fn count(&mut self, flow: Flow) {
        self.add(flow, 1);
    }

    /// Counts `amount`; beyond four billion between two [`Flows::add_all`] it stops.
    pub(crate) fn add(&mut self, flow: Flow, amount: usize) {
        if let Some(count) = self.0.get_mut(flow.index()) {
            *count = count.saturating_add(u32::try_from(amount).unwrap_or(u32::MAX));
        }
    }
}

/// On cache lines of its own; processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([AtomicU64; FLOWS]);

/// The counters of all threads.
#[derive(Debug)]
pub(crate) struct Flows(Box<[Shard]>);

impl Default for Flows {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of this thread, in the order in which threads first counted something.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SHARD.get().unwrap_or_else(|| {
        let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SHARD.set(Some(shard));
        shard
    })
}

impl Flows {
    pub(crate) fn add(&self, flow: Flow, amount: usize) {
        let shard = self.0.get(shard());
        if let Some(count) = shard.and_then(|shard| shard.0.get(flow.index())) {
            count.fetch_add(u64::try_from(amount).unwrap_or(0), Ordering::Relaxed);
        }
    }

    pub(crate) fn count(&self, flow: Flow) {
        self.add(flow, 1);
    }

    /// Takes over what a connection has counted.
    pub(crate) fn add_all(&self, tally: &mut Tally) {
        let Some(shard) = self.0.get(shard()) else {
            return;
        };
        for (count, total) in tally.0.iter_mut().zip(&shard.0) {
            if *count > 0 {
                total.fetch_add(u64::from(*count), Ordering::Relaxed);
                *count = 0;
            }
        }
    }

    /// All that was counted so far.
    pub(crate) fn total(&self, flow: Flow) -> u64 {
        let counts = self.0.iter().filter_map(|shard| shard.0.get(flow.index()));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_a_place_of_its_own() {
        for (place, flow) in Flow::ALL.into_iter().enumerate() {
            assert_eq!(flow.index(), place, "{flow:?}");
        }
    }

    #[test]
    fn the_counts_of_all_threads_are_added_up() {
        let flows = Flows::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    tally.count(Flow::OthersSent);
                    tally.add(Flow::BytesSent, 5);
                    flows.add_all(&mut tally);
                    flows.add_all(&mut tally);
                    flows.count(Flow::OthersSent);
                });
            }
        });
        assert_eq!(flows.total(Flow::OthersSent), 4 * SHARDS as u64);
        assert_eq!(flows.total(Flow::BytesSent), 10 * SHARDS as u64);
        assert_eq!(flows.total(Flow::BytesReceived), 0);
    }
}
