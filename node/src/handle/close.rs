//! The end of a connection: DISCONNECT (section 3.14), or whatever else it was.

use std::sync::Arc;

use ahash::AHashSet;
use ibc::{Detached, EntryId, Sent, WillFate, WillKey};
use mqtt::{Disconnect, Qos, ReasonCode, Str};
use tracing::warn;

use super::{Context, Reject, Rooms};
use crate::{
    cluster::Urgency,
    delivery::{Publication, Stored},
    router::{Origin, Orphan, TopicCache},
    session::{Phase, Session},
    telemetry::chain,
};

/// Pause before the database is asked again.
const REPEAT: std::time::Duration = std::time::Duration::from_millis(200);

/// Why a connection ends, as far as it matters for what comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Whatever it was, a Will is due.
    Ended,
    /// Another connection has claimed the client.
    TakenOver {
        /// Whether the session goes on there.
        is_resumed: bool,
    },
}

/// DISCONNECT: deletes the Will if its reason code is 0 [MQTT-3.14.4-3], and may change the
/// Session Expiry Interval.
///
/// # Errors
///
/// [`Reject`] if a session that ends with the connection is to be kept (section 3.14.2.2.2). Such
/// a DISCONNECT counts for nothing else: the Will stays.
pub(super) fn disconnect(cx: &mut Context<'_>, packet: &Disconnect) -> Result<(), Reject> {
    if let Some(seconds) = packet.properties.session_expiry_interval {
        if !cx.session.is_stored && seconds > 0 {
            return Err(Reject::Protocol(
                "DISCONNECT sets a session expiry interval that CONNECT had as 0",
            ));
        }
        cx.session.has_new_expiry = true;
        cx.session.expiry_interval = cx.rooms.config.mqtt.session_expiry(seconds);
    }
    if packet.reason_code == ReasonCode::Success {
        cx.session.will = None;
    }
    Ok(())
}

/// Puts the session away: what must outlive the connection becomes durable, the Will is published
/// or left to its delay, and shared subscriptions give back what was not acknowledged. Whoever
/// waits for the client ID goes on when this returns. Not cancel safe.
pub(crate) async fn close(rooms: &Arc<Rooms>, mut session: Session, cause: Cause) {
    let mut rest = session.outbox.close();
    let is_over = session.expiry_interval == 0 || cause == Cause::TakenOver { is_resumed: false };
    rooms.router.detach(session.id, session.epoch);
    let will = fate(rooms, &mut session, cause, is_over);
    let in_flight = session.window.take_all();
    let mut sent = Vec::new();
    let mut kept = AHashSet::new();
    for (packet_id, in_flight) in in_flight {
        let delivery = in_flight.delivery;
        if let Some(stored) = delivery.stored
            && delivery.share.is_none()
            && in_flight.phase == Phase::Published
            && delivery.qos == Qos::AtLeastOnce
        {
            // [MQTT-4.4.0-1] It is sent again with its packet identifier.
            let entry = stored.entry;
            sent.push(Sent {
                session: session.id,
                entry,
                packet_id: packet_id.get(),
            });
        }
        match (delivery.qos, delivery.stored) {
            // [MQTT-4.8.2-5] It was sent: no other member may get it.
            (Qos::ExactlyOnce, Some(stored)) => {
                kept.insert(stored.entry);
            }
            (Qos::ExactlyOnce, None) => {}
            (Qos::AtMostOnce | Qos::AtLeastOnce, _) => rest.push(delivery),
        }
    }
    if session.is_stored && !is_over && !sent.is_empty() {
        rooms.cluster.durable.add(Urgency::Later, |filling| {
            filling.change(|batch| batch.sent.extend(sent));
        });
    }
    if session.has_shared {
        rooms.router.give_back(session.id, rest);
        give_back(rooms, &session, is_over, &kept).await;
    }
    if session.has_published {
        // Guarantee G4: what the client publishes through another node must not overtake this.
        rooms
            .cluster
            .progress
            .reach(rooms.cluster.durable.everything())
            .await;
        rooms.cluster.barrier().await;
    }
    let detached = Detached {
        session: session.id,
        client_id: session.client_id.as_str().to_owned(),
        epoch: session.epoch,
        expiry_interval: session.expiry_interval,
        will,
    };
    let urgency = if cause == Cause::Ended && !session.is_stored && !session.has_stored_will {
        Urgency::Later
    } else {
        Urgency::Now
    };
    let ticket = rooms.cluster.durable.add(urgency, |filling| {
        filling.change(|batch| batch.detached.push(detached));
    });
    rooms.cluster.progress.reach(ticket).await;
    if session.is_stored && session.expiry_interval == 0 {
        rooms.router.end(session.id, session.epoch);
    }
    rooms.registry.finish(&session.client_id, session.epoch);
}

/// What becomes of the Will [MQTT-3.1.2-8] [MQTT-3.1.3-9]; it is published here if it is due.
fn fate(rooms: &Rooms, session: &mut Session, cause: Cause, is_over: bool) -> WillFate {
    let Some(will) = session.will.take() else {
        return WillFate::Discard;
    };
    if will.delay_interval > 0 && !is_over {
        return match cause {
            Cause::Ended => WillFate::Delay,
            Cause::TakenOver { .. } => WillFate::Discard,
        };
    }
    let publication = Arc::new(Publication::new(session.client_id.clone(), will.message));
    let key = WillKey {
        client_id: session.client_id.as_str().to_owned(),
        epoch: session.epoch,
    };
    let origin = Origin::will(key);
    rooms.metrics.wills.inc();
    rooms
        .router
        .route(&publication, origin, &mut TopicCache::default());
    WillFate::Discard
}

/// Shared subscriptions: what this client had and did not acknowledge goes to other members
/// (guarantee G7), except QoS 2 messages that it was sent [MQTT-4.8.2-5].
async fn give_back(rooms: &Arc<Rooms>, session: &Session, is_over: bool, kept: &AHashSet<EntryId>) {
    rooms
        .cluster
        .progress
        .reach(rooms.cluster.durable.everything())
        .await;
    let mut seen = Vec::new();
    loop {
        let page = match rooms.cluster.queued(session.id, &seen).await {
            Ok(page) => page,
            Err(error) if error.is_transient() => {
                warn!(error = %chain(&error), "queue not read, will repeat");
                tokio::time::sleep(REPEAT).await;
                continue;
            }
            Err(error) => {
                warn!(client_id = %session.client_id, error = %chain(&error), "shared messages not given back");
                return;
            }
        };
        for entry in page.entries {
            seen.retain(|(source, _)| *source != entry.source);
            seen.push((entry.source, entry.entry));
            if kept.contains(&entry.entry) {
                continue;
            }
            let Some(share) = entry.share.and_then(|share| Str::new(share).ok()) else {
                continue;
            };
            let stored = Stored {
                source: entry.source,
                entry: entry.entry,
                message: entry.message,
                packet_id: entry.packet_id,
                is_released: entry.is_released,
            };
            if let (None, Ok(publication)) = (entry.packet_id, Publication::decode(entry.body)) {
                let publication = Arc::new(publication);
                let orphan = Orphan {
                    from: session.id,
                    is_stored: !is_over,
                    stored,
                    share,
                };
                rooms.router.pass_on(&orphan, &publication);
            }
        }
        if !page.is_cut {
            break;
        }
    }
    rooms
        .cluster
        .progress
        .reach(rooms.cluster.durable.everything())
        .await;
}
