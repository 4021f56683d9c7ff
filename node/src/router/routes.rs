//! Changes of the routes by sessions here; other nodes are told.
//!
//! What other nodes are told is put on its way while the lock is held, so that they see the
//! changes in the order in which they were made.

use std::sync::Arc;

use ibc::{
    Epoch, SessionId, StoredSubscription,
    event::{Event, Member, SessionClaimed},
};
use mqtt::{Str, TopicFilter};
use tracing::warn;

use super::{
    Known, Router, Routes,
    subscriber::{Group, Subscriber, Subscription},
};
use crate::{config::MOST_TOPIC_LEVELS, delivery::Outbox};

/// A session that is connected here from now on.
pub(crate) struct Attachment {
    pub(crate) session: SessionId,
    pub(crate) client_id: Str,
    pub(crate) epoch: Epoch,
    pub(crate) is_stored: bool,
    pub(crate) outbox: Arc<Outbox>,
    /// The session that its claim discarded.
    pub(crate) discarded: Option<SessionId>,
    /// Whether an earlier session goes on.
    pub(crate) is_resumed: bool,
    /// What a resumed session subscribes to.
    pub(crate) subscriptions: Vec<StoredSubscription>,
}

impl Router {
    /// A session is connected here. Other nodes are told if it is stored.
    pub(crate) fn attach(&self, attachment: Attachment) {
        let Attachment {
            session,
            client_id,
            epoch,
            is_stored,
            outbox,
            discarded,
            is_resumed,
            subscriptions,
        } = attachment;
        let mut routes = self.write();
        if is_stored {
            let claimed = SessionClaimed {
                session,
                client_id,
                epoch,
                owner: self.node(),
                discarded,
                subscriptions,
            };
            self.cluster
                .outgoing
                .broadcast(&Event::SessionClaimed(claimed.clone()));
            self.claimed(&mut routes, claimed, Some(outbox));
            return;
        }
        if let Some(discarded) = discarded {
            self.cluster.outgoing.broadcast(&Event::SessionEnded {
                session: discarded,
                epoch,
            });
            self.forget(&mut routes, discarded);
        }
        if is_resumed {
            // It had been stored; from now on it ends with its connection.
            self.cluster
                .outgoing
                .broadcast(&Event::SessionEnded { session, epoch });
            self.forget(&mut routes, session);
        }
        let subscriber = Arc::new(Subscriber::new(session, client_id));
        subscriber.attach(epoch, self.node(), Some(outbox));
        let known = Known {
            subscriber: Arc::clone(&subscriber),
            filters: ahash::AHashMap::new(),
        };
        routes.sessions.insert(session, known);
        for subscription in &subscriptions {
            self.add(&mut routes, &subscriber, subscription);
        }
    }

    /// A session connected here subscribes, or changes a subscription. Other nodes are told.
    /// Returns whether the subscription is new.
    pub(crate) fn subscribe(&self, session: SessionId, subscription: &StoredSubscription) -> bool {
        let mut routes = self.write();
        let Some(known) = routes.sessions.get(&session) else {
            return false;
        };
        let subscriber = Arc::clone(&known.subscriber);
        self.add(&mut routes, &subscriber, subscription)
    }

    fn add(
        &self,
        routes: &mut Routes,
        subscriber: &Arc<Subscriber>,
        subscription: &StoredSubscription,
    ) -> bool {
        let session = subscriber.session;
        let filter = subscription.filter.as_shared().clone();
        let is_new = routes
            .sessions
            .get(&session)
            .is_some_and(|known| !known.filters.contains_key(&filter));
        let outgoing = &self.cluster.outgoing;
        if subscriber.is_stored {
            let epoch = subscriber.epoch();
            let subscription = subscription.clone();
            outgoing.broadcast(&Event::Subscribed {
                session,
                epoch,
                subscription,
            });
        } else if subscription.filter.share().is_some() {
            let member = Member {
                session,
                client_id: subscriber.client_id.clone(),
                subscription: subscription.clone(),
            };
            outgoing.broadcast(&Event::MemberAdded(member));
        } else if is_new {
            let count = routes.local.entry(filter.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                outgoing.broadcast(&Event::RouteAdded(filter));
            }
        }
        self.insert(routes, subscriber, subscription.clone());
        is_new
    }

    /// A session connected here unsubscribes. Other nodes are told. Returns whether there was
    /// such a subscription.
    pub(crate) fn unsubscribe(&self, session: SessionId, filter: &TopicFilter) -> bool {
        let mut routes = self.write();
        let Some(known) = routes.sessions.get(&session) else {
            return false;
        };
        let subscriber = Arc::clone(&known.subscriber);
        let name = filter.as_shared();
        if !known.filters.contains_key(name) {
            return false;
        }
        if subscriber.is_stored {
            let (epoch, filter) = (subscriber.epoch(), name.clone());
            self.cluster.outgoing.broadcast(&Event::Unsubscribed {
                session,
                epoch,
                filter,
            });
        } else {
            self.withdraw(&mut routes, session, filter);
        }
        self.remove(&mut routes, session, name);
        true
    }

