//! The road of a message: from its publisher, or from another node, to everybody who gets it.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use ahash::AHashMap;
use ibc::{
    DeliveryOptions, NewEntry, NodeId, ReceivedId, SessionId,
    event::{Event, Sender},
};
use mqtt::{Qos, Str};

use super::{
    Matches, Router,
    place::Place,
    subscriber::{Merged, Subscriber},
};
use crate::{
    cluster::{Ticket, Urgency},
    delivery::{Delivery, Outbox, Publication, Pushed},
    telemetry::Dropped,
};

/// Where a message comes from, beyond its publisher: what must become durable together with it.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The QoS 2 packet identifier of a stored session [MQTT-4.3.3-10].
    pub(crate) received: Option<ReceivedId>,
    /// By what the nodes know the message again, should it come twice.
    pub(crate) sender: Option<Sender>,
    /// The stored Will that this is.
    pub(crate) will: Option<ibc::WillKey>,
}

impl Origin {
    /// A stored Will. Whoever took it may have died half-way, and it was taken again.
    pub(crate) const fn will(key: ibc::WillKey) -> Self {
        let sender = Sender {
            session: SessionId(key.epoch.0),
            packet_id: 0,
            epoch: key.epoch,
            is_repeated: true,
            digest: 0,
        };
        Self {
            received: None,
            sender: Some(sender),
            will: Some(key),
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routed {
    /// Reached when it may be acknowledged.
    pub(crate) ticket: Ticket,
    /// Whether anybody subscribes to its topic.
    pub(crate) is_matched: bool,
    /// Whether it left this node, or will after a commit.
    pub(crate) is_shared_out: bool,
    /// Whether other nodes got it for their clients.
    pub(crate) is_forwarded: bool,
}

/// The topics somebody publishes to, with what they found; a bounded number of them.
#[derive(Debug)]
pub(crate) struct TopicCache {
    most: usize,
    version: u64,
    topics: AHashMap<Str, Arc<Matches>>,
}

impl TopicCache {
    /// Keeps what `most` topics found.
    pub(crate) fn with_capacity(most: usize) -> Self {
        Self {
            most,
            version: 0,
            topics: AHashMap::new(),
        }
    }
}

impl Default for TopicCache {
    /// For one client.
    fn default() -> Self {
        Self::with_capacity(64)
    }
}

impl Router {
    /// Hands a message to everybody who is to get it. Nothing is waited for: it may be
    /// acknowledged when the ticket is reached (guarantee G1).
    pub(crate) fn route(
        &self,
        publication: &Arc<Publication>,
        origin: Origin,
        cache: &mut TopicCache,
    ) -> Routed {
        let message = publication.message();
        let matches = self.find(message.topic_name.as_shared(), cache);
        let mut entries = Vec::new();
        let mut nodes = Cow::Borrowed(matches.nodes.as_slice());
        let sender = origin.sender;
        let is_new = sender.is_none_or(|sender| self.seen.is_new(&sender));
        for matched in &matches.subscribers {
            let Some(merged) = matched.for_publisher(publication.publisher()) else {
                continue;
            };
            let qos = message.qos.min(merged.qos);
            let subscriber = &matched.subscriber;
            if subscriber.is_stored && qos > Qos::AtMostOnce {
                entries.push(NewEntry {
                    session: subscriber.session,
                    options: options(publication, &merged).encode(),
                    share: None,
                });
            } else if let Some(outbox) = subscriber.borrow_outbox().as_ref() {
                if is_new {
                    let delivery = delivery(publication, &merged);
                    self.push_into(outbox, subscriber, delivery);
                }
            } else if let Some(owner) = subscriber.owner()
                && !nodes.contains(&owner)
                && owner != self.node()
            {
                nodes.to_mut().push(owner);
            }
        }
        let mut ticket = Ticket::default();
        for group in &matches.groups {
            ticket = ticket.and(self.share(group, publication, None, &mut entries));
        }
        let is_shared_out = !nodes.is_empty() || !entries.is_empty() || message.retain;
        ticket = ticket.and(self.forward(publication, &nodes, sender));
        ticket = ticket.and(self.store(publication, entries, origin));
        Routed {
            ticket,
            is_matched: !matches.is_empty(),
            is_shared_out,
            is_forwarded: !nodes.is_empty(),
        }
    }

    /// A QoS 2 message that came again and whose packet identifier is stored. What stored sessions get
    /// was stored with it; but the node that had it may have died before it told the others, so it
    /// goes once more to everybody else who has not seen it.
    pub(crate) fn route_again(
        &self,
        publication: &Arc<Publication>,
        sender: Sender,
        cache: &mut TopicCache,
    ) -> Ticket {
        let matches = self.find(publication.message().topic_name.as_shared(), cache);
        if self.seen.is_new(&sender) {
            self.hand_to_connected(&matches, publication);
        }
        self.forward(publication, &matches.nodes, Some(sender))
    }

    /// For sessions connected here that do not get the message through their queue.
    fn hand_to_connected(&self, matches: &Matches, publication: &Arc<Publication>) {
        for matched in &matches.subscribers {
            let subscriber = &matched.subscriber;
            if let Some(merged) = matched.for_publisher(publication.publisher())
                && !(subscriber.is_stored
                    && publication.message().qos.min(merged.qos) > Qos::AtMostOnce)
            {
                self.push(subscriber, delivery(publication, &merged));
            }
        }
    }

    /// What stands for `topic` in the cache, if no route has changed since.
    fn find(&self, topic_name: &Str, cache: &mut TopicCache) -> Arc<Matches> {
        let version = self.version.load(Ordering::Acquire);
        if cache.version != version || cache.topics.len() >= cache.most {
            cache.topics.clear();
            cache.version = version;
        }
        if let Some(matches) = cache.topics.get(topic_name) {
            return Arc::clone(matches);
        }
        let matches = Arc::new(self.matches(topic_name));
        cache
            .topics
            .insert(topic_name.detached(), Arc::clone(&matches));
        matches
    }

    fn matches(&self, topic_name: &Str) -> Matches {
        let routes = self.read();
        let mut places: Vec<&Place> = Vec::new();
        routes
            .tree
            .matches(topic_name, &mut |place| places.push(place));
        Matches::collect(&places)
    }

    /// A message that another node has routed: for sessions connected here that do not get it
    /// through their queue.
    pub(crate) fn receive(
        &self,
        publication: &Arc<Publication>,
        sender: Option<Sender>,
        cache: &mut TopicCache,
    ) {
        if sender.is_some_and(|sender| !self.seen.is_new(&sender)) {
            return;
        }
        let matches = self.find(publication.message().topic_name.as_shared(), cache);
        self.hand_to_connected(&matches, publication);
    }

    /// Puts a delivery in the mailbox of a session connected here, and counts what is dropped.
    pub(super) fn push(&self, subscriber: &Subscriber, delivery: Delivery) -> Pushed {
        match subscriber.borrow_outbox().as_ref() {
            Some(outbox) => self.push_into(outbox, subscriber, delivery),
            None => Pushed::Closed,
        }
    }

    fn push_into(
        &self,
        outbox: &Arc<Outbox>,
        subscriber: &Subscriber,
        delivery: Delivery,
    ) -> Pushed {
        let (session, stored) = (subscriber.session, delivery.stored);
        let bytes = delivery.publication.size_bytes();
        let mut displaced = Vec::new();
        let pushed = outbox.push(delivery, &mut displaced);
        match pushed {
            Pushed::Kept | Pushed::Closed => {}
            Pushed::LeftBehind => self.has_grown(session, &subscriber.growth, bytes),
            Pushed::Dropped => self.lose(session, &subscriber.client_id, outbox, [stored]),
        }
        if !displaced.is_empty() {
            let displaced = displaced.iter().map(|delivery| delivery.stored);
            self.lose(session, &subscriber.client_id, outbox, displaced);
        }
        pushed
    }

    /// The client has released a packet identifier. Tells the other nodes, if they may remember it.
    pub(crate) fn release(&self, session: SessionId, packet_id: u16) -> Ticket {
        self.seen.release(session, packet_id);
        let event = Event::Released { session, packet_id };
        self.cluster.outgoing.broadcast(&event)
    }

    /// Another node says so.
    pub(crate) fn released(&self, session: SessionId, packet_id: u16) {
        self.seen.release(session, packet_id);
    }

    fn forward(
        &self,
        publication: &Arc<Publication>,
        nodes: &[NodeId],
        sender: Option<Sender>,
    ) -> Ticket {
        if nodes.is_empty() {
            return Ticket::default();
        }
        let qos = publication.message().qos;
        if qos == Qos::AtMostOnce && self.cluster.outgoing.is_full() {
            self.metrics.drop_message(Dropped::ForwardFull);
            return Ticket::default();
        }
        self.metrics.forwarded.inc();
        let outgoing = &self.cluster.outgoing;
        let ticket = outgoing.forward(nodes, publication.record(), sender);
        if qos == Qos::AtMostOnce {
            Ticket::default()
        } else {
            ticket
        }
    }

    /// Whether a message is retained; what is not is counted.
    fn may_retain(&self, publication: &Publication) -> bool {
        let message = publication.message();
        let has_room = message.payload.is_empty()
            || self
                .retain
                .has_room(&message.topic_name, publication.size_bytes());
        if !has_room {
            self.metrics.drop_message(Dropped::RetainedFull);
        }
        has_room
    }

    /// Makes durable what must be: entries, the retained message [MQTT-3.3.1-5], the origin.
    fn store(
        &self,
        publication: &Arc<Publication>,
        entries: Vec<NewEntry>,
        origin: Origin,
    ) -> Ticket {
        let message = publication.message();
        let is_retained = message.retain && self.may_retain(publication);
        if entries.is_empty() && !is_retained && origin.received.is_none() && origin.will.is_none()
        {
            return Ticket::default();
        }
        let ticket = self.cluster.durable.add(Urgency::Now, |filling| {
            if !entries.is_empty() {
                filling.enqueue(publication, entries);
            }
            if is_retained {
                // [MQTT-3.3.1-6] [MQTT-3.3.1-7] An empty payload removes.
                let kept = (!message.payload.is_empty()).then_some(publication);
                filling.retain(message.topic_name.as_str(), kept);
            }
            if let Some(received) = origin.received {
                filling.change(|batch| batch.received.push(received));
            }
            if let Some(will) = origin.will {
                filling.change(|batch| batch.wills.push(will));
            }
        });
        if message.qos == Qos::AtMostOnce {
            Ticket::default()
        } else {
            ticket
        }
    }
}

/// For a session connected here that does not get the message through its queue.
fn delivery(publication: &Arc<Publication>, merged: &Merged) -> Delivery {
    let DeliveryOptions { qos, retain, .. } = options_without_identifiers(publication, merged);
    Delivery {
        publication: Arc::clone(publication),
        qos,
        retain,
        identifiers: merged.identifiers.clone(),
        stored: None,
        share: None,
    }
}

/// What the subscriber of `merged` is to see of the message.
pub(super) fn options(publication: &Publication, merged: &Merged) -> DeliveryOptions {
    DeliveryOptions {
        identifiers: merged.identifiers.as_deref().unwrap_or_default().to_vec(),
        ..options_without_identifiers(publication, merged)
    }
}

fn options_without_identifiers(publication: &Publication, merged: &Merged) -> DeliveryOptions {
    let message = publication.message();
    DeliveryOptions {
        // [MQTT-3.8.4-8]
        qos: message.qos.min(merged.qos),
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        retain: message.retain && merged.retain_as_published,
        identifiers: Vec::new(),
    }
}
