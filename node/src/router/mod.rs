//! Who gets a message.
//!
//! Owns the routes: every topic filter of the cluster, with the sessions connected here, the
//! stored sessions wherever they are, the nodes that have other subscribers, and the members of
//! shared subscriptions. It hands messages to mailboxes, queues and other nodes, and never waits.

mod landed;
mod peers;
mod publish;
mod routes;
mod share;
mod subscriber;
mod tree;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};

use ahash::{AHashMap, AHashSet};
use ibc::{NodeId, SessionId};
use mqtt::Str;

pub(crate) use publish::{Origin, Routed, TopicCache};
pub(crate) use routes::Attachment;
pub(crate) use share::Orphan;
pub(crate) use subscriber::{Matches, Subscriber};

use self::{
    subscriber::{Filters, Group, Place},
    tree::Tree,
};
use crate::{cluster::Cluster, retain::Retain, telemetry::Metrics};

/// Most levels of a topic name or filter: what walks them uses the stack.
pub(crate) const MAX_LEVELS: usize = 128;

/// Who gets a message.
pub(crate) struct Router {
    cluster: Arc<Cluster>,
    retain: Arc<Retain>,
    metrics: Arc<Metrics>,
    routes: RwLock<Routes>,
    /// Raised by every change of the tree, so that cached matches can be checked without a lock.
    version: AtomicU64,
}

#[derive(Default)]
struct Routes {
    tree: Tree<Place>,
    sessions: AHashMap<SessionId, Known>,
    /// Shared subscriptions, `$share/…` included.
    groups: AHashMap<Str, Arc<Group>>,
    /// Filters of connected sessions here without a stored one, with their number: what the
    /// other nodes are told.
    local: AHashMap<Str, usize>,
    /// The same of each other node.
    remote: AHashMap<NodeId, AHashSet<Str>>,
}

struct Known {
    subscriber: Arc<Subscriber>,
    filters: Filters,
}

impl Router {
    pub(crate) fn new(cluster: Arc<Cluster>, retain: Arc<Retain>, metrics: Arc<Metrics>) -> Self {
        Self {
            cluster,
            retain,
            metrics,
            routes: RwLock::default(),
            version: AtomicU64::new(1),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree has changed; called with the lock held.
    fn bump(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn node(&self) -> NodeId {
        self.cluster.node
    }

    fn subscriber(&self, session: SessionId) -> Option<Arc<Subscriber>> {
        self.read()
            .sessions
            .get(&session)
            .map(|known| Arc::clone(&known.subscriber))
    }
}
