//! Changes of the routes by sessions here; other nodes are told.
//!
//! What other nodes are told is put on its way while the lock is held, so that they see the
//! changes in the order in which they were made.

use std::sync::Arc;

use ahash::AHashSet;
use ibc::{
    Epoch, SessionId, StoredSubscription,
    event::{Event, Member, SessionClaimed},
};
use mqtt::{Str, TopicFilter};
use tracing::warn;

use super::{
    Known, Router, Routes,
    filters::Filters,
    groups::{insert_shared, leave_group},
    place::{Change, Place, Subscription},
    subscriber::Subscriber,
    tree::PlaceId,
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
            filters: Filters::default(),
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
        let inserted = self.insert(routes, subscriber, subscription);
        let is_new = inserted.change == Change::Added;
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
        } else if let Some(place) = inserted.place
            && is_new
            && routes.is_only_local(place)
        {
            let filter = subscription.filter.as_shared().clone();
            outgoing.broadcast(&Event::RouteAdded(filter));
        }
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
        if !routes.has(known, name) {
            return false;
        }
        let outgoing = &self.cluster.outgoing;
        if subscriber.is_stored {
            let (epoch, filter) = (subscriber.epoch(), name.clone());
            outgoing.broadcast(&Event::Unsubscribed {
                session,
                epoch,
                filter,
            });
        } else if filter.share().is_some() {
            let filter = name.clone();
            outgoing.broadcast(&Event::MemberRemoved { session, filter });
        } else if let Some(place) = routes.tree.find(name) {
            self.withdraw(&routes, place);
        }
        self.remove(&mut routes, session, name);
        true
    }

    /// A session without a stored one leaves a filter: other nodes are told if it is the last one here.
    fn withdraw(&self, routes: &Routes, place: PlaceId) {
        if routes.is_only_local(place)
            && let Ok(filter) = Str::new(routes.tree.filter(place))
        {
            let event = Event::RouteRemoved(filter);
            self.cluster.outgoing.broadcast(&event);
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
        for filter in known.filters.shared.keys().cloned() {
            let event = Event::MemberRemoved { session, filter };
            self.cluster.outgoing.broadcast(&event);
        }
        for place in known.filters.places() {
            self.withdraw(&routes, *place);
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
            filters: Filters::default(),
        });
        let subscriber = Arc::clone(&known.subscriber);
        let mut kept: Vec<PlaceId> = Vec::with_capacity(subscriptions.len());
        for subscription in &subscriptions {
            let inserted = self.insert(routes, &subscriber, subscription);
            kept.extend(inserted.place);
        }
        kept.sort_unstable();
        self.keep(routes, session, &kept, &subscriptions);
        subscriber.attach(epoch, owner, outbox);
    }

    /// Removes what a session subscribes to and is neither at `places` nor a shared one of
    /// `subscriptions`.
    fn keep(
        &self,
        routes: &mut Routes,
        session: SessionId,
        places: &[PlaceId],
        subscriptions: &[StoredSubscription],
    ) {
        let Some(Known { filters, .. }) = routes.sessions.get(&session) else {
            return;
        };
        let is_over = |place: &PlaceId| places.binary_search(place).is_err();
        let over: Vec<PlaceId> = filters.places().iter().copied().filter(is_over).collect();
        let mut left: Vec<Str> = Vec::new();
        if !filters.shared.is_empty() {
            let named: AHashSet<&Str> = subscriptions
                .iter()
                .map(|subscription| subscription.filter.as_shared())
                .collect();
            let is_left = |name: &&Str| !named.contains(name);
            left.extend(filters.shared.keys().filter(is_left).cloned());
        }
        for place in over {
            self.remove_at(routes, session, place);
        }
        for name in left {
            self.remove_shared(routes, session, &name);
        }
    }

    /// Adds or changes a subscription of a session that is known.
    pub(super) fn insert(
        &self,
        routes: &mut Routes,
        subscriber: &Arc<Subscriber>,
        subscription: &StoredSubscription,
    ) -> Inserted {
        let filter = &subscription.filter;
        if filter.level_count() > MOST_TOPIC_LEVELS {
            warn!(%filter, "filter with too many levels left out");
            return Inserted::NOTHING;
        }
        let at = Subscription::new(subscriber, subscription);
        let inserted = if filter.share().is_some() {
            Inserted {
                place: None,
                change: insert_shared(routes, subscription, at),
            }
        } else {
            let place = |place: &mut Place| place.insert(at);
            let Some((place, change)) = routes.tree.update(filter.as_str(), place) else {
                warn!(%filter, "filter left out: there are too many");
                return Inserted::NOTHING;
            };
            if change == Change::Added
                && let Some(known) = routes.sessions.get_mut(&subscriber.session)
            {
                known.filters.insert(place);
            }
            Inserted {
                place: Some(place),
                change,
            }
        };
        if inserted.change == Change::Added {
            routes.census.subscribe(inserted.place.is_none());
        }
        if inserted.change != Change::Nothing {
            self.bump();
        }
        inserted
    }

    pub(super) fn remove(&self, routes: &mut Routes, session: SessionId, filter: &Str) {
        self.remove_shared(routes, session, filter);
        if let Some(place) = routes.tree.find(filter) {
            self.remove_at(routes, session, place);
        }
    }

    fn remove_at(&self, routes: &mut Routes, session: SessionId, place: PlaceId) {
        let known = routes.sessions.get_mut(&session);
        if known.is_some_and(|known| known.filters.remove(place)) {
            routes.tree.change(place, |place| place.remove(session));
            routes.census.unsubscribe(false);
            self.bump();
        }
    }

    pub(super) fn forget(&self, routes: &mut Routes, session: SessionId) {
        let Some(Known {
            subscriber,
            filters,
        }) = routes.sessions.remove(&session)
        else {
            return;
        };
        subscriber.detach();
        for place in filters.places() {
            routes.tree.change(*place, |place| place.remove(session));
            routes.census.unsubscribe(false);
        }
        for subscription in filters.shared.values() {
            leave_group(routes, session, &subscription.filter);
            routes.census.unsubscribe(true);
        }
        if !filters.is_empty() {
            self.bump();
        }
        subscriber.end();
    }
}

/// What [`Router::insert`] has done.
pub(super) struct Inserted {
    /// Nothing for a shared subscription.
    place: Option<PlaceId>,
    change: Change,
}

impl Inserted {
    const NOTHING: Self = Self {
        place: None,
        change: Change::Nothing,
    };
}

impl Routes {
    /// Whether one session alone subscribes at `place` of those connected here without a stored one.
    fn is_only_local(&self, place: PlaceId) -> bool {
        let place = self.tree.get(place);
        place.is_some_and(|place| place.local() == 1)
    }
}
