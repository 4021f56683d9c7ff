//! A session as the router knows it, and what a topic has found.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwapOption, Guard};
use ibc::{Epoch, NodeId, SessionId};
use mqtt::{Qos, Str, SubscriptionOptions};

use super::{
    crowd::Growth,
    place::{Place, Subscription},
};
use crate::delivery::{Identifiers, Outbox};

/// A session that subscribes: one connected here, a stored one anywhere, or a member of a shared
/// subscription that is connected to another node.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    pub(crate) client_id: Str,
    /// Whether it outlives its connection.
    pub(crate) is_stored: bool,
    epoch: AtomicI64,
    owner: AtomicI64,
    outbox: ArcSwapOption<Outbox>,
    /// Of its queue in the database.
    pub(super) growth: Growth,
    /// For a stored one: how many of them have no connection.
    disconnected: Option<Disconnected>,
}

/// How many stored sessions have no connection to any node.
pub(super) type Disconnected = Arc<AtomicUsize>;

impl Subscriber {
    /// A session that ends with its connection.
    pub(crate) fn new(session: SessionId, client_id: Str) -> Self {
        Self {
            session,
            client_id,
            is_stored: false,
            epoch: AtomicI64::new(0),
            owner: AtomicI64::new(0),
            outbox: ArcSwapOption::empty(),
            growth: Growth::default(),
            disconnected: None,
        }
    }

    /// A session that outlives its connection; it has none yet.
    pub(super) fn stored(session: SessionId, client_id: Str, disconnected: &Disconnected) -> Self {
        disconnected.fetch_add(1, Ordering::Relaxed);
        Self {
            is_stored: true,
            disconnected: Some(Arc::clone(disconnected)),
            ..Self::new(session, client_id)
        }
    }

