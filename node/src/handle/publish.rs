//! PUBLISH from a client (section 3.3).
//!
//! Everything that can fail comes before the acknowledgement, because the acknowledgement makes
//! us the owner of the message [MQTT-4.3.2-4] [MQTT-4.3.3-8].

use std::sync::Arc;

use ibc::event::Sender;
use mqtt::{PacketId, PacketType, ProtocolVersion, Publish, Qos, ReasonCode};

use super::{Context, Reject};
use crate::{
    cluster::Ticket,
    delivery::{Publication, size_bytes},
    retain,
    router::{Origin, Routed},
    session::Owed,
    telemetry::{Dropped, Flow, Limit},
};

/// Routes the message and notes the acknowledgement that its QoS asks for. The client gets it
/// when the message is durable and handed over (guarantee G1), in the order of its PUBLISH
/// packets [MQTT-4.6.0-2] [MQTT-4.6.0-3].
///
/// # Errors
///
/// [`Reject`] if the alias means nothing, or the client ignores a limit of CONNACK. Then nobody
/// has seen the message.
pub(super) fn publish(cx: &mut Context<'_>, packet: Publish) -> Result<(), Reject> {
    let Publish {
        packet_id,
        topic_alias,
        mut message,
        dup,
        ..
    } = packet;
    let qos = message.qos;
    cx.session.tally.count(Flow::PublishReceived(qos));
    let payload_bytes = message.payload.len();
    cx.session.tally.add(Flow::PayloadReceived, payload_bytes);
    message.topic_name = cx
        .session
        .inbound_aliases
        .resolve(topic_alias, message.topic_name)?;
    check_announced(cx, &message)?;
    let refusal = refusal(cx, &message);
    let Some(packet_id) = packet_id else {
        if refusal == Some(ReasonCode::TopicNameInvalid) {
            return Ok(());
        }
        route(cx, message, Origin::default());
        return Ok(());
    };
    if qos == Qos::ExactlyOnce && cx.session.received.contains(&packet_id) {
        // [MQTT-4.3.3-10] Acknowledge a repeated QoS 2 PUBLISH, but do not route it. It waits
        // for the first one, which may be on its way to the database still.
        let mut ticket = Ticket::default();
        if cx.session.is_stored {
            ticket = cx.rooms.cluster.durable.everything();
        }
        if cx.session.received_before.contains(&packet_id) {
            let sender = sender(cx, packet_id, true, &message);
            ticket = ticket.and(route_again(cx, message, sender));
        }
        owe(cx, ticket, qos, packet_id, ReasonCode::Success);
        return Ok(());
    }
    check_window(cx)?;
    if let Some(reason_code) = refusal {
        // [MQTT-4.3.3-9] With an error in PUBREC the packet identifier is free again.
        owe(cx, Ticket::default(), qos, packet_id, reason_code);
        return Ok(());
    }
    let mut origin = Origin::default();
    if qos == Qos::ExactlyOnce {
        cx.session.received.insert(packet_id);
        if cx.session.is_stored {
            let sender = sender(cx, packet_id, dup, &message);
            let (session, packet_id) = (cx.session.id, packet_id.get());
            origin.received = Some(ibc::ReceivedId { session, packet_id });
            origin.sender = Some(sender);
        }
    }
    let Routed {
        ticket,
        is_matched,
        is_forwarded,
        ..
    } = route(cx, message, origin);
    if qos == Qos::ExactlyOnce && is_forwarded && cx.session.is_stored {
        cx.session.forwarded.insert(packet_id);
    }
    let reason_code = if is_matched {
        ReasonCode::Success
    } else {
        ReasonCode::NoMatchingSubscribers
    };
    owe(cx, ticket, qos, packet_id, reason_code);
    Ok(())
}

/// What CONNACK has said is not possible here.
fn check_announced(cx: &Context<'_>, message: &mqtt::Message) -> Result<(), Reject> {
    let settings = &cx.rooms.config.mqtt;
    let most = usize::from(settings.max_topic_levels);
    if message.topic_name.level_count() > most {
        return Err(Reject::TooDeep(most));
    }
    if message.qos.as_u8() > settings.maximum_qos {
        return Err(Reject::QosNotSupported); // [MQTT-3.2.2-11]
    }
    if message.retain && !settings.retain_available {
        return Err(Reject::RetainNotSupported); // [MQTT-3.2.2-14]
    }
    Ok(())
}

