//! Shared subscriptions (section 4.8.2; [MQTT-4.8.2-4], [MQTT-4.8.2-5]; G7).
//!
//! A group is the name and the filter together. A client is member of at most one group that matches a topic.
//!
//! *Miss.* A message of QoS 1 or 2 that matches was acknowledged, and no member ever received it, although from before
//! it was first sent until the history settles there was always a member whose subscription was surely in
//! force. Not judged where a server may have chosen a member that need not get it: one that was
//! granted QoS 0; one that unsubscribed later; one that is away at the end, with a session that
//! may keep the message; one whose session ended later and was to outlive its connection, or, with QoS 2, any
//! whose session ended later [MQTT-4.8.2-5].
//!
//! *Double.* Two members received a message of QoS 1 or 2. Excused: the publisher sent it twice (see
//! `duplicates`); the connection of one of the two ended within `Rules::grace` after it
//! received the message, so that its acknowledgement may be lost; and unless both got it with QoS 2, a fault was under way or
//! over less than `Rules::after_fault` ago.

use std::collections::{BTreeMap, HashMap};

use super::{Accusation, Court};
use crate::{
    Kind,
    story::{ClientId, MessageKey, NEVER, Place, Reception, Story, Subscription, SubscriptionId},
};

#[derive(Default)]
struct Group {
    name: String,
    members: Vec<SubscriptionId>,
    /// From here to the end there always was a member.
    covered: Place,
    /// What was first sent before this may be with a member that need not get it.
    loose: Place,
    /// The same for QoS 2.
    loose_with_2: Place,
}

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for (id, subscription) in story.subscriptions.iter().enumerate() {
        if subscription.filter.group.is_some() && subscription.granted().is_some() {
            let group = groups.entry(subscription.text).or_default();
            subscription.text.clone_into(&mut group.name);
            group.members.push(id);
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    let mut of: HashMap<SubscriptionId, usize> = HashMap::new();
    for (number, group) in groups.iter_mut().enumerate() {
        of.extend(group.members.iter().map(|id| (*id, number)));
        measure(story, group);
    }
    let doubles = doubles(story, &of);
    for (first, second) in doubles {
        accuse_of_double(court, first, second);
    }
    misses(court, &groups, &of);
}

/// Until when a server may have chosen the member, and dropped the message with its session.
fn session_over(story: &Story<'_>, subscription: &Subscription<'_>) -> Place {
    let session = story.connection(subscription.connection).session;
    let next = story
        .client(subscription.client)
        .connected
        .iter()
        .find_map(|id| {
            let connection = story.connection(*id);
            (connection.session > session).then_some(connection.connected)?
        });
    next.unwrap_or(NEVER)
}

/// The same for a session that ends with its connection, if that was closed: a while after that.
fn noticed(story: &Story<'_>, subscription: &Subscription<'_>) -> Place {
    let Some((closed, _)) = story.connection(subscription.connection).closed else {
        return NEVER;
    };
    let calm = story.faults.calm_after(story.at(closed));
    let until = calm.saturating_add(story.rules.grace);
    story.entries.partition_point(|entry| entry.at <= until)
}

fn measure(story: &Story<'_>, group: &mut Group) {
    let members = || group.members.iter().map(|id| story.subscription(*id));
    let (mut loose, mut loose_with_2): (Place, Place) = (0, 0);
    for member in members() {
        if member.granted() == Some(0) {
            loose = NEVER;
        }
        if member.given_up != NEVER {
            loose = loose.max(member.given_up);
        }
        if member.is_sure_to_the_end() || member.given_up != NEVER {
            continue;
        }
        let over = session_over(story, member);
        let last = story.client(member.client).connected.iter().rev();
        let outlives = last
            .map(|id| story.connection(*id))
            .filter(|connection| connection.connected.is_some_and(|place| place < over))
            .any(|connection| !connection.expiry.is_zero());
        if outlives {
            loose = loose.max(over);
        } else {
            loose_with_2 = loose_with_2.max(over.min(noticed(story, member)));
        }
    }
    let mut spans: Vec<(Place, Place)> = members().filter_map(|member| member.sure).collect();
    spans.sort_unstable_by_key(|(_, until)| std::cmp::Reverse(*until));
    let mut covered = NEVER;
    for (from, until) in spans {
        if until < covered {
            break;
        }
        covered = covered.min(from);
    }
    group.covered = covered;
    group.loose = loose;
    group.loose_with_2 = loose_with_2.max(loose);
}

fn misses(court: &mut Court<'_, '_>, groups: &[Group], of: &HashMap<SubscriptionId, usize>) {
    let story = court.story;
    let settled = story.settled.unwrap_or(0);
    for (key, message) in story.messages.iter().enumerate() {
        let sent = message.first_sent();
        if !message.is_promised() || sent > settled {
            continue;
        }
        let mut numbers: Vec<usize> = story
            .matching(message.topic)
            .iter()
            .filter_map(|id| of.get(id).copied())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        for group in numbers.into_iter().filter_map(|number| groups.get(number)) {
            let loose = if message.qos == 2 {
                group.loose_with_2
            } else {
                group.loose
            };
            if group.covered >= sent || loose > sent {
                continue;
            }
            court.counts.promised_to_groups += 1;
            let mut members = group.members.iter().map(|id| story.subscription(*id));
            if !members.any(|member| story.received.contains(&(member.client, key))) {
                accuse_of_miss(court, key, group);
            }
        }
    }
}

fn accuse_of_miss(court: &mut Court<'_, '_>, key: MessageKey, group: &Group) {
    let story = court.story;
    let message = story.message(key);
    let accusation = Accusation {
        kind: Kind::SharedMiss,
        client: "",
        message: Some(key),
    };
    let text = format!(
        "acknowledged with QoS {} on {}, but no member of {} received it",
        message.qos,
        story.topic(message.topic),
        group.name
    );
    let mut evidence = vec![
        Some(message.first_sent()),
        message.acknowledged,
        story.settled,
    ];
    let members = group.members.iter().map(|id| story.subscription(*id));
    let surely = members.filter(|member| {
        member
            .sure
            .is_some_and(|(from, _)| from < message.first_sent())
    });
    evidence.extend(
        surely
            .take(4)
            .map(|member| member.answer.map(|(place, _)| place)),
    );
    court.accuse(&accusation, text, &evidence);
}

fn doubles<'s>(
    story: &'s Story<'_>,
    of: &HashMap<SubscriptionId, usize>,
) -> Vec<(&'s Reception, &'s Reception)> {
    let mut groups: HashMap<(ClientId, usize), Option<usize>> = HashMap::new();
    let mut last: HashMap<(usize, MessageKey), &Reception> = HashMap::new();
    let mut doubles = Vec::new();
    for reception in &story.receptions {
        let Some(key) = reception
            .message
            .filter(|_| !reception.is_retained && reception.qos > 0)
        else {
            continue;
        };
        let (client, topic) = (reception.client, reception.topic);
        let group = groups.entry((client, topic)).or_insert_with(|| {
            let mut all = story.matching(topic).iter();
            let mine =
                all.find(|id| story.subscription(**id).client == client && of.contains_key(id));
            mine.and_then(|id| of.get(id).copied())
        });
        let Some(group) = *group else {
            continue;
        };
        if let Some(first) = last.insert((group, key), reception)
            && first.client != client
            && !is_excused(story, key, first, reception)
        {
            doubles.push((first, reception));
        }
    }
    doubles
}

