//! Shared subscriptions: each message to one member in the whole cluster (section 4.8.2).

use std::sync::Arc;

use ibc::{DeliveryOptions, Moved, NewEntry, SessionId, SharedEntry, event::Event};
use mqtt::{Qos, Str};
use tracing::warn;

use super::{
    Router,
    place::Subscription,
    publish::options,
    subscriber::{Group, Merged},
};
use crate::{
    cluster::{Ticket, Urgency},
    delivery::{Delivery, Publication, Pushed, Stored, identifiers},
    telemetry::{Dropped, chain},
};

/// A message of a shared subscription whose receiver has gone away.
pub(crate) struct Orphan {
    /// The session in whose queue it is.
    pub(crate) from: SessionId,
    /// Whether that session goes on.
    pub(crate) is_stored: bool,
    pub(crate) stored: Stored,
    /// The shared subscription.
    pub(crate) share: Str,
}

impl Router {
    /// Gives a message to the member whose turn it is, never to `except`. What must become
    /// durable is added to `entries`.
    pub(super) fn share(
        &self,
        group: &Group,
        publication: &Arc<Publication>,
        except: Option<SessionId>,
        entries: &mut Vec<NewEntry>,
    ) -> Ticket {
        let Some(member) = group.pick(except) else {
            self.metrics.drop_message(Dropped::NoMember);
            return Ticket::default();
        };
        let merged = merged(member);
        let session = member.subscriber.session;
        let delivery = options(publication, &merged);
        let is_here = member.subscriber.owner() == Some(self.node());
        if delivery.qos > Qos::AtMostOnce && !group.is_volatile(self.node()) {
            // Through its queue, so that it outlives the node of the member.
            if entries.iter().any(|entry| entry.session == session) {
                // A session gets one entry of a message: a second one goes by itself.
                return self.store_alone(group, publication, member);
            }
            entries.push(entry(group, session, &delivery));
            return Ticket::default();
        }
        if is_here {
            let delivery = Delivery {
                publication: Arc::clone(publication),
                qos: delivery.qos,
                retain: delivery.retain,
                identifiers: merged.identifiers,
                stored: None,
                share: Some(group.filter.clone()),
            };
            if self.push(&member.subscriber, delivery) == Pushed::Closed && except.is_none() {
                // It has gone away this moment.
                return self.share(group, publication, Some(session), entries);
            }
            return Ticket::default();
        }
        let Some(owner) = member.subscriber.owner() else {
            self.metrics.drop_message(Dropped::NoMember);
            return Ticket::default();
        };
        let (options, record) = (delivery.encode(), publication.encoded());
        let event = Event::Direct {
            session,
            options,
            record,
        };
        self.cluster.outgoing.send_to(&[owner], &event);
        Ticket::default()
    }

    fn store_alone(
        &self,
        group: &Group,
        publication: &Arc<Publication>,
        member: &Subscription,
    ) -> Ticket {
        let delivery = options(publication, &merged(member));
        let entry = entry(group, member.subscriber.session, &delivery);
        self.cluster.durable.add(Urgency::Now, |filling| {
            filling.enqueue(publication, vec![entry])
        })
    }

    /// Gives to another member what a session had of shared subscriptions in memory only and has
    /// not acknowledged.
    pub(crate) fn give_back(&self, session: SessionId, rest: Vec<Delivery>) {
        for delivery in rest {
            let (Some(share), None) = (&delivery.share, delivery.stored) else {
                continue;
            };
            let Some(group) = self.group(share) else {
                self.metrics.drop_message(Dropped::NoMember);
                continue;
            };
            let mut entries = Vec::new();
            self.share(&group, &delivery.publication, Some(session), &mut entries);
            if !entries.is_empty() {
                self.cluster.durable.add(Urgency::Now, |filling| {
                    filling.enqueue(&delivery.publication, entries);
                });
            }
        }
    }

    /// Gives to another member a message in the queue of a session that has gone away. Without a
    /// connected one a stored session keeps it, and another loses it.
    pub(crate) fn pass_on(&self, orphan: &Orphan, publication: &Arc<Publication>) {
        let Orphan {
            from,
            is_stored,
            stored,
            share,
        } = orphan;
        let group = self.group(share);
        let member = group.as_ref().and_then(|group| {
            let member = group.pick(Some(*from))?;
            let is_better = !is_stored || member.subscriber.owner().is_some();
            is_better.then_some((group, member))
        });
        if let Some((group, member)) = member {
            let delivery = options(publication, &merged(member));
            let moved = Moved {
                from: *from,
                entry: stored.entry,
                message: stored.message,
                to: entry(group, member.subscriber.session, &delivery),
            };
            self.cluster.durable.add(Urgency::Now, |filling| {
                filling.move_entry(publication, moved)
            });
        } else if !is_stored {
            self.metrics.drop_message(Dropped::NoMember);
            let done = ibc::Acknowledged {
                session: *from,
                entry: stored.entry,
                message: stored.message,
            };
            self.cluster.durable.add(Urgency::Later, |filling| {
                filling.change(|batch| batch.acknowledged.push(done));
            });
        }
    }

    /// Gives to other members what the sessions of a dead node had not acknowledged.
    pub(crate) fn inherit(&self, entries: Vec<SharedEntry>) {
        for entry in entries {
            let publication = match Publication::decode(entry.body) {
                Ok(publication) => Arc::new(publication),
                Err(error) => {
                    warn!(error = %chain(&error), "unreadable message in a queue");
                    continue;
                }
            };
            let stored = Stored {
                source: self.node(),
                entry: entry.entry,
                message: entry.message,
                packet_id: None,
                is_released: false,
            };
            let Ok(share) = Str::new(&entry.share) else {
                continue;
            };
            let is_stored = self.subscriber(entry.session).is_some();
            let orphan = Orphan {
                from: entry.session,
                is_stored,
                stored,
                share,
            };
            self.pass_on(&orphan, &publication);
        }
    }

    fn group(&self, filter: &Str) -> Option<Arc<Group>> {
        self.read().groups.get(filter).cloned()
    }
}

fn merged(member: &Subscription) -> Merged {
    Merged {
        qos: member.options.qos,
        retain_as_published: member.options.retain_as_published,
        identifiers: identifiers(member.identifier().into_iter().collect()),
    }
}

fn entry(group: &Group, session: SessionId, delivery: &DeliveryOptions) -> NewEntry {
    NewEntry {
        session,
        options: delivery.encode(),
        share: Some(group.filter.as_str().to_owned()),
    }
}
