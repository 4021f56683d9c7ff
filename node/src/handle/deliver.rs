//! PUBLISH to a client: what waits in its mailbox, as far as its window and buffer let it.

use std::sync::Arc;

use ibc::{Acknowledged, DeliveryOptions, QueuedEntry, Sent};
use mqtt::{Ack, Packet, PacketId, PacketType, PublishHeader, Qos, ReasonCode, Str};
use tracing::warn;

use super::{Context, Rooms};
use crate::{
    cluster::{Ticket, Urgency},
    delivery::{Control, Delivery, Publication, QueuePage, Stored, identifiers},
    session::{Owed, Phase, Session},
    telemetry::{Dropped, Flow, chain},
};

/// Output above which no more is taken from the mailbox.
const HIGH_WATER: usize = 256 * 1024;
/// Messages taken at once.
const ROUND: usize = 256;
/// Retained messages taken at once.
const RETAINED: usize = 32;

/// Writes what waits for the client, as far as there is room. Without `has_news` in the mailbox there is
/// only what was left the last time. Returns how many messages were taken out.
pub(crate) fn deliver(cx: &mut Context<'_>, has_news: bool) -> usize {
    let mut taken = 0;
    if !has_news && !cx.session.has_backlog && cx.session.retained.is_empty() {
        return taken;
    }
    cx.session.has_backlog = true;
    let mut round = Vec::new();
    while cx.output.len() < HIGH_WATER {
        while let Some(delivery) = next_retained(cx) {
            send(cx, delivery);
            if cx.output.len() >= HIGH_WATER {
                return taken;
            }
        }
        let room = cx.session.window.room();
        let is_more = cx.session.outbox.take(room, ROUND, &mut round);
        if round.is_empty() {
            cx.session.has_backlog = is_more;
            return taken;
        }
        taken += round.len();
        for delivery in round.drain(..) {
            send(cx, delivery);
        }
    }
    taken
}

/// The next retained message that a SUBSCRIBE has found, if there is room for it in the window.
fn next_retained(cx: &mut Context<'_>) -> Option<Delivery> {
    let found = &mut cx.session.retained;
    while found.next.is_empty() {
        let walk = found.walks.front_mut()?;
        // A stored session has those above QoS 0 in its queue.
        let wanted = |publication: &Arc<Publication>| {
            let qos = publication.message().qos.min(walk.qos);
            (!(cx.session.is_stored && qos > Qos::AtMostOnce)).then_some(qos)
        };
        let step = walk.walk.take(&cx.rooms.retain, RETAINED);
        found
            .next
            .extend(step.into_iter().filter_map(|publication| {
                Some(Delivery {
                    qos: wanted(&publication)?,
                    publication,
                    retain: true,
                    identifiers: walk.identifiers.clone(),
                    stored: None,
                    share: None,
                })
            }));
        if walk.walk.is_done() {
            found.walks.pop_front();
        }
    }
    let is_held = found.next.front()?.qos > Qos::AtMostOnce && cx.session.window.room() == 0;
    if is_held {
        return None;
    }
    found.next.pop_front()
}

/// Writes what is owed to the client and has been committed, in order.
pub(crate) fn settle(cx: &mut Context<'_>, now: Ticket) {
    // A node that lost its lease may have missed subscriptions: it acknowledges nothing
    // (guarantee G8).
    while cx.rooms.cluster.may_acknowledge()
        && let Some((ticket, _)) = cx.session.owed.front()
    {
        if !ticket.is_reached(now) {
            return;
        }
        match cx.session.owed.pop_front() {
            Some((_, Owed::Acknowledge(packet_type, packet_id, reason_code))) => {
                acknowledge(cx, packet_type, Ack::new(packet_id, reason_code));
            }
            Some((_, Owed::Publish(packet_id))) => {
                cx.session.window.set_phase(packet_id, Phase::Published);
                let delivery = cx
                    .session
                    .window
                    .get(packet_id)
                    .map(|in_flight| in_flight.delivery.clone());
                if let Some(delivery) = delivery {
                    write(cx, &delivery, Some(packet_id), false);
                }
            }
            None => {}
        }
    }
}