/// Why the message is refused although the connection goes on. A client that cannot be told (QoS 0, or
/// MQTT 3) is answered as if all were well [MQTT3-3.3.5-2], and what it loses is counted; a message
/// that cannot be retained is delivered then.
fn refusal(cx: &mut Context<'_>, message: &mqtt::Message) -> Option<ReasonCode> {
    let can_tell = message.qos > Qos::AtMostOnce && cx.session.version == ProtocolVersion::V5;
    if retain::is_sys(&message.topic_name) {
        cx.meet_limit(Limit::SysTopic);
        if can_tell {
            return Some(ReasonCode::TopicNameInvalid);
        }
        cx.rooms.metrics.drop_message(Dropped::SysTopic);
        return Some(match message.qos {
            Qos::AtMostOnce => ReasonCode::TopicNameInvalid,
            Qos::AtLeastOnce | Qos::ExactlyOnce => ReasonCode::Success,
        });
    }
    if message.retain
        && !message.payload.is_empty()
        && !cx
            .rooms
            .retain
            .has_room(&message.topic_name, size_bytes(message))
    {
        cx.meet_limit(Limit::Retained);
        return can_tell.then_some(ReasonCode::QuotaExceeded);
    }
    None
}

/// By what the nodes know a QoS 2 message of a stored session again.
fn sender(
    cx: &Context<'_>,
    packet_id: PacketId,
    is_repeated: bool,
    message: &mqtt::Message,
) -> Sender {
    Sender {
        digest: digest(message),
        session: cx.session.id,
        packet_id: packet_id.get(),
        epoch: cx.session.epoch,
        is_repeated,
    }
}

/// Tells messages apart that come with one packet identifier, one after the other, by topic, length,
/// beginning and end (FNV-1a, because all nodes must find the same).
fn digest(message: &mqtt::Message) -> u64 {
    const ENDS: usize = 1024;
    let payload = &message.payload;
    let length = payload.len().to_be_bytes();
    let first = payload.iter().take(ENDS);
    let last = payload.iter().rev().take(ENDS);
    let topic = message.topic_name.as_str().as_bytes().iter();
    let bytes = topic.chain(&length).chain(first).chain(last);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn route_again(cx: &mut Context<'_>, message: mqtt::Message, sender: Sender) -> Ticket {
    let publication = Arc::new(Publication::new(cx.session.client_id.clone(), message));
    cx.rooms
        .router
        .route_again(&publication, sender, &mut cx.session.topics)
}

fn route(cx: &mut Context<'_>, message: mqtt::Message, origin: Origin) -> Routed {
    let publication = Arc::new(Publication::new(cx.session.client_id.clone(), message));
    let routed = cx
        .rooms
        .router
        .route(&publication, origin, &mut cx.session.topics);
    cx.session.has_published |= routed.is_shared_out;
    routed
}

/// [MQTT-3.3.4-7] Only MQTT 5 clients were told the limit.
fn check_window(cx: &Context<'_>) -> Result<(), Reject> {
    let maximum = usize::from(cx.rooms.config.mqtt.server_receive_maximum);
    if cx.session.version == mqtt::ProtocolVersion::V5 && cx.session.under_way() >= maximum {
        return Err(Reject::WindowFull);
    }
    Ok(())
}

fn owe(
    cx: &mut Context<'_>,
    ticket: Ticket,
    qos: Qos,
    packet_id: PacketId,
    reason_code: ReasonCode,
) {
    let packet_type = match qos {
        Qos::AtMostOnce => return,
        Qos::AtLeastOnce => {
            cx.session.unacknowledged += 1;
            PacketType::PubAck
        }
        Qos::ExactlyOnce => PacketType::PubRec,
    };
    cx.session.owed.push_back((
        ticket,
        Owed::Acknowledge(packet_type, packet_id, reason_code),
    ));
}
