//! Order ([MQTT-4.6.0-5], [MQTT-4.6.0-6]; G4).
//!
//! In one session of a client, first receptions of one publisher, topic, QoS of the message and QoS of the
//! delivery have rising numbers; what is sent again may come to a new session after what an older one
//! had got. Deliveries through shared subscriptions, retained ones and Wills are left out.
//!
//! A message m that comes after a later one n is a violation, except:
//!
//! - The server may have got n first: n was sent on a connection of the publisher on which m had not been sent
//!   yet and while m was not acknowledged, or m was refused once and sent again.
//! - m was sent again, with QoS 2 on another connection, and the client's subscription was not surely in force from
//!   before the first time on: it may have begun after m and before n, and m have come with the second time.
//!   The node that is sent a QoS 2 message again cannot know who subscribed since, and whom the first one told.
//! - m was read from an older connection of the client than n: two connections are read side by side
//!   during a takeover.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Accusation, Court};
use crate::{
    Kind,
    story::{ClientId, MessageKey, Reception, Story, TopicId},
};

/// A client and the number of its session.
type Session = (ClientId, usize);
/// Session, publisher, topic, QoS of the message, QoS of the delivery.
type Stream = (Session, usize, TopicId, u8, u8);

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    let mut streams: HashMap<Stream, BTreeMap<u64, &Reception>> = HashMap::new();
    let mut shared: HashMap<(ClientId, TopicId), bool> = HashMap::new();
    let mut seen: HashSet<(Session, MessageKey)> = HashSet::new();
    for reception in story.receptions.iter().filter(|found| !found.is_retained) {
        let Some(key) = reception.message else {
            continue;
        };
        let message = story.message(key);
        let (client, topic) = (reception.client, reception.topic);
        let session = (client, story.connection(reception.connection).session);
        let is_shared = *shared
            .entry((client, topic))
            .or_insert_with(|| story.is_shared(client, topic));
        if message.will.is_some() || is_shared || !seen.insert((session, key)) {
            continue;
        }
        let stream = streams
            .entry((
                session,
                message.publisher,
                topic,
                message.qos,
                reception.qos,
            ))
            .or_default();
        let may_be_second = story.is_sent_again(key) && !was_subscribed(story, key, reception);
        let overtaken_by = stream
            .range(message.number..)
            .map(|(_, later)| *later)
            .find(|later| {
                let is_older = story.connection(reception.connection).connect
                    < story.connection(later.connection).connect;
                let may_be = later
                    .message
                    .is_none_or(|later| story.may_be_overtaken(key, later));
                !is_older && !may_be && !may_be_second
            });
        stream.insert(message.number, reception);
        if let Some(later) = overtaken_by {
            accuse(court, key, reception, later);
        }
    }
}

/// Whether a subscription of the same session was surely in force from before the message was first sent until
/// it came.
fn was_subscribed(story: &Story<'_>, key: MessageKey, reception: &Reception) -> bool {
    let sent = story.message(key).first_sent();
    story
        .matching_of(reception.client, reception.topic)
        .any(|subscription| {
            subscription.sure.is_some_and(|(from, _)| from < sent)
                && reception.place < subscription.given_up
                && story.is_same_session(subscription.connection, reception.connection)
        })
}

fn accuse(court: &mut Court<'_, '_>, key: MessageKey, reception: &Reception, later: &Reception) {
    let story = court.story;
    let Some(later_key) = later.message else {
        return;
    };
    let accusation = Accusation {
        kind: Kind::Disorder,
        client: story.client(reception.client).name,
        message: Some(key),
    };
    let text = format!(
        "came on {} after {} of the same publisher and QoS {}",
        story.topic(reception.topic),
        story.id(later_key),
        story.message(key).qos
    );
    let evidence = [
        Some(story.message(key).first_sent()),
        Some(story.message(later_key).first_sent()),
        Some(later.place),
        Some(reception.place),
    ];
    court.accuse(&accusation, text, &evidence);
}