fn acknowledge(cx: &mut Context<'_>, packet_type: PacketType, ack: Ack) {
    let packet = match packet_type {
        PacketType::PubAck => {
            cx.session.unacknowledged = cx.session.unacknowledged.saturating_sub(1);
            Packet::PubAck(ack)
        }
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    };
    cx.send(&packet);
}

fn send(cx: &mut Context<'_>, delivery: Delivery) {
    if let Some(reason) = unwanted(cx.session, &delivery) {
        cx.rooms.metrics.drop_message(reason);
        forget(cx, &delivery);
        return;
    }
    if delivery.qos == Qos::AtMostOnce {
        write(cx, &delivery, None, false);
        return;
    }
    let earlier = delivery.stored.filter(|stored| stored.packet_id.is_some());
    let phase = match (delivery.qos, delivery.stored, earlier) {
        (_, _, Some(stored)) if stored.is_released => Phase::Received,
        // The packet identifier must be known after a crash, or the message could come twice.
        (Qos::ExactlyOnce, Some(_), None) => Phase::Storing,
        _ => Phase::Published,
    };
    let Some(packet_id) = cx.session.window.free_id(&delivery) else {
        return;
    };
    match phase {
        Phase::Published => write(cx, &delivery, Some(packet_id), earlier.is_some()),
        // [MQTT-4.4.0-1] PUBREL is sent again with its packet identifier.
        Phase::Received => {
            cx.send(&Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)));
        }
        Phase::Storing => {
            let Some(Stored { entry, .. }) = delivery.stored else {
                return;
            };
            let sent = Sent {
                session: cx.session.id,
                entry,
                packet_id: packet_id.get(),
            };
            let ticket = cx.rooms.cluster.durable.add(Urgency::Now, |filling| {
                filling.change(|batch| batch.sent.push(sent));
            });
            cx.session
                .owed
                .push_back((ticket, Owed::Publish(packet_id)));
        }
    }
    cx.session.window.insert(packet_id, delivery, phase);
}

/// Why the client is not sent this message. One that was sent before goes on to its end
/// [MQTT-4.3.3-7], and of one that it has received only PUBREL is left to send.
fn unwanted(session: &Session, delivery: &Delivery) -> Option<Dropped> {
    if delivery.stored.is_some_and(|stored| stored.is_released) {
        return None;
    }
    let is_new = delivery
        .stored
        .is_none_or(|stored| stored.packet_id.is_none());
    if is_new && delivery.publication.remaining_expiry() == Some(0) {
        return Some(Dropped::Expired); // [MQTT-3.3.2-5]
    }
    if session.maximum_packet_size == u32::MAX {
        return None;
    }
    let size = mqtt::publish_size(&header(delivery, PacketId::new(1), false), session.version);
    // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
    (!session.accepts(size)).then_some(Dropped::TooLarge)
}

fn header(delivery: &Delivery, packet_id: Option<PacketId>, dup: bool) -> PublishHeader<'_> {
    let message = delivery.publication.message();
    PublishHeader {
        dup,
        qos: delivery.qos,
        retain: delivery.retain,
        packet_id: packet_id.filter(|_| delivery.qos > Qos::AtMostOnce),
        topic_name: message.topic_name.as_str(),
        topic_alias: None,
        message_expiry_interval: delivery.publication.remaining_expiry(), // [MQTT-3.3.2-6]
        subscription_identifiers: delivery.identifiers.as_deref().unwrap_or_default(),
        properties: &message.properties,
        payload_bytes: message.payload.len(),
    }
}

