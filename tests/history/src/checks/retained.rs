//! Retained messages (section 3.3.1.3; [MQTT-3.3.1-5], [MQTT-3.3.1-9], [MQTT-3.8.4-4]).
//!
//! A topic with retained messages has one publisher (else the history is *unsound*), none is cleared, and
//! subscriptions have Retain Handling 0.
//!
//! *Old.* A delivery with RETAIN has a number below that of a retained message of QoS 1 or 2 that was acknowledged before
//! SUBSCRIBE went out. Where several subscriptions of the session match, it may be the answer to the
//! earliest that got its SUBACK, on this connection or before it began, no longer than `Rules::grace` ago; older ones
//! count only after a fault. Excused: the server may have got the older message after the newer one (see `order`), or it
//! was sent again after that.
//!
//! *Missing.* A new subscription with QoS 1 or 2 that matches the topic of a retained message acknowledged before
//! SUBSCRIBE went out never got any message of that topic with RETAIN, although its connection
//! lived, not unsubscribed and without a newer attempt, `Rules::grace` longer than SUBACK; if a fault was near, until
//! the history settles. Topics that also had retained messages of QoS 0 are not judged: those may be
//! discarded, with what they replaced.

use std::collections::{BTreeMap, HashMap};

use super::{Accusation, Court};
use crate::{
    Kind,
    story::{ClientId, MessageKey, NEVER, Place, Reception, Story, Subscription, TopicId},
};

/// What was retained on one topic.
#[derive(Default)]
struct Shelf {
    /// By the place of the acknowledgement: the highest number acknowledged until then.
    acknowledged: Vec<(Place, MessageKey)>,
    has_qos_0: bool,
}

impl Shelf {
    /// The highest number acknowledged before a place.
    fn before(&self, place: Place) -> Option<MessageKey> {
        let count = self.acknowledged.partition_point(|(at, _)| *at < place);
        let last = count.checked_sub(1)?;
        self.acknowledged.get(last).map(|(_, key)| *key)
    }
}

pub(super) fn check(court: &mut Court<'_, '_>) {
    let shelves = shelves(court);
    let story = court.story;
    let mut last: HashMap<(ClientId, TopicId), Place> = HashMap::new();
    for reception in story.receptions.iter().filter(|found| found.is_retained) {
        last.insert((reception.client, reception.topic), reception.place);
        if let Some(shelf) = shelves.get(&reception.topic) {
            old(court, shelf, reception);
        }
    }
    for (topic, shelf) in shelves.iter().filter(|(_, shelf)| !shelf.has_qos_0) {
        for id in story.matching(*topic) {
            let subscription = story.subscription(*id);
            let received = last.get(&(subscription.client, *topic));
            if received.is_none_or(|place| *place < subscription.sent) {
                missing(court, *topic, shelf, subscription);
            }
        }
    }
}

fn shelves(court: &mut Court<'_, '_>) -> BTreeMap<TopicId, Shelf> {
    let story = court.story;
    let mut shelves: BTreeMap<TopicId, Shelf> = BTreeMap::new();
    let mut publishers: HashMap<TopicId, usize> = HashMap::new();
    let messages = story.messages.iter().enumerate();
    for (key, message) in messages.filter(|(_, message)| message.is_retained) {
        let publisher = *publishers.entry(message.topic).or_insert(message.publisher);
        if publisher != message.publisher {
            let accusation = Accusation {
                kind: Kind::Unsound,
                client: "",
                message: Some(key),
            };
            let text = format!(
                "{} has retained messages of two publishers",
                story.topic(message.topic)
            );
            court.accuse(&accusation, text, &[Some(message.first_sent())]);
        }
        let shelf = shelves.entry(message.topic).or_default();
        shelf.has_qos_0 |= message.qos == 0;
        if let Some(place) = message.acknowledged.filter(|_| message.qos > 0) {
            shelf.acknowledged.push((place, key));
        }
    }
    for shelf in shelves.values_mut() {
        shelf.acknowledged.sort_unstable();
        let mut highest: Option<MessageKey> = None;
        for (_, key) in &mut shelf.acknowledged {
            let number = |key: MessageKey| story.message(key).number;
            let known = highest.filter(|known| number(*known) > number(*key));
            *key = known.unwrap_or(*key);
            highest = Some(*key);
        }
    }
    shelves
}

