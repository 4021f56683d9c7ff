//! What happens once a batch is durable: its messages go to the sessions that are connected now.

use std::sync::Arc;

use ahash::AHashMap;
use ibc::{
    DeliveryOptions, EntryId, MessageId, Moved, NewEntry, NodeId, SessionId,
    event::{Event, Queued, QueuedTarget},
};
use mqtt::Str;
use tracing::warn;

use super::{Router, share::Orphan};
use crate::{
    cluster::Written,
    delivery::{Control, Delivery, Publication, Pushed, Stored, identifiers},
    telemetry::chain,
};

impl Router {
    /// Hands on what has become durable: to sessions here, to nodes that own the others, to the
    /// retained messages of all nodes.
    ///
    /// The owner of a session is looked up now and not when the message was routed: a session
    /// that moved in between would be left asleep.
    pub(crate) fn landed(&self, written: &Written) {
        for (session, entry) in written.moved_on() {
            let subscriber = self.subscriber(*session);
            if let Some(outbox) = subscriber.and_then(|subscriber| subscriber.outbox()) {
                outbox.control(Control::Withdraw(*entry));
            }
        }
        for (id, entries, publication) in written.messages() {
            self.entries_landed(MessageId(id), EntryId(id), entries, publication);
        }
        for (id, moved, publication) in written.moved() {
            self.moved_landed(EntryId(id), moved, publication);
        }
        for (version, topic_name, publication) in written.retained() {
            // A copy with a buffer of its own: the message shares that of its publisher's packets.
            let kept = publication
                .and_then(|publication| Publication::decode(publication.encoded()).ok())
                .map(Arc::new);
            self.retain.apply(topic_name, version, kept);
            if let Ok(topic_name) = Str::new(topic_name) {
                let record = publication.map(|publication| publication.encoded());
                let event = Event::Retained {
                    topic_name,
                    version,
                    record,
                };
                self.cluster.outgoing.broadcast(&event);
            }
        }
    }

    /// An entry has gone to another session, unless it was not there any more: the new one looks
    /// into its queue, so that it finds only what it really got.
    fn moved_landed(&self, entry: EntryId, moved: &Moved, publication: &Arc<Publication>) {
        let session = moved.to.session;
        let subscriber = self.subscriber(session);
        match subscriber
            .as_ref()
            .and_then(|subscriber| subscriber.owner())
        {
            Some(owner) if owner == self.node() => self.poke(session),
            Some(owner) => {
                self.cluster.outgoing.send(owner, &Event::Poke(session));
            }
            None if subscriber.is_some_and(|subscriber| subscriber.is_stored) => {}
            None => {
                // It has gone away, too.
                let Some(share) = moved
                    .to
                    .share
                    .as_deref()
                    .and_then(|share| Str::new(share).ok())
                else {
                    return;
                };
                let stored = Stored {
                    source: self.node(),
                    entry,
                    message: moved.message,
                    packet_id: None,
                    is_released: false,
                };
                let orphan = Orphan {
                    from: session,
                    is_stored: false,
                    stored,
                    share,
                };
                self.pass_on(&orphan, publication);
            }
        }
    }

    fn entries_landed(
        &self,
        message: MessageId,
        entry: EntryId,
        entries: &[NewEntry],
        publication: &Arc<Publication>,
    ) {
        let mut remote: AHashMap<NodeId, Vec<QueuedTarget>> = AHashMap::new();
        for new in entries {
            let share = new.share.as_deref().and_then(|share| Str::new(share).ok());
            let target = QueuedTarget {
                session: new.session,
                options: new.options.clone(),
                share,
            };
            match self
                .subscriber(new.session)
                .and_then(|subscriber| subscriber.owner())
            {
                Some(owner) if owner != self.node() => {
                    remote.entry(owner).or_default().push(target);
                }
                _ => self.take_in(self.node(), (message, entry), target, publication),
            }
        }
        for (owner, targets) in remote {
            let queued = Queued {
                entry,
                message,
                targets,
                record: publication.encoded(),
            };
            self.cluster.outgoing.send(owner, &Event::Queued(queued));
        }
    }

    /// Another node has committed a message to queues of sessions connected here. A session that
    /// has moved on since is poked where it is now.
    pub(crate) fn queued(&self, source: NodeId, queued: Queued) {
        let publication = match Publication::decode(queued.record) {
            Ok(publication) => Arc::new(publication),
            Err(error) => {
                warn!(error = %chain(&error), "unreadable message from another node");
                return;
            }
        };
        for target in queued.targets {
            let session = target.session;
            match self
                .subscriber(session)
                .and_then(|subscriber| subscriber.owner())
            {
                Some(owner) if owner != self.node() => {
                    self.cluster.outgoing.send(owner, &Event::Poke(session));
                }
                _ => self.take_in(source, (queued.message, queued.entry), target, &publication),
            }
        }
    }

    /// There may be more in the queue of a session of this node than came by.
    pub(crate) fn poke(&self, session: SessionId) {
        if let Some(outbox) = self
            .subscriber(session)
            .and_then(|subscriber| subscriber.outbox())
        {
            outbox.control(Control::Poke);
        }
    }

    /// The same for all stored sessions connected here: a node died that may have committed
    /// messages and told nobody.
    pub(crate) fn poke_all(&self) {
        for known in self.read().sessions.values() {
            if let Some(outbox) = known.subscriber.outbox() {
                outbox.control(Control::Poke);
            }
        }
    }

    /// A QoS 0 message of a shared subscription for a session connected here.
    pub(crate) fn direct(
        &self,
        session: SessionId,
        options: bytes::Bytes,
        publication: Arc<Publication>,
    ) {
        let Ok(options) = DeliveryOptions::decode(options) else {
            return;
        };
        if let Some(subscriber) = self.subscriber(session) {
            let delivery = Delivery {
                publication,
                qos: options.qos,
                retain: options.retain,
                identifiers: identifiers(options.identifiers),
                stored: None,
                share: None,
            };
            self.push(&subscriber, delivery);
        }
    }

    fn take_in(
        &self,
        source: NodeId,
        (message, entry): (MessageId, EntryId),
        target: QueuedTarget,
        publication: &Arc<Publication>,
    ) {
        let Ok(options) = DeliveryOptions::decode(target.options) else {
            return;
        };
        let stored = Stored {
            source,
            entry,
            message,
            packet_id: None,
            is_released: false,
        };
        let share = target.share.clone();
        let delivery = Delivery {
            publication: Arc::clone(publication),
            qos: options.qos,
            retain: options.retain,
            identifiers: identifiers(options.identifiers),
            stored: Some(stored),
            share: target.share,
        };
        let subscriber = self.subscriber(target.session);
        let is_stored = subscriber
            .as_ref()
            .is_some_and(|subscriber| subscriber.is_stored);
        let bytes = publication.size_bytes();
        let pushed = subscriber.map_or(Pushed::Closed, |known| {
            let pushed = self.push(&known, delivery);
            if pushed == Pushed::Closed && known.is_stored && source == self.node() {
                self.has_grown(target.session, &known.growth, bytes);
            }
            pushed
        });
        if let (Pushed::Closed, Some(share)) = (pushed, share) {
            // It was chosen and has gone away since.
            let orphan = Orphan {
                from: target.session,
                is_stored,
                stored,
                share,
            };
            self.pass_on(&orphan, publication);
        }
    }
}
