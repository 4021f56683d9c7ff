//! What comes from the other nodes.
//!
//! Owns the cursors of the streams to this node, and the order in which a joining node learns:
//! first the routes of every live node, then what is stored. It applies each event to the room it
//! is for, and never waits for the database in between.

mod apply;
mod learn;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use ibc::{
    Cursor, Forward, NodeId, ReceivedFrame, SharedEntry,
    event::{Event, Events},
};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::{
    cluster::MemberChange, handle::Rooms, router::TopicCache, shutdown::Shutdown, telemetry::chain,
};

/// The doorbell may be missed; then frames are this late.
const PATIENCE: Duration = Duration::from_secs(1);
/// Frames read at once.
const FRAMES: usize = 64;
/// Topics of all publishers of the other nodes whose matches are kept.
const TOPICS: usize = 4096;
/// Consumed frames are deleted this often.
const CLEAN: Duration = Duration::from_millis(200);

/// Reads what other nodes tell this one.
pub(crate) struct Feed {
    rooms: Arc<Rooms>,
    cursors: AHashMap<NodeId, i64>,
    /// Nodes whose routes have not come yet; until then no client is served.
    awaited: Option<AHashSet<NodeId>>,
    dead: AHashSet<NodeId>,
    topics: TopicCache,
    cleaned: Instant,
    is_dirty: bool,
    is_learned: bool,
    /// What is to be given to others once the routes are known.
    orphans: Vec<SharedEntry>,
    /// Frames were lost, in a crash of the database: what they said must be learnt anew.
    must_learn: bool,
    /// A node died since the retained messages were compared with the database.
    must_catch_up: bool,
}

impl Feed {
    pub(crate) fn new(rooms: Arc<Rooms>) -> Self {
        Self {
            rooms,
            cursors: AHashMap::new(),
            awaited: None,
            dead: AHashSet::new(),
            topics: TopicCache::with_capacity(TOPICS),
            cleaned: Instant::now(),
            is_dirty: false,
            is_learned: false,
            orphans: Vec::new(),
            must_learn: false,
            must_catch_up: false,
        }
    }

    /// Reads and applies until `shutdown` stops.
    pub(crate) async fn run(
        mut self,
        mut changes: mpsc::Receiver<MemberChange>,
        shutdown: Shutdown,
    ) {
        let forward = self.rooms.cluster.databases.forward.clone();
        loop {
            tokio::select! {
                biased;
                change = changes.recv() => match change {
                    Some(change) => self.member(change).await,
                    None => return,
                },
                () = shutdown.stopped() => return,
                () = ring(forward.as_deref(), self.rooms.cluster.node) => {}
            }
            if let Some(forward) = forward.as_deref() {
                self.read(forward).await;
                self.clean(forward).await;
            }
            if self.must_learn && self.awaited.is_none() {
                self.learn_anew().await;
            }
            if self.must_catch_up && self.awaited.is_none() {
                self.catch_up().await;
            }
            if self
                .awaited
                .as_ref()
                .is_some_and(|awaited| awaited.is_empty())
            {
                self.learn_stored(&shutdown).await;
            }
        }
    }

    async fn read(&mut self, forward: &dyn Forward) {
        loop {
            let cursors = self.cursors();
            let frames = match forward
                .read(self.rooms.cluster.node, &cursors, FRAMES)
                .await
            {
                Ok(frames) => frames,
                Err(error) => {
                    warn!(error = %chain(&error), "frames not read, will repeat");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return;
                }
            };
            if frames.is_empty() {
                return;
            }
            for frame in frames {
                self.frame(frame);
            }
            self.clean(forward).await;
        }
    }

    fn frame(&mut self, frame: ReceivedFrame) {
        let cursor = self.cursors.entry(frame.source).or_insert(0);
        if frame.sequence <= *cursor {
            return;
        }
        if frame.sequence != *cursor + 1 {
            error!(node_id = %frame.source, sequence = frame.sequence, expected = *cursor + 1, "frames are missing, learning anew");
            self.must_learn = true;
            self.rooms
                .cluster
                .outgoing
                .send(frame.source, &Event::Hello);
        }
        *cursor = frame.sequence;
        self.is_dirty = true;
        self.rooms.metrics.frames_received.inc();
        for event in Events::new(frame.body) {
            match event {
                Ok(event) => self.apply(frame.source, event),
                Err(error) => {
                    error!(node_id = %frame.source, error = %chain(&error), "unreadable frame");
                }
            }
        }
    }

    fn cursors(&self) -> Vec<Cursor> {
        self.cursors
            .iter()
            .map(|(source, sequence)| Cursor {
                source: *source,
                sequence: *sequence,
            })
            .collect()
    }

    /// Deletes consumed frames in bulk.
    async fn clean(&mut self, forward: &dyn Forward) {
        if !self.is_dirty || self.cleaned.elapsed() < CLEAN {
            return;
        }
        self.cleaned = Instant::now();
        self.is_dirty = false;
        let cursors = self.cursors();
        match forward.consumed(self.rooms.cluster.node, &cursors).await {
            Ok(()) => self.forget_dead(&cursors),
            Err(error) => {
                self.is_dirty = true;
                warn!(error = %chain(&error), "consumed frames not deleted, will repeat");
            }
        }
    }
}

impl Feed {
    /// Nothing more comes from a dead node whose frames were all read.
    fn forget_dead(&mut self, read: &[Cursor]) {
        for cursor in read {
            if self.dead.contains(&cursor.source) {
                self.cursors.remove(&cursor.source);
            }
        }
    }
}

/// Returns when the doorbell rings, or after a while without.
async fn ring(forward: Option<&dyn Forward>, node: NodeId) {
    let Some(forward) = forward else {
        return std::future::pending().await;
    };
    if let Err(error) = forward.wait(node, PATIENCE).await {
        warn!(error = %chain(&error), "doorbell is broken, frames are polled");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
