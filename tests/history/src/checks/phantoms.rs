//! Phantoms and wrong QoS ([MQTT-3.3.2-1], [MQTT-3.8.4-8], [MQTT-3.10.4-3]).
//!
//! *Phantom.* A client received what nobody had sent before (or a Will of a connection that had none), on
//! another topic than it was published, with RETAIN although it was published without, or
//! what matches no subscription that is possibly in force: SUBSCRIBE went out before, was not refused, UNSUBACK
//! had not come when the message was first sent (what was sent before may still be delivered
//! [MQTT-3.10.4-5]), and no connection after that of the subscription, up to this one, was told that there is no session.
//!
//! *Wrong QoS.* The QoS of a delivery is the lower one of the message and of what was granted. While a
//! subscription is replaced, either granted QoS is right; until SUBACK, what was asked for is the limit.

use super::{Accusation, Court};
use crate::{
    Kind,
    story::{MessageKey, Place, Reception, Subscription},
};

pub(super) fn check(court: &mut Court<'_, '_>) {
    for reception in &court.story.receptions {
        if let Some((key, sent)) = origin(court, reception) {
            subscribed(court, reception, key, sent);
        }
    }
}

/// What was published, and where; accuses if it was not.
fn origin(court: &mut Court<'_, '_>, reception: &Reception) -> Option<(MessageKey, Place)> {
    let story = court.story;
    let sent = reception.message.map(|key| {
        let message = story.message(key);
        let connect = message.will.map(|id| story.connection(id).connect);
        (key, connect.unwrap_or(message.first_sent()))
    });
    let Some((key, sent)) = sent.filter(|(_, sent)| *sent < reception.place) else {
        accuse(court, reception, "nobody had sent it".to_owned(), None);
        return None;
    };
    let message = story.message(key);
    if message.topic != reception.topic {
        let text = format!("it was published on {}", story.topic(message.topic));
        accuse(court, reception, text, Some(sent));
        return None;
    }
    if reception.is_retained && !message.is_retained && message.will.is_none() {
        let text = "it was published without RETAIN".to_owned();
        accuse(court, reception, text, Some(sent));
    }
    Some((key, sent))
}

fn subscribed(court: &mut Court<'_, '_>, reception: &Reception, key: MessageKey, sent: Place) {
    let story = court.story;
    // A Will is sent at some time after CONNECT; no UNSUBACK is surely before it.
    let sent = match story.message(key).will {
        Some(_) => 0,
        None => sent,
    };
    let published = story.message(key).qos;
    let mut highest = None;
    let mut lowest = u8::MAX;
    let mut any: Option<&Subscription<'_>> = None;
    for subscription in story.possible(reception, sent) {
        let granted = subscription.granted().unwrap_or(0);
        highest = highest.max(Some(granted));
        // Not answered yet: it may be granted less.
        lowest = lowest.min(if subscription.answer.is_some() {
            granted
        } else {
            0
        });
        any = Some(subscription);
    }
    let (Some(highest), Some(subscription)) = (highest, any) else {
        let text = "the client is subscribed to nothing that matches".to_owned();
        return accuse(court, reception, text, Some(sent));
    };
    let right = lowest.min(published)..=highest.min(published);
    if !right.contains(&reception.qos) {
        let accusation = Accusation {
            kind: Kind::WrongQos,
            client: story.client(reception.client).name,
            message: Some(key),
        };
        let text = format!(
            "published with QoS {published}, granted {highest}, delivered with {}",
            reception.qos
        );
        let evidence = [
            subscription.answer.map(|(place, _)| place),
            Some(story.message(key).first_sent()),
            Some(reception.place),
        ];
        court.accuse(&accusation, text, &evidence);
    }
}

fn accuse(court: &mut Court<'_, '_>, reception: &Reception, text: String, sent: Option<Place>) {
    let story = court.story;
    let accusation = Accusation {
        kind: Kind::Phantom,
        client: story.client(reception.client).name,
        message: reception.message,
    };
    let text = format!("received on {}; {text}", story.topic(reception.topic));
    court.accuse(&accusation, text, &[sent, Some(reception.place)]);
}
