//! What other nodes must be told, packed into frames per commit.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ahash::{AHashMap, AHashSet};
use bytes::BytesMut;
use ibc::{Frame, NodeId, StoreError, event::Event};
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::{Cluster, Ticket};
use crate::{shutdown::Shutdown, telemetry::chain};

/// Publishers wait, and QoS 0 is dropped, when this much has piled up.
const FULL_BYTES: usize = 32 << 20;

/// A frame is closed at this size, well below [`Frame::TARGET_BYTES`], and so many go to each peer
/// in one commit: a receiver reads the first while the next are being written.
const FRAME_BYTES: usize = 64 * 1024;
const FRAMES_PER_COMMIT: usize = 4;

/// Events on their way to other nodes, one stream for each.
pub(crate) struct Outgoing {
    state: Mutex<State>,
    work: Notify,
    confirmations: watch::Sender<u64>,
}

struct State {
    peers: AHashMap<NodeId, Peer>,
    /// Nodes that were peers and are dead: what is heard of them late must not revive them.
    gone: AHashSet<NodeId>,
    /// The batch that is being filled.
    number: u64,
    bytes: usize,
}

#[derive(Default)]
struct Peer {
    closed: VecDeque<Body>,
    open: Body,
    /// The last frame given to the database.
    sequence: i64,
    sync_sent: u64,
    /// Nothing was added after the last [`Event::Sync`].
    is_synced: bool,
    sync_confirmed: u64,
}

/// The events of a frame.
#[derive(Default)]
struct Body {
    /// The batch in which the first of them came up.
    first: u64,
    bytes: BytesMut,
}

impl Peer {
    fn add(&mut self, event: &Event, number: u64) -> usize {
        let before = self.open.bytes.len();
        if before == 0 {
            self.open.first = number;
        }
        event.encode(&mut self.open.bytes);
        self.is_synced = false;
        let added = self.open.bytes.len() - before;
        if self.open.bytes.len() >= FRAME_BYTES {
            self.closed.push_back(std::mem::take(&mut self.open));
        }
        added
    }

    /// What goes into the next commit.
    fn take(&mut self) -> Vec<BytesMut> {
        let count = self.closed.len().min(FRAMES_PER_COMMIT);
        let mut bodies: Vec<_> = self.closed.drain(..count).map(|body| body.bytes).collect();
        if count < FRAMES_PER_COMMIT && !self.open.bytes.is_empty() {
            bodies.push(std::mem::take(&mut self.open).bytes);
        }
        bodies
    }

    fn bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|body| body.bytes.len()).sum();
        closed + self.open.bytes.len()
    }

    /// The batch of the oldest event that is left.
    fn first(&self) -> Option<u64> {
        let open = (!self.open.bytes.is_empty()).then_some(self.open.first);
        self.closed.front().map(|body| body.first).or(open)
    }
}

/// What each peer must have confirmed.
#[derive(Debug)]
pub(crate) struct Barrier(Vec<(NodeId, u64)>);

