//! How a joining node learns what there is, and what it catches up on when another one died.

use std::{sync::Arc, time::Duration};

use ahash::AHashSet;
use ibc::{EntryId, NodeState, RetainedMessage, SessionId, StoreError, event::Event};
use tracing::{info, warn};

use super::Feed;
use crate::{
    cluster::{MemberChange, PAGE, Stake},
    delivery::Publication,
    handle::Rooms,
    shutdown::{Failure, Shutdown},
    telemetry::chain,
};

/// A dead node may have set retained messages and told nobody; none longer ago than this.
const CATCH_UP: Duration = Duration::from_secs(600);

/// Pause before the database is asked again.
const REPEAT: Duration = Duration::from_millis(200);

impl Feed {
    pub(super) async fn member(&mut self, change: MemberChange) {
        match change {
            MemberChange::Found(nodes) => {
                for node in &nodes {
                    self.rooms.cluster.outgoing.send(*node, &Event::Hello);
                }
                let alive = nodes.into_iter().filter(|node| !self.dead.contains(node));
                self.awaited = Some(alive.collect::<AHashSet<_>>());
            }
            MemberChange::Gone(buried) => {
                self.gone(buried.node);
                self.orphans.extend(buried.shared);
                if self.is_learned {
                    self.rooms.router.inherit(std::mem::take(&mut self.orphans));
                }
            }
        }
    }

    /// Every live node has told its routes: now what is stored, which includes every change they
    /// made before. Then this node takes clients.
    pub(super) async fn learn_stored(&mut self, shutdown: &Shutdown) {
        let loaded = async {
            let sessions = self.load_sessions().await?;
            let retained = self.load_retained().await?;
            Ok::<_, StoreError>((sessions, retained))
        };
        match loaded.await {
            Ok((sessions, retained)) => {
                self.awaited = None;
                self.is_learned = true;
                self.must_catch_up = false;
                self.rooms.cluster.set_caught_up(true);
                self.rooms.router.inherit(std::mem::take(&mut self.orphans));
                self.rooms.cluster.set_state(NodeState::Live);
                shutdown.spawn(adopt(Arc::clone(&self.rooms)));
                info!(node_id = %self.rooms.cluster.node, sessions, retained, "node is ready");
            }
            Err(error) if error.is_transient() => {
                warn!(error = %chain(&error), "stored state not loaded, will repeat");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => shutdown.fail(Failure::Broken(format!(
                "cannot load what is stored: {}",
                chain(&error)
            ))),
        }
    }

    /// Frames were lost: sessions and retained messages are read again, and so is the queue of
    /// every session connected here. The source tells its routes again.
    pub(super) async fn learn_anew(&mut self) {
        match self.load_sessions().await {
            Ok(_) => {
                self.must_learn = false;
                self.must_catch_up = true;
                self.rooms.router.poke_all();
            }
            Err(error) => warn!(error = %chain(&error), "sessions not read, will repeat"),
        }
    }

    async fn load_sessions(&self) -> Result<usize, StoreError> {
        let store = &self.rooms.cluster.databases.store;
        let mut after = SessionId(0);
        let mut count = 0;
        loop {
            let sessions = store.sessions(after, PAGE).await?;
            let Some(last) = sessions.last() else {
                return Ok(count);
            };
            after = last.session;
            count += sessions.len();
            for session in sessions {
                self.rooms.router.load(session);
            }
        }
    }

    async fn load_retained(&self) -> Result<usize, StoreError> {
        let store = &self.rooms.cluster.databases.store;
        let mut after = String::new();
        let mut count = 0;
        loop {
            let messages = store.retained(&after, PAGE).await?;
            let Some(last) = messages.last() else {
                return Ok(count);
            };
            after.clone_from(&last.topic_name);
            count += messages.len();
            for message in messages {
                self.retain(message);
            }
        }
    }

    /// What a dead node may have set and told nobody.
    pub(super) async fn catch_up(&mut self) {
        match self
            .rooms
            .cluster
            .databases
            .store
            .retained_since(CATCH_UP)
            .await
        {
            Ok(messages) => {
                self.must_catch_up = false;
                for message in messages {
                    self.retain(message);
                }
                self.rooms.cluster.set_caught_up(true);
            }
            Err(error) => warn!(error = %chain(&error), "retained messages not read, will repeat"),
        }
    }

    fn retain(&self, message: RetainedMessage) {
        let publication = match message.body.map(Publication::decode).transpose() {
            Ok(publication) => publication.map(Arc::new),
            Err(error) => {
                warn!(topic = message.topic_name, error = %chain(&error), "unreadable retained message");
                return;
            }
        };
        self.rooms
            .retain
            .apply(&message.topic_name, message.version, publication);
    }
}

/// Closes the connections of this node whose clients belong to somebody else: the dead node may have
/// claimed them and told nobody (guarantee G5).
pub(super) async fn disown(rooms: Arc<Rooms>) {
    for page in rooms.registry.claims().chunks(PAGE) {
        let clients: Vec<String> = page.iter().map(|(id, _)| id.as_str().to_owned()).collect();
        let cluster = &rooms.cluster;
        let owned = loop {
            match cluster.databases.store.owned(cluster.node, &clients).await {
                Ok(owned) => break owned.into_iter().collect::<AHashSet<_>>(),
                Err(error) if error.is_transient() => {
                    tokio::select! {
                        () = tokio::time::sleep(REPEAT) => {}
                        () = rooms.shutdown.stopped() => return,
                    }
                }
                Err(error) => {
                    warn!(error = %chain(&error), "owners of clients not read");
                    return;
                }
            }
        };
        for (client_id, epoch) in page {
            if !owned.contains(client_id.as_str()) {
                info!(%client_id, "client belongs to another node");
                rooms.registry.disown(client_id, *epoch);
            }
        }
    }
}

/// Gives to other members what is in the queues of sessions that have ended: a node, perhaps this
/// one, had chosen them for messages of shared subscriptions before it heard of their end.
pub(super) async fn adopt(rooms: Arc<Rooms>) {
    // What was on its way to the database when the routes changed.
    let ticket = rooms.cluster.durable.everything();
    rooms.cluster.progress.reach(ticket).await;
    let mut after = (SessionId(0), EntryId(0));
    loop {
        let stranded = rooms.cluster.databases.store.stranded(after, PAGE).await;
        match stranded {
            Ok(entries) => {
                let Some(last) = entries.last() else { return };
                after = (last.session, last.entry);
                info!(
                    messages = entries.len(),
                    "messages of shared subscriptions go to other members"
                );
                rooms.router.inherit(entries);
                rooms.cluster.room(Stake::Waiting).await;
            }
            Err(error) if error.is_transient() => {
                tokio::select! {
                    () = tokio::time::sleep(REPEAT) => {}
                    () = rooms.shutdown.stopped() => return,
                }
            }
            Err(error) => {
                warn!(error = %chain(&error), "messages of shared subscriptions not given to others");
                return;
            }
        }
    }
}
