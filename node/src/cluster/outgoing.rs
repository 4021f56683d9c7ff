//! What other nodes must be told, packed into frames per commit.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use ahash::{AHashMap, AHashSet};
use ibc::{
    Frame, MessageRecord, NodeId,
    event::{Event, Sender},
};
use mqtt::Qos;
use tokio::sync::{Notify, watch};

use super::{
    Ticket,
    stream::{Stream, Worth},
};

/// Publishers wait, and QoS 0 is dropped, when this much has piled up.
const FULL_BYTES: usize = 32 << 20;

/// Publishers wait too when other nodes have not confirmed this much.
const FULL_KEPT_BYTES: usize = 64 << 20;

/// Events on their way to other nodes, one stream for each.
pub(crate) struct Outgoing {
    state: Mutex<State>,
    /// What is in the streams and not in the database; changed under the lock only.
    bytes: AtomicUsize,
    /// What other nodes have not confirmed; changed under the lock only.
    kept_bytes: AtomicUsize,
    pub(super) work: Notify,
    confirmations: watch::Sender<u64>,
}

struct State {
    peers: AHashMap<NodeId, Stream>,
    /// Nodes that were peers and are dead: what is heard of them late must not revive them.
    gone: AHashSet<NodeId>,
    /// The batch that is being filled.
    number: u64,
    /// Somebody may wait for it, even if the peers that it was for are gone.
    is_awaited: bool,
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
            is_awaited: false,
        };
        Self {
            state: Mutex::new(state),
            bytes: AtomicUsize::new(0),
            kept_bytes: AtomicUsize::new(0),
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
        let (worth, event) = (Worth::of(event), event.encoded());
        self.add(peers, |peer, number| peer.add_event(number, worth, &event))
    }

    /// Adds the message to the streams to `peers`, as [`Event::Message`], with its sender in front of
    /// it if it must not be delivered twice.
    pub(crate) fn forward(
        &self,
        peers: &[NodeId],
        record: &MessageRecord,
        sender: Option<Sender>,
    ) -> Ticket {
        let sender = sender.map(|sender| Event::Sender(sender).encoded());
        let sender = sender.as_deref().unwrap_or_default();
        let most = sender.len() + record.size_hint();
        let worth = match record.message.qos {
            Qos::AtMostOnce => Worth::AtMostOnce,
            Qos::AtLeastOnce | Qos::ExactlyOnce => Worth::AtLeastOnce,
        };
        self.add(peers, |peer, number| {
            peer.add(number, worth, most, |frame| {
                frame.put(sender);
                frame.put_message(record);
            })
        })
    }

    /// Calls `add` for each of `peers`, with the number of the batch.
    fn add(&self, peers: &[NodeId], add: impl Fn(&mut Stream, u64) -> usize) -> Ticket {
        let mut state = self.lock();
        let number = state.number;
        let mut added = 0;
        for node in peers {
            if let Some(peer) = state.peers.get_mut(node) {
                added += add(peer, number);
            }
        }
        self.added(state, added);
        if added == 0 {
            return Ticket::default();
        }
        Ticket {
            durable: 0,
            forwarded: number,
        }
    }

    /// Unlocks, and wakes the writer if it had nothing to do.
    fn added(&self, mut state: MutexGuard<'_, State>, bytes: usize) {
        state.is_awaited |= bytes > 0;
        let before = self.bytes.load(Ordering::Relaxed);
        self.bytes.store(before + bytes, Ordering::Relaxed);
        drop(state);
        if before == 0 && bytes > 0 {
            self.work.notify_one();
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
        state.peers.insert(node, Stream::default());
        true
    }

    /// Forgets a dead peer, for ever.
    pub(crate) fn remove_peer(&self, node: NodeId) {
        let mut state = self.lock();
        if let Some(peer) = state.peers.remove(&node) {
            self.bytes.fetch_sub(peer.bytes(), Ordering::Relaxed);
        }
        self.weigh(&state);
        state.gone.insert(node);
        drop(state);
        self.work.notify_one();
        self.confirmations.send_modify(|count| *count += 1);
    }

    pub(crate) fn peers(&self) -> Vec<NodeId> {
        self.lock().peers.keys().copied().collect()
    }

    /// Asks every peer to confirm what was sent so far.
    pub(crate) fn barrier(&self) -> Barrier {
        let mut state = self.lock();
        let number = state.number;
        let mut added = 0;
        let mut wanted = Vec::with_capacity(state.peers.len());
        for (node, peer) in &mut state.peers {
            // One question answers everybody who asked since the last event.
            if !peer.is_synced {
                peer.sync_sent += 1;
                let asked = peer.sync_sent;
                let event = Event::Sync(asked);
                added += peer.add_event(number, Worth::of(&event), &event.encoded());
                peer.is_synced = true;
            }
            wanted.push((*node, peer.sync_sent));
        }
        self.added(state, added);
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
                let event = Event::Sync(asked);
                added += peer.add_event(number, Worth::of(&event), &event.encoded());
            }
        }
        self.added(state, added);
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

    /// Takes from `node` that it has applied all frames up to `sequence`.
    pub(crate) fn applied(&self, node: NodeId, sequence: i64) {
        let mut state = self.lock();
        if let Some(peer) = state.peers.get_mut(&node) {
            peer.applied(sequence);
        }
        self.weigh(&state);
    }

    /// Called with the lock held when what is kept has changed.
    fn weigh(&self, state: &State) {
        let kept = state.peers.values().map(Stream::kept_bytes).sum();
        self.kept_bytes.store(kept, Ordering::Relaxed);
    }

    /// Whether QoS 0 should be dropped and others should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= FULL_BYTES
            || self.kept_bytes.load(Ordering::Relaxed) >= FULL_KEPT_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) == 0
    }

    /// The frames of the next commit, and the last batch that is complete with it.
    pub(super) fn cut(&self) -> Option<(u64, Vec<Frame>)> {
        let mut state = self.lock();
        if self.is_empty() && !state.is_awaited {
            return None;
        }
        let mut number = state.number;
        state.number += 1;
        state.is_awaited = false;
        let mut frames = Vec::new();
        let mut taken = 0;
        for (node, peer) in &mut state.peers {
            for (sequence, body) in peer.take() {
                taken += body.len();
                let destination = *node;
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
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
        self.weigh(&state);
        Some((number, frames))
    }

    /// All frames given to the database that have not been confirmed.
    pub(super) fn again(&self) -> Vec<Frame> {
        let state = self.lock();
        let mut frames = Vec::new();
        for (node, peer) in &state.peers {
            for (sequence, body) in peer.again() {
                let destination = *node;
                frames.push(Frame {
                    destination,
                    sequence,
                    body,
                });
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::{super::stream::COMMIT_BYTES, *};

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn outgoing() -> Outgoing {
        let outgoing = Outgoing::new();
        outgoing.add_peer(A);
        outgoing.add_peer(B);
        outgoing
    }

    fn message(bytes: usize) -> Event {
        Event::Direct {
            session: ibc::SessionId(1),
            options: Bytes::new(),
            record: Bytes::from(vec![0; bytes]),
        }
    }

    fn sequences(frames: &[Frame], node: NodeId) -> Vec<i64> {
        let of_node = frames.iter().filter(|frame| frame.destination == node);
        of_node.map(|frame| frame.sequence).collect()
    }

    /// A ticket is reached only with the commit that holds the last of its events.
    #[test]
    fn a_backlog_goes_in_several_commits_and_tickets_wait_for_theirs() {
        let outgoing = outgoing();
        let early = outgoing.send_to(&[A], &message(10)).forwarded;
        for _ in 0..8 {
            outgoing.send_to(&[A], &message(COMMIT_BYTES / 4));
        }
        let (first, frames) = outgoing.cut().unwrap();
        assert_eq!(sequences(&frames, A), [1, 2, 3, 4, 5]);
        assert!(first < early, "the batch is not complete");
        let late = outgoing.send_to(&[A, B], &message(10)).forwarded;
        let (second, frames) = outgoing.cut().unwrap();
        assert_eq!(sequences(&frames, A), [6, 7, 8, 9]);
        assert_eq!(sequences(&frames, B), [1]);
        assert!(second >= early && second < late);
        let (third, _) = outgoing.cut().unwrap();
        assert!(third >= late);
        assert!(outgoing.cut().is_none());
    }

    /// Small events never keep a large one in memory, and fit into a page.
    #[test]
    fn a_frame_of_several_events_is_small() {
        let outgoing = outgoing();
        for bytes in [10, 100_000, 10, 3000, 3000, 3000] {
            outgoing.send_to(&[A], &message(bytes));
        }
        let (_, frames) = outgoing.cut().unwrap();
        let sizes: Vec<_> = frames.iter().map(|frame| frame.body.len()).collect();
        assert!(
            matches!(sizes.as_slice(), [small, large, two, one]
                if *small < 100 && *large > 100_000 && *two <= Frame::MOST_BYTES && one < two),
            "{sizes:?}"
        );
    }

    #[test]
    fn a_dead_peer_takes_its_backlog_with_it_and_does_not_come_back() {
        let outgoing = outgoing();
        let ticket = outgoing.send_to(&[A], &message(200_000));
        outgoing.remove_peer(A);
        let (number, frames) = outgoing.cut().unwrap();
        assert!(number >= ticket.forwarded, "nobody waits for the dead");
        assert!(frames.is_empty());
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
