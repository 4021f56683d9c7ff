//! Loss and gaps: what was acknowledged must come (G1, G2; [MQTT-4.3.2-4], [MQTT-4.3.3-8]).
//!
//! *Loss.* A client has an ordinary subscription with QoS 1 or 2 surely in force from SUBACK until the
//! history settles (see `story::subscriptions`: the session was never in doubt, and the
//! client is connected at the end). A message of QoS 1 or 2 that matches, was first sent after SUBACK came
//! and was acknowledged with a reason below 0x80 has never been received by that client. This covers
//! persistent sessions through any number of connections and sessions that end with
//! their connection as long as that lives. It is enough that the message came at all, even late. A
//! delivery with RETAIN does not count: replacing a subscription must not lose messages
//! [MQTT-3.8.4-4].
//!
//! *Gap.* Where nothing is promised to the end, order still tells: the client received message n in a session
//! in which the subscription was surely in force, and an earlier message m of the same
//! publisher, topic and QoS, first sent after SUBACK, acknowledged, never came. The server must have had
//! m before n: m was sent for the last time before n was sent for the first time, and either on
//! the same connection or m was acknowledged before n went out. What a client missed while
//! it was away is no gap, because its new subscription begins with a new SUBACK.
//!
//! With QoS 0, of the message or granted, nothing is promised. Neither is it to a session that ends with
//! its connection for what was on its way when the database crashed *and* a node died: what goes to
//! such sessions is in the memory of its sender and in a table that a crash empties, and nowhere else.

use std::collections::{HashMap, HashSet};

use super::{Accusation, Court};
use crate::{
    Kind,
    story::{ClientId, MessageKey, Place, Story, Subscription, TopicId},
};

pub(super) fn check(court: &mut Court<'_, '_>) {
    let lost = losses(court);
    gaps(court, &lost);
}

fn losses(court: &mut Court<'_, '_>) -> HashSet<(ClientId, MessageKey)> {
    let story = court.story;
    let mut promised = HashSet::new();
    let mut lost = HashSet::new();
    let settled = story.settled.unwrap_or(0);
    let messages = story.messages.iter().enumerate();
    for (key, message) in messages.filter(|(_, message)| message.is_promised()) {
        if message.first_sent() > settled {
            continue;
        }
        for id in story.matching(message.topic) {
            let subscription = story.subscription(*id);
            let Some((from, _)) = subscription.sure else {
                continue;
            };
            let is_due = subscription.filter.group.is_none()
                && subscription.is_sure_to_the_end()
                && from < message.first_sent();
            if !is_due || !promised.insert((subscription.client, key)) {
                continue;
            }
            if !story.received.contains(&(subscription.client, key))
                && !is_excused(court, subscription, key)
            {
                lost.insert((subscription.client, key));
                accuse_of_loss(court, key, subscription);
            }
        }
    }
    court.counts.promised = promised.len() as u64;
    lost
}

/// Whether both copies of a message for a session that ends with its connection may be gone.
fn is_excused(court: &Court<'_, '_>, subscription: &Subscription<'_>, key: MessageKey) -> bool {
    let story = court.story;
    let connection = story.connection(subscription.connection);
    let message = story.message(key);
    let until = message.acknowledged.unwrap_or_else(|| message.last_sent());
    let near = court.story.rules.grace;
    connection.expiry.is_zero()
        && [message.first_sent(), message.last_sent(), until]
            .into_iter()
            .any(|place| story.faults.lost_both(story.at(place), near))
}

fn accuse_of_loss(court: &mut Court<'_, '_>, key: MessageKey, subscription: &Subscription<'_>) {
    let story = court.story;
    let message = story.message(key);
    let accusation = Accusation {
        kind: Kind::Loss,
        client: story.client(subscription.client).name,
        message: Some(key),
    };
    let text = format!(
        "acknowledged with QoS {} on {}, subscribed to as {} all the time, never received",
        message.qos,
        story.topic(message.topic),
        subscription.text
    );
    let evidence = [
        Some(story.connection(subscription.connection).connect),
        subscription.answer.map(|(place, _)| place),
        Some(message.first_sent()),
        message.acknowledged,
        story.settled,
    ];
    court.accuse(&accusation, text, &evidence);
}

