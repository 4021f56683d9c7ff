//! What comes from the other nodes.
//!
//! Owns the cursors of the streams to this node, and the order in which a joining node learns:
//! first the routes of every live node, then what is stored. It applies each event to the room it
//! is for, and never waits for the database in between.

mod apply;
mod learn;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use ibc::{
    Cursor, Events, Forward, FramePage, NodeId, ReceivedFrame, SharedEntry, StoreError,
    event::{Event, Sender},
};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::{
    cluster::MemberChange, handle::Rooms, router::TopicCache, shutdown::Shutdown, telemetry::chain,
};

/// The doorbell may be missed; then frames are this late.
const PATIENCE: Duration = Duration::from_secs(1);
/// Frames read at once, about a megabyte.
const FRAMES: usize = 128;
/// After fewer frames than this, if they were all, nothing is asked for: the doorbell rings after each
/// commit. After more there will be others already.
const BUSY: usize = 8;
/// Frames applied before others get their turn.
const TURN: usize = 8;
/// Topics of all publishers of the other nodes whose matches are kept.
const TOPICS: usize = 4096;
/// Consumed frames are deleted this often, and their sources told, which keep them until then.
const CLEAN: Duration = Duration::from_millis(200);
/// Or when there are so many, 8 MB of them.
const CLEAN_FRAMES: usize = 1000;

/// Frames that were lost in a crash of the database are written again within this time.
const GAP: Duration = Duration::from_secs(15);

/// While frames are missing, and somebody waits for them, they are looked for this often.
const AGAIN_SOON: Duration = Duration::from_millis(20);

/// The table of frames is vacuumed at most this often, and for a twentieth of the time.
const VACUUM: Duration = Duration::from_millis(200);