/// Writes the packet; the payload is copied once, into the output of the connection.
fn write(cx: &mut Context<'_>, delivery: &Delivery, packet_id: Option<PacketId>, dup: bool) {
    let message = delivery.publication.message();
    let mut header = header(delivery, packet_id, dup);
    // A new alias makes the packet three bytes longer, which it may not have [MQTT-3.1.2-24].
    let has_room = cx.session.maximum_packet_size == u32::MAX
        || cx
            .session
            .accepts(mqtt::publish_size(&header, cx.session.version) + 3);
    if has_room
        && let Some((alias, is_known)) = cx
            .session
            .outbound_aliases
            .alias(message.topic_name.as_shared())
    {
        header.topic_alias = Some(alias);
        if is_known {
            header.topic_name = "";
        }
    }
    match mqtt::encode_publish_header(&header, cx.session.version, cx.output) {
        Ok(()) => {
            cx.output.extend_from_slice(&message.payload);
            let tally = &mut cx.session.tally;
            tally.add(Flow::PayloadSent, message.payload.len());
            tally.count(Flow::PublishSent(delivery.qos));
        }
        Err(error) => {
            warn!(client_id = %cx.session.client_id, error = %chain(&error), "message not sent");
        }
    }
}

fn forget(cx: &mut Context<'_>, delivery: &Delivery) {
    if let Some(stored) = delivery.stored {
        let done = Acknowledged {
            session: cx.session.id,
            entry: stored.entry,
            message: stored.message,
        };
        cx.rooms.cluster.durable.add(Urgency::Later, |filling| {
            filling.change(|batch| batch.acknowledged.push(done));
        });
    }
}

/// If the database holds more for the client and there is room: asks for a page of it, which
/// comes as a word in the mailbox.
pub(crate) fn ask_for_page(rooms: &Arc<Rooms>, session: &mut Session) {
    if session.is_paging || !session.has_backlog {
        return;
    }
    let Some(seen) = session.outbox.start_page() else {
        return;
    };
    session.is_paging = true;
    let (id, outbox) = (session.id, Arc::clone(&session.outbox));
    let is_first = !std::mem::replace(&mut session.is_settled, true);
    let rooms = Arc::clone(rooms);
    rooms.clone().shutdown.spawn(async move {
        if is_first {
            // From here on every node sends the session's messages this way.
            rooms.cluster.barrier().await;
        }
        let mut must_count = is_first;
        let page = loop {
            match rooms.cluster.queued(id, &seen).await {
                // More than may wait: it is cut back before the client gets any of it.
                Ok(page) if must_count && rooms.router.is_surplus(&page) => {
                    must_count = false;
                    rooms.router.trim(id).await;
                }
                Ok(page) => break page,
                Err(error) if error.is_transient() && !outbox.is_closing() => {
                    warn!(error = %chain(&error), "queue not read, will repeat");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                Err(error) => {
                    warn!(error = %chain(&error), "queue not read");
                    outbox.control(Control::Close(ReasonCode::UnspecifiedError));
                    return;
                }
            }
        };
        outbox.control(Control::Page(page));
    });
}

/// Takes a page of the queue in.
pub(crate) fn page(cx: &mut Context<'_>, page: QueuePage) {
    let session = &mut *cx.session;
    session.is_paging = false;
    let packet_ids = page.entries.iter().filter_map(|entry| entry.packet_id);
    session
        .window
        .reserve(packet_ids.chain(page.reserved.iter().copied()));
    let gone = session
        .outbox
        .finish_page(page, |entry| match delivery(entry) {
            Ok(delivery) => Some(delivery),
            Err(error) => {
                warn!(error = %chain(&error), "unreadable message in a queue");
                None
            }
        });
    let gone = gone.iter().map(|delivery| delivery.stored);
    cx.rooms
        .router
        .lose(session.id, &session.client_id, &session.outbox, gone);
}

fn delivery(entry: QueuedEntry) -> Result<Delivery, ibc::RecordError> {
    let options = DeliveryOptions::decode(entry.options)?;
    Ok(Delivery {
        publication: Arc::new(Publication::decode(entry.body)?),
        qos: options.qos,
        retain: options.retain,
        identifiers: identifiers(options.identifiers),
        stored: Some(Stored {
            source: entry.source,
            entry: entry.entry,
            message: entry.message,
            packet_id: entry.packet_id,
            is_released: entry.is_released,
        }),
        share: entry.share.and_then(|share| Str::new(share).ok()),
    })
}
