//! Who gets a message.
//!
//! Owns the routes: every topic filter of the cluster, with the sessions connected here, the
//! stored sessions wherever they are, the nodes that have other subscribers, and the members of
//! shared subscriptions. It hands messages to mailboxes, queues and other nodes, and never waits.

mod crowd;
mod filters;
mod groups;
mod landed;
mod peers;
mod place;
mod publish;
mod routes;
mod seen;
mod share;
mod subscriber;
mod tree;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};

use ahash::{AHashMap, AHashSet};
use ibc::{NodeId, SessionId, StoredSubscription};
use mqtt::Str;

pub(crate) use publish::{Origin, Routed, TopicCache};
pub(crate) use routes::Attachment;
pub(crate) use share::Orphan;
pub(crate) use subscriber::{Matches, Subscriber};

use self::{
    crowd::Crowds,
    filters::Filters,
    place::Place,
    seen::Seen,
    subscriber::{Disconnected, Group},
    tree::Tree,
};
use crate::{cluster::Cluster, delivery::QueueLimits, retain::Retain, telemetry::Metrics};

/// Who gets a message.
pub(crate) struct Router {
    cluster: Arc<Cluster>,
    retain: Arc<Retain>,
    metrics: Arc<Metrics>,
    limits: QueueLimits,
    /// Sessions whose queues in the database have grown.
    crowds: Crowds,
    routes: RwLock<Routes>,
    /// What clients connected here have got and may be sent again.
    seen: Seen,
    /// Raised by every change of the tree, so that cached matches can be checked without a lock.
    version: AtomicU64,
}

#[derive(Default)]
struct Routes {
    tree: Tree<Place>,
    sessions: AHashMap<SessionId, Known>,
    /// Shared subscriptions, `$share/…` included.
    groups: AHashMap<Str, Arc<Group>>,
    census: Census,
    disconnected: Disconnected,
}

/// How many there are of what the routes hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Census {
    /// Subscriptions of clients connected here and of stored sessions, without shared ones.
    pub(crate) subscriptions: usize,
    pub(crate) shared_subscriptions: usize,
}

impl Census {
    fn subscribe(&mut self, is_shared: bool) {
        if is_shared {
            self.shared_subscriptions += 1;
        } else {
            self.subscriptions += 1;
        }
    }

    fn unsubscribe(&mut self, is_shared: bool) {
        if is_shared {
            self.shared_subscriptions -= 1;
        } else {
            self.subscriptions -= 1;
        }
    }
}

/// The filters of a session, to see whether there is room for more.
pub(crate) struct FilterCount {
    count: usize,
    /// Those that were asked for and are there already.
    known: AHashSet<Str>,
}

impl FilterCount {
    /// Adds a subscription, unless that makes more than `most`; one that is there already is only
    /// changed. Returns whether it may be.
    pub(crate) fn add(&mut self, subscription: &StoredSubscription, most: usize) -> bool {
        let filter = subscription.filter.as_shared();
        if self.known.contains(filter) {
            return true;
        }
        if self.count >= most {
            return false;
        }
        self.count += 1;
        self.known.insert(filter.clone())
    }
}

struct Known {
    subscriber: Arc<Subscriber>,
    filters: Filters,
}

impl Routes {
    fn has(&self, known: &Known, filter: &Str) -> bool {
        let Known { filters, .. } = known;
        filters.shared.contains_key(filter)
            || self
                .tree
                .find(filter)
                .is_some_and(|place| filters.has(place))
    }
}

impl Router {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        retain: Arc<Retain>,
        metrics: Arc<Metrics>,
        limits: QueueLimits,
    ) -> Self {
        Self {
            cluster,
            retain,
            metrics,
            limits,
            crowds: Crowds::default(),
            seen: Seen::default(),
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

    /// What the routes hold now.
    pub(crate) fn census(&self) -> Census {
        self.read().census
    }

    /// Stored sessions of the cluster without a connection to any node.
    pub(crate) fn disconnected(&self) -> usize {
        self.read().disconnected.load(Ordering::Relaxed)
    }

    /// How many filters a session has, and which of `wanted` are among them.
    pub(crate) fn filters(&self, session: SessionId, wanted: &[StoredSubscription]) -> FilterCount {
        let routes = self.read();
        let known = routes.sessions.get(&session);
        let has = |filter: &&Str| known.is_some_and(|known| routes.has(known, filter));
        FilterCount {
            count: known.map_or(0, |known| known.filters.len()),
            known: wanted
                .iter()
                .map(|wanted| wanted.filter.as_shared())
                .filter(has)
                .cloned()
                .collect(),
        }
    }

    fn subscriber(&self, session: SessionId) -> Option<Arc<Subscriber>> {
        self.read()
            .sessions
            .get(&session)
            .map(|known| Arc::clone(&known.subscriber))
    }
}
