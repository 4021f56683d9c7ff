//! SUBSCRIBE (section 3.8).

use std::sync::Arc;

use ibc::{DeliveryOptions, NewEntry, StoredSubscription, SubscriptionChange};
use mqtt::{Packet, Qos, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription};

use super::{Context, Reject};
use crate::{
    cluster::Urgency,
    delivery::{Delivery, Publication},
    router::MAX_LEVELS,
};

/// Makes the subscriptions known to every node, and answers. From the SUBACK on, a PUBLISH that
/// any node accepts reaches them (guarantee G3).
///
/// # Errors
///
/// None at present: what the client may not do has its reason code in SUBACK.
pub(super) async fn subscribe(cx: &mut Context<'_>, packet: Subscribe) -> Result<(), Reject> {
    let Subscribe {
        packet_id,
        subscription_identifier,
        subscriptions,
        ..
    } = packet;
    let subscriptions: Vec<StoredSubscription> = subscriptions
        .into_iter()
        .map(|Subscription { filter, options }| StoredSubscription {
            filter: filter.detached(),
            options,
            identifier: subscription_identifier,
        })
        .collect();
    let too_deep = |filter: &mqtt::TopicFilter| filter.level_count() > MAX_LEVELS;
    store(cx, &subscriptions).await;
    let mut reason_codes = Vec::with_capacity(subscriptions.len());
    let mut wanted = Vec::new();
    for subscription in &subscriptions {
        if too_deep(&subscription.filter) {
            reason_codes.push(ReasonCode::TopicFilterInvalid);
            continue;
        }
        let is_new = cx.rooms.router.subscribe(cx.session.id, subscription);
        let is_shared = subscription.filter.share().is_some();
        cx.session.has_shared |= is_shared;
        let wants_retained = match subscription.options.retain_handling {
            RetainHandling::SendAtSubscribe => true, // [MQTT-3.3.1-9]
            RetainHandling::SendAtNewSubscription => is_new, // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,      // [MQTT-3.3.1-11]
        };
        if wants_retained && !is_shared {
            wanted.push(subscription);
        }
        reason_codes.push(match subscription.options.qos {
            Qos::AtMostOnce => ReasonCode::Success,
            Qos::AtLeastOnce => ReasonCode::GrantedQos1,
            Qos::ExactlyOnce => ReasonCode::GrantedQos2,
        });
    }
    // What was retained before, here and elsewhere, is in our tree after this.
    let retained = cx.rooms.cluster.durable.retained();
    cx.rooms.cluster.barrier().await;
    cx.rooms.cluster.progress.reach(retained).await;
    let properties = mqtt::AckProperties::default();
    cx.send(&Packet::SubAck(SubAck {
        packet_id,
        properties,
        reason_codes,
    }));
    for subscription in wanted {
        send_retained(cx, subscription);
    }
    Ok(())
}

/// A stored session keeps its subscriptions in the database.
async fn store(cx: &Context<'_>, subscriptions: &[StoredSubscription]) {
    if !cx.session.is_stored {
        return;
    }
    let session = cx.session.id;
    let durable = &cx.rooms.cluster.durable;
    let mut ticket = crate::cluster::Ticket::default();
    for (index, subscription) in subscriptions.iter().enumerate() {
        // The last of several with one filter counts; a batch must not hold two.
        let is_last = !subscriptions
            .iter()
            .skip(index + 1)
            .any(|later| later.filter.as_str() == subscription.filter.as_str());
        if is_last && subscription.filter.level_count() <= MAX_LEVELS {
            let change = SubscriptionChange {
                session,
                subscription: subscription.clone(),
            };
            ticket = ticket.and(durable.add(Urgency::Now, |filling| {
                filling.change(|batch| batch.subscribed.push(change));
            }));
        }
    }
    cx.rooms.cluster.progress.reach(ticket).await;
}

/// The retained messages that match go to the client, with RETAIN set [MQTT-3.3.1-8].
fn send_retained(cx: &mut Context<'_>, subscription: &StoredSubscription) {
    for publication in cx.rooms.retain.matching(&subscription.filter) {
        let qos = publication.message().qos.min(subscription.options.qos);
        if cx.session.is_stored && qos > Qos::AtMostOnce {
            enqueue(cx, subscription, &publication, qos);
            continue;
        }
        cx.session.retained.push_back(Delivery {
            publication,
            qos,
            retain: true,
            identifiers: subscription.identifier.into_iter().collect(),
            stored: None,
            share: None,
        });
    }
}

/// For a stored session it goes through the queue, so that it outlives the connection.
fn enqueue(
    cx: &Context<'_>,
    subscription: &StoredSubscription,
    publication: &Arc<Publication>,
    qos: Qos,
) {
    let identifiers = subscription.identifier.into_iter().collect();
    let options = DeliveryOptions {
        qos,
        retain: true,
        identifiers,
    }
    .encode();
    let entry = NewEntry {
        session: cx.session.id,
        options,
        share: None,
    };
    cx.rooms.cluster.durable.add(Urgency::Now, |filling| {
        filling.enqueue(publication, vec![entry]);
    });
}