/// Reads what other nodes tell this one.
pub(crate) struct Feed {
    rooms: Arc<Rooms>,
    cursors: AHashMap<NodeId, i64>,
    /// Nodes whose routes have not come yet; until then no client is served.
    awaited: Option<AHashSet<NodeId>>,
    dead: AHashSet<NodeId>,
    /// Dead nodes of which everything has been read. What is there all the same was written again
    /// after a crash of the database.
    finished: AHashSet<NodeId>,
    topics: TopicCache,
    cleaned: Instant,
    /// Frames consumed and not deleted.
    consumed: usize,
    /// Sources that have not been told how far they are applied.
    unconfirmed: AHashSet<NodeId>,
    /// Where the next message comes from; in the same frame.
    sender: Option<Sender>,
    /// Since when frames are missing.
    gap_since: Option<Instant>,
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
            finished: AHashSet::new(),
            topics: TopicCache::with_capacity(TOPICS),
            cleaned: Instant::now(),
            consumed: 0,
            unconfirmed: AHashSet::new(),
            sender: None,
            gap_since: None,
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
        if let Some(forward) = forward.clone() {
            shutdown.spawn(vacuum(forward, shutdown.clone()));
        }
        let node = self.rooms.cluster.node;
        // Goes on when something else was first: to open its connection takes a while.
        let mut bell = pin!(ring(forward.as_deref(), node));
        loop {
            tokio::select! {
                biased;
                change = changes.recv() => match change {
                    Some(change) => self.member(change).await,
                    None => return,
                },
                () = shutdown.stopped() => return,
                () = self.rooms.cluster.hearing.wanted() => {}
                () = &mut bell => bell.set(ring(forward.as_deref(), node)),
            }
            if let Some(forward) = forward.as_deref() {
                self.read(forward).await;
                self.clean(forward).await;
                if self.gap_since.is_some() && self.rooms.cluster.hearing.is_behind() {
                    tokio::time::sleep(AGAIN_SOON).await;
                }
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

    /// Applies everything there is. While much is applied, the next page is on its way.
    async fn read(&mut self, forward: &dyn Forward) {
        let rooms = Arc::clone(&self.rooms);
        let (node, hearing) = (rooms.cluster.node, &rooms.cluster.hearing);
        let answer = |number: Option<u64>| number.into_iter().for_each(|it| hearing.answer(it));
        let mut asked = hearing.asked();
        let mut next = forward.read(node, &self.cursors(), FRAMES).await;
        loop {
            let FramePage { frames, is_cut } = match next {
                Ok(page) => page,
                Err(error) => {
                    warn!(error = %chain(&error), "frames not read, will repeat");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return;
                }
            };
            let page = self.whole(frames);
            let is_all = !is_cut && self.gap_since.is_none();
            let answered = is_all.then_some(asked);
            if page.is_empty() {
                answer(answered);
                return;
            }
            if is_all && page.len() < BUSY {
                self.page(page).await;
                answer(answered);
                return;
            }
            let ahead = self.cursors_after(&page);
            let consumed = self.start_clean();
            asked = hearing.asked();
            let (read, cleaned, ()) = tokio::join!(
                forward.read(node, &ahead, FRAMES),
                consume(forward, node, consumed.as_deref()),
                self.page(page),
            );
            self.end_clean(cleaned);
            answer(answered);
            next = read;
        }
    }

    async fn page(&mut self, page: Vec<ReceivedFrame>) {
        for (index, frame) in page.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            self.frame(frame);
        }
    }

    /// Leaves out what is behind a gap: a crash of the database has lost frames, and their source, when
    /// it has noticed, writes them again.
    fn whole(&mut self, page: Vec<ReceivedFrame>) -> Vec<ReceivedFrame> {
        let mut next: AHashMap<NodeId, i64> = AHashMap::new();
        let mut has_gap = false;
        let mut whole = Vec::with_capacity(page.len());
        for frame in page {
            let cursor = self.cursors.get(&frame.source).copied().unwrap_or(0);
            let next = next.entry(frame.source).or_insert(cursor + 1);
            if frame.sequence == *next {
                *next += 1;
            } else if frame.sequence > *next {
                // The last words of the dead are of no importance.
                if !self.dead.contains(&frame.source) {
                    has_gap = true;
                    if !self.gives_up(&frame, *next) {
                        continue;
                    }
                }
                *next = frame.sequence + 1;
            }
            whole.push(frame);
        }
        if !has_gap {
            self.gap_since = None;
        }
        whole
    }

    /// Whether frames are not waited for any longer.
    fn gives_up(&mut self, frame: &ReceivedFrame, expected: i64) -> bool {
        let node_id = frame.source;
        let since = *self.gap_since.get_or_insert_with(|| {
            warn!(%node_id, sequence = frame.sequence, expected, "frames are missing, waiting for them");
            Instant::now()
        });
        let gives_up = since.elapsed() > GAP;
        if gives_up {
            error!(%node_id, sequence = frame.sequence, expected, "frames are missing, learning anew");
            self.must_learn = true;
            self.rooms.cluster.outgoing.send(node_id, &Event::Hello);
        }
        gives_up
    }

    fn frame(&mut self, frame: ReceivedFrame) {
        let cursor = self.cursors.entry(frame.source).or_insert(0);
        if frame.sequence <= *cursor {
            return;
        }
        *cursor = frame.sequence;
        self.consumed += 1;
        if self.finished.contains(&frame.source) {
            return;
        }
        self.rooms.metrics.frames_received.inc();
        for event in Events::new(frame.body) {
            match event {
                Ok(event) => {
                    // An answer to answers would never end.
                    if !matches!(event, Event::Applied(_)) {
                        self.unconfirmed.insert(frame.source);
                    }
                    self.apply(frame.source, event);
                }
                Err(error) => {
                    error!(node_id = %frame.source, error = %chain(&error), "unreadable frame");
                }
            }
        }
    }

    fn cursors(&self) -> Vec<Cursor> {
        cursors(&self.cursors)
    }

    /// The cursors as they are when `page` has been applied.
    fn cursors_after(&self, page: &[ReceivedFrame]) -> Vec<Cursor> {
        let mut after = self.cursors.clone();
        for frame in page {
            let cursor = after.entry(frame.source).or_insert(0);
            *cursor = frame.sequence.max(*cursor);
        }
        cursors(&after)
    }

    /// Up to where consumed frames are to be deleted now, if it is time; in bulk.
    fn start_clean(&mut self) -> Option<Vec<Cursor>> {
        let is_due = self.consumed >= CLEAN_FRAMES || self.cleaned.elapsed() >= CLEAN;
        if self.consumed == 0 || !is_due {
            return None;
        }
        self.cleaned = Instant::now();
        self.consumed = 0;
        for source in self.unconfirmed.drain() {
            if let Some(sequence) = self.cursors.get(&source) {
                let event = Event::Applied(*sequence);
                self.rooms.cluster.outgoing.send(source, &event);
            }
        }
        Some(self.cursors())
    }

    fn end_clean(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.consumed = self.consumed.max(1);
            warn!(error = %chain(&error), "consumed frames not deleted, will repeat");
        }
    }

    /// Deletes consumed frames, when everything there was has been read. Nothing more comes from
    /// a dead node then.
    async fn clean(&mut self, forward: &dyn Forward) {
        let Some(read) = self.start_clean() else {
            return;
        };
        let result = consume(forward, self.rooms.cluster.node, Some(&read)).await;
        if result.is_ok() {
            let finished = self
                .cursors
                .extract_if(|source, _| self.dead.contains(source));
            self.finished.extend(finished.map(|(source, _)| source));
        }
        self.end_clean(result);
    }
}

fn cursors(sequences: &AHashMap<NodeId, i64>) -> Vec<Cursor> {
    let cursor = |(source, sequence): (&NodeId, &i64)| Cursor {
        source: *source,
        sequence: *sequence,
    };
    sequences.iter().map(cursor).collect()
}

async fn consume(
    forward: &dyn Forward,
    node: NodeId,
    cursors: Option<&[Cursor]>,
) -> Result<(), StoreError> {
    match cursors {
        Some(cursors) => forward.consumed(node, cursors).await,
        None => Ok(()),
    }
}

/// Keeps the table of frames small until `shutdown` stops.
async fn vacuum(forward: Arc<dyn Forward>, shutdown: Shutdown) {
    let mut pause = VACUUM;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.stopped() => return,
        }
        let started = Instant::now();
        if let Err(error) = forward.vacuum().await {
            warn!(error = %chain(&error), "frames not vacuumed, will repeat");
        }
        pause = VACUUM.max(started.elapsed() * 20);
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
