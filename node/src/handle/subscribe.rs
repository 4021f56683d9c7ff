//! SUBSCRIBE (section 3.8).

use std::sync::Arc;

use ahash::AHashMap;
use ibc::{DeliveryOptions, NewEntry, StoredSubscription, SubscriptionChange};
use mqtt::{
    Packet, ProtocolVersion, Qos, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription,
};

use super::{Context, Reject};
use crate::{
    cluster::{Stake, Urgency},
    delivery::{Publication, identifiers},
    session::RetainedWalk,
    telemetry::Limit,
};

/// Retained messages taken at once.
const STEP: usize = 256;

/// Makes the subscriptions known to every node, and answers. From the SUBACK on, a PUBLISH that
/// any node accepts reaches them (guarantee G3).
///
/// # Errors
///
/// [`Reject`] if the client wants what CONNACK has excluded; then it subscribes to nothing. Other
/// things that it may not do have their reason codes in SUBACK.
pub(super) async fn subscribe(cx: &mut Context<'_>, packet: Subscribe) -> Result<(), Reject> {
    check_announced(cx, &packet)?;
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
    let reason_codes = judge(cx, &subscriptions);
    let accepted: Vec<&StoredSubscription> = subscriptions
        .iter()
        .zip(&reason_codes)
        .filter(|(_, reason_code)| !reason_code.is_error())
        .map(|(subscription, _)| subscription)
        .collect();
    store(cx, &accepted).await;
    let mut wanted = Vec::new();
    for subscription in accepted {
        let is_new = cx.rooms.router.subscribe(cx.session.id, subscription);
        let is_shared = subscription.filter.share().is_some();
        cx.session.has_shared |= is_shared;
        let wants_retained = match subscription.options.retain_handling {
            RetainHandling::SendAtSubscribe => true, // [MQTT-3.3.1-9]
            RetainHandling::SendAtNewSubscription => is_new, // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,      // [MQTT-3.3.1-11]
        };
        if wants_retained && !is_shared && cx.rooms.config.mqtt.retain_available {
            wanted.push(subscription);
        }
    }
    // What was retained before, here and elsewhere, is in our tree after this.
    let retained = cx.rooms.cluster.durable.retained();
    cx.rooms.cluster.barrier().await;
    cx.rooms.cluster.caught_up().await;
    cx.rooms.cluster.progress.reach(retained).await;
    let properties = mqtt::AckProperties::default();
    cx.send(&Packet::SubAck(SubAck {
        packet_id,
        properties,
        reason_codes,
    }));
    for subscription in wanted {
        send_retained(cx, subscription).await;
    }
    Ok(())
}

/// What CONNACK has told an MQTT 5 client is not available here.
fn check_announced(cx: &Context<'_>, packet: &Subscribe) -> Result<(), Reject> {
    let settings = &cx.rooms.config.mqtt;
    if cx.session.version != ProtocolVersion::V5 {
        return Ok(());
    }
    if packet.subscription_identifier.is_some() && !settings.subscription_identifiers_available {
        return Err(Reject::IdentifiersNotSupported);
    }
    for Subscription { filter, .. } in &packet.subscriptions {
        if filter.share().is_some() && !settings.shared_subscription_available {
            return Err(Reject::SharesNotSupported);
        }
        if filter.has_wildcard() && !settings.wildcard_subscription_available {
            return Err(Reject::WildcardsNotSupported);
        }
    }
    Ok(())
}

/// What becomes of each subscription, in order [MQTT-3.8.4-6].
fn judge(cx: &mut Context<'_>, subscriptions: &[StoredSubscription]) -> Vec<ReasonCode> {
    let most = usize::try_from(cx.rooms.config.mqtt.max_subscriptions_per_client);
    let most = most.unwrap_or(usize::MAX);
    let mut filters = cx.rooms.router.filters(cx.session.id, subscriptions);
    subscriptions
        .iter()
        .map(|subscription| match refusal(cx, subscription) {
            Some((limit, reason_code)) => {
                cx.meet_limit(limit);
                reason_code
            }
            None if !filters.add(subscription, most) => {
                cx.meet_limit(Limit::Subscriptions);
                ReasonCode::QuotaExceeded
            }
            None => ReasonCode::granted(subscription.options.qos),
        })
        .collect()
}

/// Why a subscription is refused whatever else the client has.
fn refusal(cx: &Context<'_>, subscription: &StoredSubscription) -> Option<(Limit, ReasonCode)> {
    let settings = &cx.rooms.config.mqtt;
    let filter = &subscription.filter;
    if filter.level_count() > usize::from(settings.max_topic_levels) {
        return Some((Limit::TopicLevels, ReasonCode::TopicFilterInvalid));
    }
    // MQTT 5 clients were told, see `check_announced`.
    if filter.share().is_some() && !settings.shared_subscription_available {
        let reason_code = ReasonCode::SharedSubscriptionsNotSupported;
        return Some((Limit::SharedSubscriptions, reason_code));
    }
    if filter.has_wildcard() && !settings.wildcard_subscription_available {
        // [MQTT3-3.8.3-2]
        let reason_code = ReasonCode::WildcardSubscriptionsNotSupported;
        return Some((Limit::Wildcards, reason_code));
    }
    None
}

/// A stored session keeps its subscriptions in the database.
async fn store(cx: &Context<'_>, subscriptions: &[&StoredSubscription]) {
    if !cx.session.is_stored {
        return;
    }
    let session = cx.session.id;
    let durable = &cx.rooms.cluster.durable;
    let mut ticket = crate::cluster::Ticket::default();
    // The last of several with one filter counts; a batch must not hold two.
    let mut last = AHashMap::new();
    for subscription in subscriptions {
        last.insert(subscription.filter.as_str(), *subscription);
    }
    for subscription in last.into_values() {
        let change = SubscriptionChange {
            session,
            subscription: subscription.clone(),
        };
        ticket = ticket.and(durable.add(Urgency::Now, |filling| {
            filling.change(|batch| batch.subscribed.push(change));
        }));
    }
    cx.rooms.cluster.progress.reach(ticket).await;
}

/// The retained messages that match go to the client, with RETAIN set [MQTT-3.3.1-8]: when there is
/// room in its window and output, see `deliver`. For a stored session those above QoS 0 go through
/// the queue, so that they outlive the connection.
async fn send_retained(cx: &mut Context<'_>, subscription: &StoredSubscription) {
    let qos = subscription.options.qos;
    if cx.session.is_stored && qos > Qos::AtMostOnce {
        let mut has_others = false;
        let mut walk = cx.rooms.retain.walk(&subscription.filter);
        while !walk.is_done() {
            for publication in walk.take(&cx.rooms.retain, STEP) {
                has_others |= !enqueue(cx, subscription, &publication);
            }
            cx.rooms.cluster.room(Stake::Waiting).await;
        }
        if !has_others {
            return;
        }
    }
    let filter = subscription.filter.as_str();
    let walks = &mut cx.session.retained.walks;
    walks.retain(|earlier| earlier.walk.filter() != filter);
    walks.push_back(RetainedWalk {
        walk: cx.rooms.retain.walk(&subscription.filter),
        qos,
        identifiers: identifiers(subscription.identifier.into_iter().collect()),
    });
}

/// Puts a retained message into the queue, unless it is delivered with QoS 0. Returns whether.
fn enqueue(
    cx: &Context<'_>,
    subscription: &StoredSubscription,
    publication: &Arc<Publication>,
) -> bool {
    let qos = publication.message().qos.min(subscription.options.qos);
    if qos == Qos::AtMostOnce {
        return false;
    }
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
    true
}