    /// It is over; it was detached before.
    pub(super) fn end(&self) {
        if let Some(disconnected) = &self.disconnected {
            disconnected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn set_owner(&self, owner: i64) {
        let before = self.owner.swap(owner, Ordering::AcqRel);
        if let Some(disconnected) = &self.disconnected {
            match (before, owner) {
                (0, 1..) => disconnected.fetch_sub(1, Ordering::Relaxed),
                (1.., 0) => disconnected.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
        }
    }

    /// The node where it is connected.
    pub(crate) fn owner(&self) -> Option<NodeId> {
        let owner = self.owner.load(Ordering::Acquire);
        (owner != 0).then_some(NodeId(owner))
    }

    /// Its mailbox, if it is connected here.
    pub(crate) fn outbox(&self) -> Option<Arc<Outbox>> {
        self.outbox.load_full()
    }

    /// The same, not to be kept for long.
    pub(super) fn borrow_outbox(&self) -> Guard<Option<Arc<Outbox>>> {
        self.outbox.load()
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    pub(super) fn attach(&self, epoch: Epoch, owner: NodeId, outbox: Option<Arc<Outbox>>) {
        self.epoch.store(epoch.0, Ordering::Release);
        self.outbox.store(outbox);
        self.set_owner(owner.0);
    }

    pub(super) fn detach(&self) {
        self.set_owner(0);
        self.outbox.store(None);
    }
}

/// A shared subscription: all its members in the cluster.
#[derive(Debug)]
pub(crate) struct Group {
    /// `$share/{name}/{filter}`.
    pub(super) filter: Str,
    pub(super) members: Vec<Subscription>,
    next: AtomicUsize,
}

impl Group {
    pub(super) fn new(filter: Str, members: Vec<Subscription>, next: usize) -> Self {
        Self {
            filter,
            members,
            next: AtomicUsize::new(next),
        }
    }

    pub(super) fn turn(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// The member whose turn it is: connected ones first, then stored ones. Never one of
    /// `except` [MQTT-4.8.2-4].
    pub(super) fn pick(&self, except: Option<SessionId>) -> Option<&Subscription> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len();
        let turn = |is_wanted: &dyn Fn(&Subscriber) -> bool| {
            (0..count)
                .filter_map(|offset| self.members.get(start.wrapping_add(offset) % count))
                .filter(|member| Some(member.subscriber.session) != except)
                .find(|member| is_wanted(&member.subscriber))
        };
        turn(&|subscriber| subscriber.owner().is_some())
            .or_else(|| turn(&|subscriber| subscriber.is_stored))
    }

    /// Whether every member is connected to `node` and ends with its connection, so that the
    /// whole subscription ends with the node.
    pub(super) fn is_volatile(&self, node: NodeId) -> bool {
        self.members
            .iter()
            .all(|member| !member.subscriber.is_stored && member.subscriber.owner() == Some(node))
    }
}

/// A session whose subscriptions match a topic: one delivery, however many they are
/// [MQTT-3.3.4-2].
#[derive(Debug)]
pub(super) struct Match {
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) merged: Merged,
    /// All that match, if one of them has No Local.
    all: Vec<Wanted>,
}

/// The options and the Subscription Identifier of a subscription.
type Wanted = (SubscriptionOptions, Option<u32>);

/// What several matching subscriptions of one session come to.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    pub(super) qos: Qos,
    pub(super) retain_as_published: bool,
    pub(super) identifiers: Identifiers,
}

impl Match {
    fn new(subscriber: Arc<Subscriber>, mut all: Vec<Wanted>) -> Option<Self> {
        let merged = merge(all.iter())?;
        if !all.iter().any(|(options, _)| options.no_local) {
            all = Vec::new();
        }
        Some(Self {
            subscriber,
            merged,
            all,
        })
    }

    /// Of a session of which one subscription matches.
    fn alone(subscription: &Subscription) -> Option<Self> {
        let wanted = (subscription.options, subscription.identifier());
        Self::new(Arc::clone(&subscription.subscriber), vec![wanted])
    }

    /// What counts for a message of `publisher`: without No Local subscriptions if it is the
    /// subscriber itself [MQTT-3.8.3-3]. `None`: nothing.
    pub(super) fn for_publisher(&self, publisher: &str) -> Option<Cow<'_, Merged>> {
        if self.all.is_empty() || publisher != self.subscriber.client_id.as_str() {
            return Some(Cow::Borrowed(&self.merged));
        }
        merge(self.all.iter().filter(|(options, _)| !options.no_local)).map(Cow::Owned)
    }
}

fn merge<'a>(subscriptions: impl Iterator<Item = &'a Wanted>) -> Option<Merged> {
    let mut merged: Option<(Qos, bool)> = None;
    let mut identifiers = Vec::new();
    for (options, identifier) in subscriptions {
        let (qos, retain) = merged.unwrap_or((Qos::AtMostOnce, false));
        merged = Some((qos.max(options.qos), retain || options.retain_as_published));
        identifiers.extend(*identifier);
    }
    let (qos, retain_as_published) = merged?;
    Some(Merged {
        qos,
        retain_as_published,
        identifiers: crate::delivery::identifiers(identifiers),
    })
}

/// One match for each session.
fn merge_all(places: &[&Place]) -> Vec<Match> {
    let mut found: Vec<(Arc<Subscriber>, Vec<Wanted>)> = Vec::new();
    let mut index = ahash::AHashMap::new();
    for subscription in places.iter().flat_map(|place| place.subscriptions()) {
        let subscriber = &subscription.subscriber;
        let at = *index.entry(subscriber.session).or_insert_with(|| {
            found.push((Arc::clone(subscriber), Vec::new()));
            found.len() - 1
        });
        if let Some((_, all)) = found.get_mut(at) {
            all.push((subscription.options, subscription.identifier()));
        }
    }
    let each = found.into_iter();
    each.filter_map(|(subscriber, all)| Match::new(subscriber, all))
        .collect()
}

/// Everybody who is to get the messages of one topic, as of one version of the routes.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(super) subscribers: Vec<Match>,
    pub(super) nodes: Vec<NodeId>,
    pub(super) groups: Vec<Arc<Group>>,
}

impl Matches {
    pub(super) fn collect(places: &[&Place]) -> Self {
        let mut matches = Self::default();
        for place in places {
            matches.nodes.extend(place.nodes());
            matches.groups.extend(place.groups().iter().cloned());
        }
        matches.nodes.sort_unstable();
        matches.nodes.dedup();
        matches.subscribers = match places {
            // A session stands there once.
            [place] => place.subscriptions().filter_map(Match::alone).collect(),
            _ => merge_all(places),
        };
        matches
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.nodes.is_empty() && self.groups.is_empty()
    }
}