/// The latest message that came under a subscription (known by the place of its SUBSCRIBE), for each
/// publisher, topic and QoS; and when it came.
type Latest = HashMap<(Place, (usize, TopicId, u8)), (MessageKey, Place)>;

fn latest(story: &Story<'_>) -> Latest {
    let mut latest = Latest::new();
    for reception in story.receptions.iter().filter(|found| !found.is_retained) {
        let Some(key) = reception.message else {
            continue;
        };
        let message = story.message(key);
        if message.qos == 0 || message.will.is_some() || message.topic != reception.topic {
            continue;
        }
        for subscription in story.matching_of(reception.client, reception.topic) {
            let is_in_force = subscription.filter.group.is_none()
                && subscription
                    .sure
                    .is_some_and(|(from, _)| from < message.first_sent())
                && reception.place < subscription.given_up
                && story.is_same_session(subscription.connection, reception.connection);
            if !is_in_force {
                continue;
            }
            let stream = (message.publisher, message.topic, message.qos);
            latest
                .entry((subscription.sent, stream))
                .and_modify(|known| {
                    if story.message(known.0).number < message.number {
                        *known = (key, reception.place);
                    }
                })
                .or_insert((key, reception.place));
        }
    }
    latest
}

fn gaps(court: &mut Court<'_, '_>, lost: &HashSet<(ClientId, MessageKey)>) {
    let story = court.story;
    let by_place: HashMap<Place, &Subscription<'_>> = story
        .subscriptions
        .iter()
        .map(|subscription| (subscription.sent, subscription))
        .collect();
    let mut accused = HashSet::new();
    for ((sent, stream), (late, received)) in latest(story) {
        let stream = story.streams.get(&stream);
        let (Some(subscription), Some(stream)) = (by_place.get(&sent), stream) else {
            continue;
        };
        let from = subscription.sure.map_or(0, |(from, _)| from);
        let begin = stream.partition_point(|key| story.message(*key).first_sent() <= from);
        for key in stream.iter().skip(begin) {
            if story.message(*key).number >= story.message(late).number {
                break;
            }
            let pair = (subscription.client, *key);
            if !story.received.contains(&pair)
                && !lost.contains(&pair)
                && !is_excused(court, subscription, *key)
                && came_first(story, *key, late)
                && accused.insert(pair)
            {
                accuse_of_gap(court, subscription, *key, (late, received));
            }
        }
    }
}

/// Whether the server must have got and kept `early` before it got `late`.
fn came_first(story: &Story<'_>, early: MessageKey, late: MessageKey) -> bool {
    let (early, late) = (story.message(early), story.message(late));
    let same_connection = match (early.sends.last(), late.sends.first()) {
        (Some(a), Some(b)) => a.connection == b.connection,
        _ => false,
    };
    early.is_promised()
        && !early.is_refused
        && early.last_sent() < late.first_sent()
        && (same_connection
            || early
                .acknowledged
                .is_some_and(|place| place < late.first_sent()))
}

fn accuse_of_gap(
    court: &mut Court<'_, '_>,
    subscription: &Subscription<'_>,
    key: MessageKey,
    late: (MessageKey, Place),
) {
    let story = court.story;
    let accusation = Accusation {
        kind: Kind::Gap,
        client: story.client(subscription.client).name,
        message: Some(key),
    };
    let text = format!(
        "never received on {}, but {} of the same publisher and QoS was",
        story.topic(story.message(key).topic),
        story.id(late.0)
    );
    let evidence = [
        subscription.answer.map(|(place, _)| place),
        Some(story.message(key).first_sent()),
        story.message(key).acknowledged,
        Some(story.message(late.0).first_sent()),
        Some(late.1),
    ];
    court.accuse(&accusation, text, &evidence);
}