impl Outgoing {
    pub(super) fn new() -> Self {
        let state = State {
            peers: AHashMap::new(),
            gone: AHashSet::new(),
            number: 1,
            bytes: 0,
        };
        Self {
            state: Mutex::new(state),
            work: Notify::new(),
            confirmations: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `event` to the streams to `peers`; those that are no peers are left out. The ticket
    /// is reached when the frames are committed.
    pub(crate) fn send_to(&self, peers: &[NodeId], event: &Event) -> Ticket {
        let mut state = self.lock();
        let (was_empty, number) = (state.bytes == 0, state.number);
        let mut added = 0;
        for node in peers {
            if let Some(peer) = state.peers.get_mut(node) {
                added += peer.add(event, number);
            }
        }
        state.bytes += added;
        drop(state);
        if added == 0 {
            return Ticket::default();
        }
        if was_empty {
            self.work.notify_one();
        }
        Ticket {
            durable: 0,
            forwarded: number,
        }
    }

    /// Adds `event` to the stream to `node`. Returns false if that is no peer.
    pub(crate) fn send(&self, node: NodeId, event: &Event) -> bool {
        self.send_to(&[node], event) != Ticket::default()
    }

    /// Adds `event` to the streams to all peers.
    pub(crate) fn broadcast(&self, event: &Event) -> Ticket {
        let peers: Vec<NodeId> = self.lock().peers.keys().copied().collect();
        self.send_to(&peers, event)
    }

    /// Makes `node` a peer. Returns false if it was one, or is dead.
    pub(crate) fn add_peer(&self, node: NodeId) -> bool {
        let mut state = self.lock();
        if state.gone.contains(&node) || state.peers.contains_key(&node) {
            return false;
        }
        state.peers.insert(node, Peer::default());
        true
    }

    /// Forgets a dead peer, for ever.
    pub(crate) fn remove_peer(&self, node: NodeId) {
        let mut state = self.lock();
        if let Some(peer) = state.peers.remove(&node) {
            state.bytes -= peer.bytes();
        }
        state.gone.insert(node);
        drop(state);
        self.confirmations.send_modify(|count| *count += 1);
    }

    pub(crate) fn peers(&self) -> Vec<NodeId> {
        self.lock().peers.keys().copied().collect()
    }

    /// Asks every peer to confirm what was sent so far.
    pub(crate) fn barrier(&self) -> Barrier {
        let mut state = self.lock();
        let (was_empty, number) = (state.bytes == 0, state.number);
        let mut added = 0;
        let mut wanted = Vec::with_capacity(state.peers.len());
        for (node, peer) in &mut state.peers {
            // One question answers everybody who asked since the last event.
            if !peer.is_synced {
                peer.sync_sent += 1;
                let asked = peer.sync_sent;
                added += peer.add(&Event::Sync(asked), number);
                peer.is_synced = true;
            }
            wanted.push((*node, peer.sync_sent));
        }
        state.bytes += added;
        drop(state);
        if was_empty && added > 0 {
            self.work.notify_one();
        }
        Barrier(wanted)
    }

    /// Asks once more, in case the first question was lost.
    pub(super) fn ask_again(&self, peers: &[NodeId]) {
        let mut state = self.lock();
        let number = state.number;
        let mut added = 0;
        for node in peers {
            if let Some(peer) = state.peers.get_mut(node) {
                peer.sync_sent += 1;
                let asked = peer.sync_sent;
                added += peer.add(&Event::Sync(asked), number);
            }
        }
        state.bytes += added;
        drop(state);
        self.work.notify_one();
    }

    /// The peers that have not passed `barrier`.
    pub(super) fn missing(&self, barrier: &Barrier) -> Vec<NodeId> {
        let state = self.lock();
        let is_missing = |(node, number): &&(NodeId, u64)| {
            state
                .peers
                .get(node)
                .is_some_and(|peer| peer.sync_confirmed < *number)
        };
        barrier
            .0
            .iter()
            .filter(is_missing)
            .map(|(node, _)| *node)
            .collect()
    }

    /// Takes the answer of `node` to [`Event::Sync`].
    pub(crate) fn confirm(&self, node: NodeId, number: u64) {
        if let Some(peer) = self.lock().peers.get_mut(&node) {
            peer.sync_confirmed = peer.sync_confirmed.max(number);
        }
        self.confirmations.send_modify(|count| *count += 1);
    }

    pub(super) fn confirmations(&self) -> watch::Receiver<u64> {
        self.confirmations.subscribe()
    }

    /// Whether QoS 0 should be dropped and others should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().bytes >= FULL_BYTES
    }

    /// The frames of the next commit, and the last batch that is complete with it.
    fn cut(&self) -> Option<(u64, Vec<Frame>)> {
        let mut state = self.lock();
        if state.bytes == 0 {
            return None;
        }
        let mut number = state.number;
        state.number += 1;
        let mut frames = Vec::new();
        let mut taken = 0;
        for (node, peer) in &mut state.peers {
            for body in peer.take() {
                taken += body.len();
                peer.sequence += 1;
                let (destination, sequence) = (*node, peer.sequence);
                let body = body.freeze();
                frames.push(Frame {
                    destination,
                    sequence,
                    body,
                });
            }
            // What is added now must ask again: this batch may be read before it.
            peer.is_synced = false;
            if let Some(first) = peer.first() {
                number = number.min(first - 1);
            }
        }
        state.bytes -= taken;
        Some((number, frames))
    }
}

/// Commits frames until `shutdown` stops and nothing is left.
pub(super) async fn run(cluster: Arc<Cluster>, shutdown: Shutdown) {
    let outgoing = &cluster.outgoing;
    let Some(forward) = cluster.databases.forward.clone() else {
        return;
    };
    loop {
        let Some((number, frames)) = outgoing.cut() else {
            tokio::select! {
                () = outgoing.work.notified() => continue,
                () = shutdown.stopped() => {}
            }
            if outgoing.lock().bytes == 0 {
                return;
            }
            continue;
        };
        let mut pause = Duration::from_millis(20);
        loop {
            match forward.append(cluster.node, &frames).await {
                Ok(()) => break,
                Err(StoreError::Fenced) => {
                    shutdown.fail(super::membership::FENCED.to_owned());
                    return;
                }
                Err(error) => {
                    warn!(error = %chain(&error), "frames not forwarded, will repeat");
                    cluster.metrics.commit_retries.inc();
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        cluster
            .metrics
            .frames_sent
            .inc_by(u64::try_from(frames.len()).unwrap_or(0));
        cluster.progress.set_forwarded(number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn outgoing() -> Outgoing {
        let outgoing = Outgoing::new();
        outgoing.add_peer(A);
        outgoing.add_peer(B);
        outgoing
    }

    fn message(bytes: usize) -> Event {
        Event::Message(Bytes::from(vec![0; bytes]))
    }

    /// A ticket is reached only with the commit that holds the last of its events.
    #[test]
    fn a_backlog_goes_in_several_commits_and_tickets_wait_for_theirs() {
        let outgoing = outgoing();
        let early = outgoing.send_to(&[A], &message(10)).forwarded;
        for _ in 0..2 * FRAMES_PER_COMMIT {
            outgoing.send_to(&[A], &message(FRAME_BYTES));
        }
        let (first, frames) = outgoing.cut().unwrap();
        assert_eq!(frames.len(), FRAMES_PER_COMMIT);
        assert!(first < early, "the batch is not complete");
        let late = outgoing.send_to(&[A, B], &message(10)).forwarded;
        let (second, frames) = outgoing.cut().unwrap();
        let sequences: Vec<_> = frames
            .iter()
            .filter(|f| f.destination == A)
            .map(|f| f.sequence)
            .collect();
        assert_eq!(sequences, [5, 6, 7, 8]);
        assert!(
            frames
                .iter()
                .any(|frame| frame.destination == B && frame.sequence == 1)
        );
        assert!(second >= early && second < late);
        let (third, _) = outgoing.cut().unwrap();
        assert!(third >= late);
        assert!(outgoing.cut().is_none());
    }

    #[test]
    fn a_dead_peer_takes_its_backlog_with_it_and_does_not_come_back() {
        let outgoing = outgoing();
        outgoing.send_to(&[A], &message(FRAME_BYTES * 3));
        outgoing.remove_peer(A);
        assert!(outgoing.cut().is_none());
        assert!(!outgoing.add_peer(A));
        assert_eq!(
            outgoing.broadcast(&message(1)).forwarded,
            outgoing.lock().number
        );
        assert_eq!(outgoing.cut().unwrap().1.len(), 1);
    }

    #[test]
    fn a_barrier_waits_for_live_peers_and_one_question_serves_many() {
        let outgoing = outgoing();
        let first = outgoing.barrier();
        let second = outgoing.barrier();
        assert_eq!(outgoing.missing(&first).len(), 2);
        outgoing.cut().unwrap();
        outgoing.confirm(A, 1);
        assert_eq!(outgoing.missing(&second), [B]);
        outgoing.remove_peer(B);
        assert!(outgoing.missing(&second).is_empty());
        assert_eq!(
            outgoing.missing(&outgoing.barrier()),
            [A],
            "asks anew after the cut"
        );
    }
}