/// The place of the earliest SUBSCRIBE that a delivery can be the answer to.
fn asked(story: &Story<'_>, reception: &Reception) -> Option<Place> {
    let candidates = || {
        story
            .possible(reception, 0)
            .filter(|subscription| subscription.filter.group.is_none())
    };
    let connected = story.connection(reception.connection).connected?;
    let now = story.at(reception.place);
    let is_recent = |subscription: &&Subscription<'_>| {
        subscription.answer.is_none_or(|(place, _)| {
            let since = story.at(place.max(connected));
            let rules = story.rules;
            now <= since.saturating_add(rules.grace)
                || story.faults.trouble(since, now, rules.after_fault)
        })
    };
    let recent = candidates()
        .filter(is_recent)
        .map(|subscription| subscription.sent)
        .min();
    recent.or_else(|| candidates().map(|subscription| subscription.sent).max())
}

fn old(court: &mut Court<'_, '_>, shelf: &Shelf, reception: &Reception) {
    let story = court.story;
    let asked = asked(story, reception);
    let newest = asked.and_then(|place| shelf.before(place));
    let (Some(key), Some(newest)) = (reception.message, newest) else {
        return;
    };
    let (message, newer) = (story.message(key), story.message(newest));
    let is_old = message.will.is_none()
        && message.publisher == newer.publisher
        && message.number < newer.number;
    let may_be_later =
        message.last_sent() > newer.first_sent() || story.may_be_overtaken(key, newest);
    if !is_old || may_be_later {
        return;
    }
    let accusation = Accusation {
        kind: Kind::RetainedOld,
        client: story.client(reception.client).name,
        message: Some(key),
    };
    let text = format!(
        "retained on {}, but {} had been acknowledged before the client subscribed",
        story.topic(reception.topic),
        story.id(newest)
    );
    let evidence = [
        Some(newer.first_sent()),
        newer.acknowledged,
        asked,
        Some(reception.place),
    ];
    court.accuse(&accusation, text, &evidence);
}

fn missing(
    court: &mut Court<'_, '_>,
    topic: TopicId,
    shelf: &Shelf,
    subscription: &Subscription<'_>,
) {
    let story = court.story;
    let Some((granted, 1 | 2)) = subscription.answer else {
        return;
    };
    let Some(newest) = shelf.before(subscription.sent) else {
        return;
    };
    if !subscription.is_new
        || subscription.filter.group.is_some()
        || !lived(story, subscription, granted)
    {
        return;
    }
    let accusation = Accusation {
        kind: Kind::RetainedMissing,
        client: story.client(subscription.client).name,
        message: Some(newest),
    };
    let text = format!(
        "no retained message of {} came, subscribed to as {}",
        story.topic(topic),
        subscription.text
    );
    let newest = story.message(newest);
    let closed = story.connection(subscription.connection).closed;
    let evidence = [
        Some(newest.first_sent()),
        newest.acknowledged,
        Some(subscription.sent),
        Some(granted),
        closed.map(|(place, _)| place),
        story.settled,
    ];
    court.accuse(&accusation, text, &evidence);
}

/// Whether the connection lived long enough after SUBACK for the retained messages to come.
fn lived(story: &Story<'_>, subscription: &Subscription<'_>, granted: Place) -> bool {
    let rules = story.rules;
    let id = subscription.connection;
    let closed = story.connection(id).closed.map(|(place, _)| place);
    let next = story
        .next_attempt(id)
        .map(|next| story.connection(next).connect);
    let given_up = Some(subscription.given_up).filter(|place| *place != NEVER);
    let ends = [closed, next, given_up].into_iter().flatten().min();
    let enough = story.at(granted).saturating_add(rules.grace);
    let is_near = story
        .faults
        .trouble(story.at(subscription.sent), enough, rules.after_fault);
    match (story.settled, ends) {
        (Some(settled), None) => granted < settled,
        (Some(settled), Some(end)) if is_near => granted < settled && settled < end,
        (_, Some(end)) => story.at(end) > enough && !is_near,
        (None, None) => story.end() > enough && !is_near,
    }
}
