//! What stands at one filter, in as few bytes as can be: nearly always a single subscription.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use ibc::{NodeId, SessionId, StoredSubscription};
use mqtt::SubscriptionOptions;

use super::{
    subscriber::{Group, Subscriber},
    tree::Value,
};

/// A subscription at its place in the tree.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) options: SubscriptionOptions,
    identifier: Option<NonZeroU32>,
}

impl Subscription {
    pub(super) fn new(subscriber: &Arc<Subscriber>, stored: &StoredSubscription) -> Self {
        Self {
            subscriber: Arc::clone(subscriber),
            options: stored.options,
            // 0 is none (section 3.8.2.1.2).
            identifier: stored.identifier.and_then(NonZeroU32::new),
        }
    }

    pub(super) fn identifier(&self) -> Option<u32> {
        self.identifier.map(NonZeroU32::get)
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.options, self.identifier) == (other.options, other.identifier)
            && Arc::ptr_eq(&self.subscriber, &other.subscriber)
    }
}

/// What stands at one filter.
#[derive(Debug, Default)]
pub(super) enum Place {
    #[default]
    Empty,
    One(Subscription),
    /// Another node, which has connected subscribers without a stored session.
    Node(NodeId),
    Several(Box<Several>),
}

#[derive(Debug, Default)]
pub(super) struct Several {
    subscriptions: Subscriptions,
    /// Other nodes that have connected subscribers without a stored session.
    nodes: Vec<NodeId>,
    groups: Vec<Arc<Group>>,
    /// Subscriptions of sessions without a stored one, which are connected here.
    local: usize,
}

/// By session; found quickly even if every client subscribes to the same filter.
#[derive(Debug)]
enum Subscriptions {
    Few(Vec<Subscription>),
    Many(BTreeMap<SessionId, Subscription>),
}

/// From how many on a list is not looked through.
const MANY: usize = 32;

/// What has changed at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The session had a subscription there.
    Replaced,
    /// The same one even.
    Nothing,
    /// It has one more.
    Added,
}

impl Value for Place {
    fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::One(_) | Self::Node(_) => false,
            Self::Several(several) => several.is_empty(),
        }
    }
}

impl Place {
    /// Adds a subscription, or replaces that of the same session.
    pub(super) fn insert(&mut self, subscription: Subscription) -> Change {
        match self {
            Self::Empty => {
                *self = Self::One(subscription);
                Change::Added
            }
            Self::One(one) if one.subscriber.session == subscription.subscriber.session => {
                replace(one, subscription)
            }
            Self::One(_) | Self::Node(_) | Self::Several(_) => {
                self.change(|several| several.insert(subscription))
            }
        }
    }

    /// Removes the subscription of a session.
    pub(super) fn remove(&mut self, session: SessionId) {
        match self {
            Self::One(one) if one.subscriber.session == session => *self = Self::Empty,
            Self::Several(several) => several.remove(session),
            Self::Empty | Self::One(_) | Self::Node(_) => {}
        }
    }

    /// Adds a node, or removes it. Returns whether that changes anything.
    pub(super) fn set_node(&mut self, node: NodeId, is_there: bool) -> bool {
        if self.nodes().contains(&node) == is_there {
            return false;
        }
        match self {
            Self::Empty => *self = Self::Node(node),
            // It is there, and is to go.
            Self::Node(other) if *other == node => *self = Self::Empty,
            Self::One(_) | Self::Node(_) | Self::Several(_) => {
                self.change(|several| {
                    if is_there {
                        several.nodes.push(node);
                    } else {
                        several.nodes.retain(|other| *other != node);
                    }
                });
            }
        }
        true
    }

    /// Puts `group` in the place of that with the filter `name`, or removes that one.
    pub(super) fn set_group(&mut self, name: &str, group: Option<Arc<Group>>) {
        if group.is_none() && self.groups().is_empty() {
            return;
        }
        self.change(|several| {
            several.groups.retain(|old| old.filter.as_str() != name);
            several.groups.extend(group);
        });
    }

    /// How many sessions subscribe here that are connected to this node and end with their connection.
    pub(super) fn local(&self) -> usize {
        match self {
            Self::Empty | Self::Node(_) => 0,
            Self::One(one) => usize::from(!one.subscriber.is_stored),
            Self::Several(several) => several.local,
        }
    }

