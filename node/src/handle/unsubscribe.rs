//! UNSUBSCRIBE (section 3.10).

use mqtt::{Packet, ReasonCode, UnsubAck, Unsubscribe};

use super::Context;
use crate::cluster::{Ticket, Urgency};

/// Takes the subscriptions away and answers [MQTT-3.10.4-4]. What waits for the client already
/// is still delivered [MQTT-3.10.4-3].
pub(super) async fn unsubscribe(cx: &mut Context<'_>, packet: Unsubscribe) {
    let Unsubscribe {
        packet_id, filters, ..
    } = packet;
    if cx.session.is_stored {
        let mut ticket = Ticket::default();
        for filter in &filters {
            let key = (cx.session.id, filter.as_str().to_owned());
            ticket = ticket.and(cx.rooms.cluster.durable.add(Urgency::Now, |filling| {
                filling.change(|batch| batch.unsubscribed.push(key));
            }));
        }
        cx.rooms.cluster.progress.reach(ticket).await;
    }
    let reason_codes = filters
        .iter()
        .map(|filter| {
            if cx.rooms.router.unsubscribe(cx.session.id, filter) {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            }
        })
        .collect();
    // [MQTT-3.10.4-2] From the UNSUBACK on, no node adds anything for the client.
    cx.rooms.cluster.barrier().await;
    let properties = mqtt::AckProperties::default();
    cx.send(&Packet::UnsubAck(UnsubAck {
        packet_id,
        properties,
        reason_codes,
    }));
}