    /// Tells other nodes that a session without a stored one has left a filter.
    fn withdraw(&self, routes: &mut Routes, session: SessionId, filter: &TopicFilter) {
        let name = filter.as_shared().clone();
        if filter.share().is_some() {
            self.cluster.outgoing.broadcast(&Event::MemberRemoved {
                session,
                filter: name,
            });
        } else if let Some(count) = routes.local.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                routes.local.remove(&name);
                self.cluster.outgoing.broadcast(&Event::RouteRemoved(name));
            }
        }
    }

    /// A session is not connected here any more, unless a newer claim has been. Without a stored
    /// one it is over. Other nodes are told.
    pub(crate) fn detach(&self, session: SessionId, epoch: Epoch) {
        let mut routes = self.write();
        let Some(known) = routes.sessions.get(&session) else {
            return;
        };
        if known.subscriber.epoch() != epoch {
            return;
        }
        known.subscriber.detach();
        if known.subscriber.is_stored {
            self.cluster
                .outgoing
                .broadcast(&Event::SessionDetached { session, epoch });
            return;
        }
        let filters: Vec<_> = known
            .filters
            .values()
            .map(|subscription| subscription.filter.clone())
            .collect();
        for filter in &filters {
            self.withdraw(&mut routes, session, filter);
        }
        self.forget(&mut routes, session);
    }

    /// The time of a stored session is over. Other nodes are told.
    pub(crate) fn end(&self, session: SessionId, epoch: Epoch) {
        self.cluster
            .outgoing
            .broadcast(&Event::SessionEnded { session, epoch });
        self.ended(session, epoch);
    }

    pub(super) fn claimed(
        &self,
        routes: &mut Routes,
        claimed: SessionClaimed,
        outbox: Option<Arc<Outbox>>,
    ) {
        let SessionClaimed {
            session,
            client_id,
            epoch,
            owner,
            discarded,
            subscriptions,
        } = claimed;
        if let Some(discarded) = discarded {
            self.forget(routes, discarded);
        }
        if routes
            .sessions
            .get(&session)
            .is_some_and(|known| known.subscriber.epoch() > epoch)
        {
            return;
        }
        let disconnected = &routes.disconnected;
        let known = routes.sessions.entry(session).or_insert_with(|| Known {
            subscriber: Arc::new(Subscriber::stored(session, client_id, disconnected)),
            filters: ahash::AHashMap::new(),
        });
        let subscriber = Arc::clone(&known.subscriber);
        let gone: Vec<Str> = known
            .filters
            .keys()
            .filter(|filter| {
                !subscriptions
                    .iter()
                    .any(|new| new.filter.as_shared() == *filter)
            })
            .cloned()
            .collect();
        for filter in &gone {
            self.remove(routes, session, filter);
        }
        subscriber.attach(epoch, owner, outbox);
        for subscription in subscriptions {
            let is_same = routes
                .sessions
                .get(&session)
                .and_then(|known| known.filters.get(subscription.filter.as_shared()))
                == Some(&subscription);
            if !is_same {
                self.insert(routes, &subscriber, subscription);
            }
        }
    }

    pub(super) fn insert(
        &self,
        routes: &mut Routes,
        subscriber: &Arc<Subscriber>,
        subscription: StoredSubscription,
    ) {
        if subscription.filter.level_count() > MOST_TOPIC_LEVELS {
            warn!(filter = %subscription.filter, "filter with too many levels left out");
            return;
        }
        let session = subscriber.session;
        let at = Subscription {
            subscriber: Arc::clone(subscriber),
            options: subscription.options,
            identifier: subscription.identifier,
        };
        let filter = &subscription.filter;
        let is_shared = filter.share().is_some();
        if is_shared {
            change_group(routes, filter, |members| {
                members.retain(|member| member.subscriber.session != session);
                members.push(at);
            });
        } else {
            routes.tree.update(filter.as_str(), |place| {
                let list = &mut place.subscriptions;
                match list
                    .iter_mut()
                    .find(|other| other.subscriber.session == session)
                {
                    Some(other) => *other = at,
                    None => list.push(at),
                }
            });
        }
        if let Some(known) = routes.sessions.get_mut(&session) {
            let filter = subscription.filter.as_shared().clone();
            if known.filters.insert(filter, subscription).is_none() {
                routes.census.subscribe(is_shared);
            }
        }
        self.bump();
    }

    pub(super) fn remove(&self, routes: &mut Routes, session: SessionId, filter: &Str) {
        let Some(known) = routes.sessions.get_mut(&session) else {
            return;
        };
        let Some(subscription) = known.filters.remove(filter) else {
            return;
        };
        let is_shared = subscription.filter.share().is_some();
        routes.census.unsubscribe(is_shared);
        if is_shared {
            change_group(routes, &subscription.filter, |members| {
                members.retain(|member| member.subscriber.session != session);
            });
        } else {
            routes.tree.update(filter, |place| {
                place
                    .subscriptions
                    .retain(|other| other.subscriber.session != session);
            });
        }
        self.bump();
    }

    pub(super) fn forget(&self, routes: &mut Routes, session: SessionId) {
        let Some(known) = routes.sessions.get(&session) else {
            return;
        };
        known.subscriber.detach();
        let filters: Vec<Str> = known.filters.keys().cloned().collect();
        for filter in &filters {
            self.remove(routes, session, filter);
        }
        if let Some(known) = routes.sessions.remove(&session) {
            known.subscriber.end();
        }
    }
}

/// Groups are replaced, never changed: matches that are cached go on with the old one.
fn change_group(
    routes: &mut Routes,
    filter: &TopicFilter,
    change: impl FnOnce(&mut Vec<Subscription>),
) {
    let name = filter.as_shared();
    let (mut members, turn) = routes.groups.remove(name).map_or((Vec::new(), 0), |group| {
        (group.members.clone(), group.turn())
    });
    change(&mut members);
    let group = (!members.is_empty()).then(|| Arc::new(Group::new(name.clone(), members, turn)));
    if let Some(group) = &group {
        routes.groups.insert(name.clone(), Arc::clone(group));
    }
    routes.tree.update(filter.pattern(), |place| {
        place.groups.retain(|old| old.filter != *name);
        place.groups.extend(group);
    });
}
