//! Changes of the routes by what other nodes tell, and what a joining node is told.

use std::sync::Arc;

use ahash::AHashSet;
use ibc::{
    Epoch, NodeId, SessionId, SessionSnapshot, StoredSubscription,
    event::{Event, Member, SessionClaimed},
};
use mqtt::Str;

use super::{Known, Router, filters::Filters, place::Place, subscriber::Subscriber};
use crate::config::MOST_TOPIC_LEVELS;

impl Router {
    /// Another node claimed a stored session.
    pub(crate) fn session_claimed(&self, claimed: SessionClaimed) {
        let claimed = SessionClaimed {
            // It must not keep the frame in memory that it came with.
            client_id: claimed.client_id.detached(),
            ..claimed
        };
        self.claimed(&mut self.write(), claimed, None);
    }

    /// A stored session as the database knows it; no news if it is connected here, or if a newer
    /// claim is known.
    pub(crate) fn load(&self, snapshot: SessionSnapshot) {
        let mut routes = self.write();
        if routes.sessions.get(&snapshot.session).is_some_and(|known| {
            known.subscriber.outbox().is_some() || known.subscriber.epoch() > snapshot.epoch
        }) {
            return;
        }
        let Ok(client_id) = Str::new(&snapshot.client_id) else {
            return;
        };
        let owner = snapshot.owner.unwrap_or(NodeId(0));
        let claimed = SessionClaimed {
            session: snapshot.session,
            client_id,
            epoch: snapshot.epoch,
            owner,
            discarded: None,
            subscriptions: snapshot.subscriptions,
        };
        self.claimed(&mut routes, claimed, None);
    }

    /// Another node says that a stored session subscribed.
    pub(crate) fn subscribed(
        &self,
        session: SessionId,
        epoch: Epoch,
        subscription: &StoredSubscription,
    ) {
        let mut routes = self.write();
        let Some(known) = routes.sessions.get(&session) else {
            return;
        };
        if known.subscriber.epoch() == epoch {
            let subscriber = Arc::clone(&known.subscriber);
            self.insert(&mut routes, &subscriber, subscription);
        }
    }

    /// Another node says that a stored session unsubscribed.
    pub(crate) fn unsubscribed(&self, session: SessionId, epoch: Epoch, filter: &Str) {
        let mut routes = self.write();
        if routes
            .sessions
            .get(&session)
            .is_some_and(|known| known.subscriber.epoch() == epoch)
        {
            self.remove(&mut routes, session, filter);
        }
    }

    /// Another node says that a stored session has no connection any more.
    pub(crate) fn session_detached(&self, session: SessionId, epoch: Epoch) {
        let routes = self.write();
        if let Some(known) = routes.sessions.get(&session)
            && known.subscriber.epoch() == epoch
        {
            known.subscriber.detach();
        }
    }

    /// A stored session is over.
    pub(crate) fn ended(&self, session: SessionId, epoch: Epoch) {
        let mut routes = self.write();
        if routes
            .sessions
            .get(&session)
            .is_some_and(|known| known.subscriber.epoch() <= epoch)
        {
            self.forget(&mut routes, session);
        }
    }

    /// `node` has connected subscribers for `filter`, or has none any more.
    pub(crate) fn set_route(&self, node: NodeId, filter: &Str, is_there: bool) {
        if filter.split('/').count() > MOST_TOPIC_LEVELS {
            return;
        }
        let mut routes = self.write();
        let set = |place: &mut Place| place.set_node(node, is_there);
        let is_changed = if is_there {
            routes
                .tree
                .update(filter, set)
                .map(|(_, is_changed)| is_changed)
        } else {
            let place = routes.tree.find(filter);
            place.and_then(|place| routes.tree.change(place, set))
        };
        if is_changed == Some(true) {
            self.bump();
        }
    }

    /// A session connected to `node` is a member of a shared subscription.
    pub(crate) fn member_added(&self, node: NodeId, member: Member) {
        let Member {
            session,
            client_id,
            subscription,
        } = member;
        let mut routes = self.write();
        let known = routes.sessions.entry(session).or_insert_with(|| {
            let subscriber = Arc::new(Subscriber::new(session, client_id.detached()));
            subscriber.attach(Epoch(0), node, None);
            Known {
                subscriber,
                filters: Filters::default(),
            }
        });
        let subscriber = Arc::clone(&known.subscriber);
        self.insert(&mut routes, &subscriber, &subscription);
    }

    /// It is no member any more.
    pub(crate) fn member_removed(&self, session: SessionId, filter: &Str) {
        let mut routes = self.write();
        self.remove(&mut routes, session, filter);
        if routes
            .sessions
            .get(&session)
            .is_some_and(|known| known.filters.is_empty())
        {
            routes.sessions.remove(&session);
        }
    }

    /// A node is dead: its routes go, its stored sessions have no owner.
    pub(crate) fn node_gone(&self, node: NodeId) {
        let mut routes = self.write();
        let is_there = |place: &Place| place.nodes().contains(&node);
        for place in routes.tree.places(is_there) {
            routes
                .tree
                .change(place, |place| place.set_node(node, false));
        }
        let mut over = Vec::new();
        for (session, known) in &routes.sessions {
            if known.subscriber.owner() == Some(node) {
                known.subscriber.detach();
                if !known.subscriber.is_stored {
                    over.push(*session);
                }
            }
        }
        for session in over {
            self.forget(&mut routes, session);
        }
        self.bump();
    }

    /// Sends all routes of this node to a node that is joining.
    pub(crate) fn tell(&self, peer: NodeId) {
        let routes = self.read();
        let outgoing = &self.cluster.outgoing;
        let mut told = AHashSet::new();
        for (session, known) in &routes.sessions {
            let subscriber = &known.subscriber;
            if subscriber.is_stored || subscriber.owner() != Some(self.node()) {
                continue;
            }
            for place in known.filters.places() {
                if told.insert(*place)
                    && let Ok(filter) = Str::new(routes.tree.filter(*place))
                {
                    outgoing.send(peer, &Event::RouteAdded(filter));
                }
            }
            for subscription in known.filters.shared.values() {
                let member = Member {
                    session: *session,
                    client_id: subscriber.client_id.clone(),
                    subscription: subscription.clone(),
                };
                outgoing.send(peer, &Event::MemberAdded(member));
            }
        }
    }
}
