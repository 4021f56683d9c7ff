//! Each event, to the room it is for.

use std::sync::Arc;

use bytes::Bytes;
use ibc::{NodeId, event::Event};
use tracing::warn;

use super::{
    Feed,
    learn::{adopt, disown},
};
use crate::{delivery::Publication, telemetry::chain};

impl Feed {
    pub(super) fn apply(&mut self, source: NodeId, event: Event) {
        let router = &self.rooms.router;
        let is_dead = self.dead.contains(&source);
        match event {
            Event::Hello => self.greet(source),
            Event::Welcome => {
                if let Some(awaited) = &mut self.awaited {
                    awaited.remove(&source);
                }
            }
            Event::Sync(number) => {
                self.rooms
                    .cluster
                    .outgoing
                    .send(source, &Event::Confirm(number));
            }
            Event::Confirm(number) => self.rooms.cluster.outgoing.confirm(source, number),
            // What a dead node had is gone; its last frames must not bring it back.
            Event::RouteAdded(_) | Event::MemberAdded(_) if is_dead => {}
            Event::RouteAdded(filter) => router.set_route(source, &filter, true),
            Event::RouteRemoved(filter) => router.set_route(source, &filter, false),
            Event::MemberAdded(member) => router.member_added(source, member),
            Event::MemberRemoved { session, filter } => router.member_removed(session, &filter),
            Event::SessionClaimed(claimed) => {
                let (session, epoch, owner) = (claimed.session, claimed.epoch, claimed.owner);
                router.session_claimed(claimed);
                if self.dead.contains(&owner) {
                    router.session_detached(session, epoch);
                }
            }
            Event::Subscribed {
                session,
                epoch,
                subscription,
            } => {
                router.subscribed(session, epoch, &subscription);
            }
            Event::Unsubscribed {
                session,
                epoch,
                filter,
            } => {
                router.unsubscribed(session, epoch, &filter);
            }
            Event::SessionDetached { session, epoch } => router.session_detached(session, epoch),
            Event::SessionEnded { session, epoch } => router.ended(session, epoch),
            Event::Message(record) => {
                let publication = Arc::new(Publication::from_record(record));
                router.receive(&publication, self.sender.take(), &mut self.topics);
            }
            Event::Sender(sender) => self.sender = Some(sender),
            Event::Released { session, packet_id } => router.released(session, packet_id),
            Event::Direct {
                session,
                options,
                record,
            } => {
                if let Some(publication) = decode(source, record) {
                    router.direct(session, options, publication);
                }
            }
            Event::Queued(queued) => router.queued(source, queued),
            Event::Poke(session) => router.poke(session),
            Event::Evict {
                client_id,
                epoch,
                is_resumed,
            } => {
                let rooms = Arc::clone(&self.rooms);
                rooms.clone().shutdown.spawn(async move {
                    rooms.registry.evict(&client_id, epoch, is_resumed).await;
                    rooms
                        .cluster
                        .outgoing
                        .send(source, &Event::Evicted { client_id, epoch });
                });
            }
            Event::Evicted { client_id, epoch } => {
                self.rooms.cluster.evictions.finish(&client_id, epoch);
            }
            Event::Retained {
                topic_name,
                version,
                record,
            } => {
                // It stays for long, and must not keep a whole frame in memory.
                let publication = record
                    .as_deref()
                    .and_then(|record| decode(source, Bytes::copy_from_slice(record)));
                if publication.is_some() || record.is_none() {
                    self.rooms.retain.apply(&topic_name, version, publication);
                }
            }
            Event::Buried(node) => self.gone(node),
            Event::Applied(sequence) => {
                self.rooms.cluster.outgoing.applied(source, sequence);
                self.rooms.cluster.progress.nudge();
            }
        }
    }

    /// A node joins: it gets our routes, and every change from now on.
    fn greet(&mut self, source: NodeId) {
        self.rooms.cluster.outgoing.add_peer(source);
        self.rooms.router.tell(source);
        self.rooms.cluster.outgoing.send(source, &Event::Welcome);
    }

    /// A node is dead: nothing is expected of it any more.
    pub(super) fn gone(&mut self, node: NodeId) {
        if node == self.rooms.cluster.node || !self.dead.insert(node) {
            return;
        }
        // It may have set retained messages and told nobody. Before anybody is let go who waits for it.
        self.rooms.cluster.set_caught_up(false);
        self.must_catch_up = true;
        self.rooms.cluster.outgoing.remove_peer(node);
        self.rooms.router.node_gone(node);
        self.rooms.cluster.evictions.give_up(node);
        // It may have committed messages and told nobody.
        self.rooms.router.poke_all();
        if self.is_learned {
            self.rooms.shutdown.spawn(adopt(Arc::clone(&self.rooms)));
            self.rooms.shutdown.spawn(disown(Arc::clone(&self.rooms)));
        }
        if let Some(awaited) = &mut self.awaited {
            awaited.remove(&node);
        }
    }
}

fn decode(source: NodeId, record: Bytes) -> Option<Arc<Publication>> {
    match Publication::decode(record) {
        Ok(publication) => Some(Arc::new(publication)),
        Err(error) => {
            warn!(node_id = %source, error = %chain(&error), "unreadable message from another node");
            None
        }
    }
}
