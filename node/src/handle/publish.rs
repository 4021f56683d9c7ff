//! PUBLISH from a client (section 3.3).
//!
//! Everything that can fail comes before the acknowledgement, because the acknowledgement makes
//! us the owner of the message [MQTT-4.3.2-4] [MQTT-4.3.3-8].

use std::sync::Arc;

use mqtt::{PacketId, PacketType, Publish, Qos, ReasonCode};

use super::{Context, Reject};
use crate::{
    cluster::Ticket,
    delivery::Publication,
    router::{MAX_LEVELS, Origin, Routed},
    session::Owed,
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
        ..
    } = packet;
    let qos = message.qos;
    cx.rooms.metrics.receive_publish(qos);
    message.topic_name = cx
        .session
        .inbound_aliases
        .resolve(topic_alias, message.topic_name)?;
    if message.topic_name.level_count() > MAX_LEVELS {
        return Err(Reject::TooDeep(MAX_LEVELS));
    }
    if qos.as_u8() > cx.rooms.config.mqtt.maximum_qos {
        return Err(Reject::QosNotSupported);
    }
    let Some(packet_id) = packet_id else {
        route(cx, message, Origin::default());
        return Ok(());
    };
    if qos == Qos::ExactlyOnce && cx.session.received.contains(&packet_id) {
        // [MQTT-4.3.3-10] Acknowledge a repeated QoS 2 PUBLISH, but do not route it. It waits
        // for the first one, which may be on its way to the database still.
        let ticket = if cx.session.is_stored {
            cx.rooms.cluster.durable.everything()
        } else {
            Ticket::default()
        };
        owe(cx, ticket, qos, packet_id, ReasonCode::Success);
        return Ok(());
    }
    check_window(cx)?;
    let mut origin = Origin::default();
    if qos == Qos::ExactlyOnce {
        cx.session.received.insert(packet_id);
        let (session, packet_id) = (cx.session.id, packet_id.get());
        origin.received = cx
            .session
            .is_stored
            .then_some(ibc::ReceivedId { session, packet_id });
    }
    let Routed {
        ticket, is_matched, ..
    } = route(cx, message, origin);
    let reason_code = if is_matched {
        ReasonCode::Success
    } else {
        ReasonCode::NoMatchingSubscribers
    };
    owe(cx, ticket, qos, packet_id, reason_code);
    Ok(())
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
    if cx.session.version == mqtt::ProtocolVersion::V5
        && cx.session.received.len() + cx.session.unacknowledged >= maximum
    {
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