    pub(super) fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        let (one, several) = match self {
            Self::Empty | Self::Node(_) => (None, None),
            Self::One(one) => (Some(one), None),
            Self::Several(several) => (None, Some(several.subscriptions.iter())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    pub(super) fn nodes(&self) -> &[NodeId] {
        match self {
            Self::Empty | Self::One(_) => &[],
            Self::Node(node) => std::slice::from_ref(node),
            Self::Several(several) => &several.nodes,
        }
    }

    pub(super) fn groups(&self) -> &[Arc<Group>] {
        match self {
            Self::Empty | Self::One(_) | Self::Node(_) => &[],
            Self::Several(several) => &several.groups,
        }
    }

    /// Makes room for more than one thing, and changes what there is.
    fn change<R>(&mut self, change: impl FnOnce(&mut Several) -> R) -> R {
        let mut several = match std::mem::take(self) {
            Self::Several(several) => several,
            Self::One(one) => Box::new(Several::from(one)),
            Self::Node(node) => Box::new(Several {
                nodes: vec![node],
                ..Several::default()
            }),
            Self::Empty => Box::default(),
        };
        let result = change(&mut several);
        *self = Self::Several(several);
        result
    }
}

impl From<Subscription> for Several {
    fn from(one: Subscription) -> Self {
        let mut several = Self::default();
        several.insert(one);
        several
    }
}

impl Several {
    fn is_empty(&self) -> bool {
        self.subscriptions.is_empty() && self.nodes.is_empty() && self.groups.is_empty()
    }

    fn insert(&mut self, subscription: Subscription) -> Change {
        let is_local = !subscription.subscriber.is_stored;
        let change = self.subscriptions.insert(subscription);
        if change == Change::Added {
            self.local += usize::from(is_local);
        }
        change
    }

    fn remove(&mut self, session: SessionId) {
        if let Some(removed) = self.subscriptions.remove(session) {
            self.local -= usize::from(!removed.subscriber.is_stored);
        }
    }
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Subscriptions {
    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    fn insert(&mut self, subscription: Subscription) -> Change {
        let session = subscription.subscriber.session;
        match self {
            Self::Few(few) => {
                let old = few.iter_mut().find(|old| old.subscriber.session == session);
                if let Some(old) = old {
                    return replace(old, subscription);
                }
                few.push(subscription);
                if few.len() > MANY {
                    let all = few.drain(..);
                    *self = Self::Many(all.map(|one| (one.subscriber.session, one)).collect());
                }
            }
            Self::Many(many) => {
                if let Some(old) = many.get_mut(&session) {
                    return replace(old, subscription);
                }
                many.insert(session, subscription);
            }
        }
        Change::Added
    }

    fn remove(&mut self, session: SessionId) -> Option<Subscription> {
        match self {
            Self::Few(few) => {
                let at = few
                    .iter()
                    .position(|old| old.subscriber.session == session)?;
                Some(few.remove(at))
            }
            Self::Many(many) => many.remove(&session),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Subscription> {
        let (few, many) = match self {
            Self::Few(few) => (Some(few), None),
            Self::Many(many) => (None, Some(many.values())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}

fn replace(old: &mut Subscription, new: Subscription) -> Change {
    if old.is_same(&new) {
        return Change::Nothing;
    }
    *old = new;
    Change::Replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::{Qos, Str, TopicFilter};

    fn subscription(session: i64, qos: Qos, is_stored: bool) -> Subscription {
        let (session, client_id) = (SessionId(session), Str::from_static("c"));
        let subscriber = if is_stored {
            Subscriber::stored(session, client_id, &Arc::default())
        } else {
            Subscriber::new(session, client_id)
        };
        let stored = StoredSubscription {
            filter: TopicFilter::new("a").unwrap(),
            options: SubscriptionOptions {
                qos,
                ..SubscriptionOptions::default()
            },
            identifier: Some(7),
        };
        Subscription::new(&Arc::new(subscriber), &stored)
    }

    fn sessions(place: &Place) -> Vec<i64> {
        let mut all: Vec<i64> = place
            .subscriptions()
            .map(|one| one.subscriber.session.0)
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Place>(), 16);
    }

    #[test]
    fn one_few_and_many_are_the_same_to_whoever_looks() {
        for count in [1, 2, 3, 31, 32, 33, 34, 200] {
            let mut place = Place::default();
            for session in 0..count {
                let is_stored = session % 3 == 0;
                let one = subscription(session, Qos::AtMostOnce, is_stored);
                assert_eq!(place.insert(one.clone()), Change::Added);
                assert_eq!(place.insert(one), Change::Nothing);
                let other = subscription(session, Qos::AtLeastOnce, is_stored);
                assert_eq!(place.insert(other), Change::Replaced);
            }
            assert_eq!(sessions(&place), (0..count).collect::<Vec<_>>());
            assert!(
                place
                    .subscriptions()
                    .all(|one| one.options.qos == Qos::AtLeastOnce)
            );
            assert!(place.subscriptions().all(|one| one.identifier() == Some(7)));
            let local = (0..count).filter(|session| session % 3 > 0);
            assert_eq!(place.local(), local.count());
            for session in (0..count).rev() {
                assert!(!place.is_empty());
                place.remove(SessionId(session + 1));
                place.remove(SessionId(session));
                assert_eq!(sessions(&place), (0..session).collect::<Vec<_>>());
            }
            assert!(place.is_empty());
            assert_eq!(place.local(), 0);
        }
    }

    #[test]
    fn nodes_and_groups_stand_beside_subscriptions() {
        let mut place = Place::default();
        let [one, two] = [NodeId(1), NodeId(2)];
        assert!(!place.set_node(one, false));
        assert!(place.set_node(one, true));
        assert!(!place.set_node(one, true));
        assert_eq!(place.nodes(), [one]);
        assert!(place.set_node(two, true));
        assert_eq!(place.nodes(), [one, two]);
        place.insert(subscription(5, Qos::AtMostOnce, true));
        let name = Str::from_static("$share/g/a");
        let group = |turn| Arc::new(Group::new(name.clone(), Vec::new(), turn));
        place.set_group(&name, Some(group(1)));
        place.set_group(&name, Some(group(2)));
        assert_eq!(place.groups().len(), 1);
        assert_eq!(place.groups()[0].turn(), 2);
        assert_eq!(sessions(&place), [5]);
        assert!(place.set_node(one, false));
        assert!(place.set_node(two, false));
        place.remove(SessionId(5));
        assert!(!place.is_empty());
        place.set_group(&name, None);
        assert!(place.is_empty());
    }

    #[test]
    fn a_single_node_that_goes_leaves_nothing() {
        let mut place = Place::default();
        place.set_node(NodeId(1), true);
        place.set_node(NodeId(1), false);
        assert!(place.is_empty());
    }
}