fn is_excused(story: &Story<'_>, key: MessageKey, first: &Reception, second: &Reception) -> bool {
    let at = story.at(second.place);
    let both_with_2 = first.qos == 2 && second.qos == 2;
    story.is_published_twice(key)
        || story.message(key).will.is_some()
        || ended_soon(story, first)
        || ended_soon(story, second)
        || (!both_with_2 && story.faults.trouble(at, at, story.rules.after_fault))
}

/// The connection ended so soon after the reception that the acknowledgement may be lost.
fn ended_soon(story: &Story<'_>, reception: &Reception) -> bool {
    let connection = story.connection(reception.connection);
    let next = story.next_attempt(reception.connection);
    let next = next.map(|next| story.connection(next).connect);
    let soon = story.at(reception.place).saturating_add(story.rules.grace);
    let closed = connection.closed.map(|(place, _)| place);
    [closed, next]
        .into_iter()
        .flatten()
        .any(|place| story.at(place) <= soon)
}

fn accuse_of_double(court: &mut Court<'_, '_>, first: &Reception, second: &Reception) {
    let story = court.story;
    let accusation = Accusation {
        kind: Kind::SharedDouble,
        client: story.client(second.client).name,
        message: second.message,
    };
    let text = format!(
        "two members of a group received it on {}: {} and {}",
        story.topic(second.topic),
        story.client(first.client).name,
        story.client(second.client).name
    );
    let sent = second.message.map(|key| story.message(key).first_sent());
    court.accuse(
        &accusation,
        text,
        &[sent, Some(first.place), Some(second.place)],
    );
}
