//! PUBACK, PUBREC, PUBREL and PUBCOMP from a client (sections 3.4 to 3.7, 4.3).

use ibc::Acknowledged;
use mqtt::{Ack, PacketId, PacketType, Qos, ReasonCode};

use super::Context;
use crate::{
    cluster::{Ticket, Urgency},
    session::{InFlight, Owed, Phase},
};

/// PUBACK: a QoS 1 message is done [MQTT-4.3.2-3]. One that we do not know is ignored.
pub(super) fn puback(cx: &mut Context<'_>, ack: &Ack) {
    done(cx, ack.packet_id, |in_flight| {
        in_flight.delivery.qos == Qos::AtLeastOnce && in_flight.phase == Phase::Published
    });
}

/// PUBREC: PUBREL follows, and first, for a stored session, that it does is stored
/// [MQTT-4.3.3-4].
pub(super) fn pubrec(cx: &mut Context<'_>, ack: &Ack) {
    let packet_id = ack.packet_id;
    let found = cx.session.window.get(packet_id).filter(|in_flight| {
        in_flight.delivery.qos == Qos::ExactlyOnce && in_flight.phase != Phase::Storing
    });
    let Some(InFlight {
        delivery, phase, ..
    }) = found
    else {
        let reason_code = ReasonCode::PacketIdentifierNotFound;
        owe(
            cx,
            Ticket::default(),
            Owed::Acknowledge(PacketType::PubRel, packet_id, reason_code),
        );
        return;
    };
    if ack.reason_code.is_error() && *phase == Phase::Published {
        // [MQTT-4.8.2-6] The client does not want it: it is not sent again, to nobody.
        done(cx, packet_id, |_| true);
        return;
    }
    let stored = delivery
        .stored
        .filter(|_| cx.session.is_stored && *phase == Phase::Published);
    let ticket = stored.map_or_else(Ticket::default, |stored| {
        let entry = (cx.session.id, stored.entry);
        cx.rooms.cluster.durable.add(Urgency::Now, |filling| {
            filling.change(|batch| batch.released.push(entry))
        })
    });
    cx.session.window.set_phase(packet_id, Phase::Received);
    owe(
        cx,
        ticket,
        Owed::Acknowledge(PacketType::PubRel, packet_id, ReasonCode::Success),
    );
}

/// PUBREL: the packet identifier may be used again once PUBCOMP is sent [MQTT-4.3.3-11]; for a
/// stored session that is stored first, or a new message could be taken for the old one.
pub(super) fn pubrel(cx: &mut Context<'_>, ack: &Ack) {
    let packet_id = ack.packet_id;
    let mut ticket = Ticket::default();
    let mut reason_code = ReasonCode::PacketIdentifierNotFound;
    if cx.session.received.remove(&packet_id) {
        let was_before = cx.session.received_before.remove(&packet_id);
        if cx.session.forwarded.remove(&packet_id) || was_before {
            ticket = cx.rooms.router.release(cx.session.id, packet_id.get());
        }
        reason_code = ReasonCode::Success;
        if cx.session.is_stored {
            let received = ibc::ReceivedId {
                session: cx.session.id,
                packet_id: packet_id.get(),
            };
            let forgotten = cx.rooms.cluster.durable.add(Urgency::Now, |filling| {
                filling.change(|batch| batch.forgotten.push(received));
            });
            ticket = ticket.and(forgotten);
        }
    }
    owe(
        cx,
        ticket,
        Owed::Acknowledge(PacketType::PubComp, packet_id, reason_code),
    );
}

/// PUBCOMP: a QoS 2 message is done.
pub(super) fn pubcomp(cx: &mut Context<'_>, ack: &Ack) {
    done(cx, ack.packet_id, |in_flight| {
        in_flight.phase == Phase::Received
    });
}

/// The message is done, if it stands where the acknowledgement belongs.
fn done(cx: &mut Context<'_>, packet_id: PacketId, is_expected: impl FnOnce(&InFlight) -> bool) {
    if let Some(in_flight) = cx.session.window.remove_if(packet_id, is_expected)
        && let Some(stored) = in_flight.delivery.stored
    {
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

fn owe(cx: &mut Context<'_>, ticket: Ticket, owed: Owed) {
    cx.session.owed.push_back((ticket, owed));
}
