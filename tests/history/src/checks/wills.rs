//! Wills (section 3.1.2.5; [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.3-9]; G6).
//!
//! The delay of a Will is the shorter of Will Delay Interval and session expiry.
//!
//! *Missing.* A connection that was accepted ended otherwise than by DISCONNECT with reason 0 (also by a
//! takeover), and its Will of QoS 1 or 2 was never received by a watcher: another client with an ordinary subscription
//! surely in force with QoS 1 or 2 from before CONNECT to the end. The Will is due if the client never tried
//! again and `Rules::will_grace` lies between the end of the delay and the end of the history; if its next
//! attempt came later than the delay and a calm of `Rules::will_grace` (a dead node may be found out no sooner, and until then
//! a new connection may cancel the Will); or, when no fault was near, if the delay is zero, or the
//! next connection had Clean Start, which ends the session.
//!
//! *Double.* A watcher received it twice. With QoS 2 excused as in `duplicates`; else if the connection of the watcher
//! changed, or a fault was under way or over less than `Rules::after_fault` ago.
//!
//! *Undue.* The connection was refused; or the client sent DISCONNECT with reason 0, began no newer connection
//! before or within `Rules::grace` after (CONNECT at another node may overtake DISCONNECT and take the old one
//! over), and no fault was near that can have kept it from arriving; or the session was resumed before
//! the delay can have passed.
//!
//! *Early.* The Will was received although the connection still got answers to what it sent after
//! that (PINGRESP near a fault is none, see `ownership`); or it was not closed yet, or only closed by the client later, there was no
//! newer attempt and no fault since it was accepted.
//!
//! Nor is a Will undue or early (unless its connection is served on) if the client gave up an attempt without
//! answer not long before: the server may handle that late, as a takeover.

use std::{collections::HashMap, time::Duration};

use super::{Accusation, Court};
use crate::{
    Kind, Side,
    story::{Connection, ConnectionId, MessageKey, Place, Reception, Story},
};

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    let mut received: HashMap<MessageKey, Vec<&Reception>> = HashMap::new();
    for reception in &story.receptions {
        if let Some(key) = reception.message
            && story.message(key).will.is_some()
            && !reception.is_retained
        {
            received.entry(key).or_default().push(reception);
        }
    }
    court.counts.wills = received.len() as u64;
    for (key, message) in story.messages.iter().enumerate() {
        let Some(id) = message.will else {
            continue;
        };
        let receptions = received.get(&key).map_or(&[][..], Vec::as_slice);
        if let Some(first) = receptions.first() {
            double(court, key, receptions);
            if !undue(court, id, first) {
                early(court, id, first);
            }
        }
        missing(court, key, id);
    }
}

fn double(court: &mut Court<'_, '_>, key: MessageKey, receptions: &[&Reception]) {
    let story = court.story;
    let mut last: HashMap<usize, &Reception> = HashMap::new();
    for second in receptions {
        let Some(first) = last.insert(second.client, second) else {
            continue;
        };
        let is_old = |found: &Reception| story.is_superseded(found.connection, found.place);
        let at = story.at(second.place);
        let is_excused = if first.qos == 2 && second.qos == 2 {
            !story.is_same_session(first.connection, second.connection)
                || is_old(first)
                || is_old(second)
        } else {
            first.connection != second.connection
                || story.faults.trouble(at, at, story.rules.after_fault)
        };
        if !is_excused {
            let accusation = Accusation {
                kind: Kind::DoubleWill,
                client: story.client(second.client).name,
                message: Some(key),
            };
            let text = "the Will came twice".to_owned();
            court.accuse(&accusation, text, &[Some(first.place), Some(second.place)]);
        }
    }
}

/// The shorter of Will Delay Interval and session expiry.
fn delay(connection: &Connection<'_>) -> Duration {
    connection
        .will
        .map_or(Duration::ZERO, |will| will.delay.min(connection.expiry))
}

fn undue(court: &mut Court<'_, '_>, id: ConnectionId, first: &Reception) -> bool {
    let story = court.story;
    let connection = story.connection(id);
    let text = match connection.closed {
        _ if connection.is_refused => "the connection was refused",
        Some((closed, Side::ClientNormally)) if is_clear(story, id, closed) => {
            "the client sent DISCONNECT with reason 0"
        }
        Some((_, Side::ClientAbruptly | Side::Server)) if is_resumed(story, id) => {
            "the session was resumed before the Will Delay Interval had passed"
        }
        _ => return false,
    };
    accuse(court, Kind::UndueWill, id, first, text);
    true
}

/// DISCONNECT surely arrived, before any newer connection of the client.
fn is_clear(story: &Story<'_>, id: ConnectionId, closed: Place) -> bool {
    let at = story.at(closed);
    let rules = story.rules;
    let soon = at.saturating_add(rules.grace);
    let next = story.next_attempt(id).map(|next| story.connection(next));
    story.connection(id).connected.is_some()
        && next.is_none_or(|next| story.at(next.connect) > soon)
        && !story.may_be_taken_over_late(id)
        && !story.faults.trouble(at, soon, rules.after_fault)
}

/// The next attempt surely resumed the session within the delay.
fn is_resumed(story: &Story<'_>, id: ConnectionId) -> bool {
    let old = story.connection(id);
    let next = story.next_attempt(id).map(|next| story.connection(next));
    let Some(next) = next else {
        return false;
    };
    let passes = story.at(old.alive()).saturating_add(delay(old));
    let is_in_time = next.connected.is_some_and(|place| story.at(place) < passes);
    is_in_time && next.session_present && !next.clean_start && !delay(old).is_zero()
}

fn early(court: &mut Court<'_, '_>, id: ConnectionId, first: &Reception) {
    let story = court.story;
    let connection = story.connection(id);
    let (Some(connected), place) = (connection.connected, first.place) else {
        return;
    };
    let is_served = connection
        .served
        .is_some_and(|(request, _)| request > place);
    let is_open = match connection.closed {
        None => true,
        Some((closed, by)) => closed > place && by != Side::Server,
    };
    let (from, until) = (story.at(connected), story.at(place));
    let is_calm = !story.faults.trouble(from, until, story.rules.after_fault);
    let is_alone = !story.is_superseded(id, place) && !story.may_be_taken_over_late(id);
    if is_served || (is_open && is_calm && is_alone && connected < place) {
        let text = "the Will came while its connection was there";
        accuse(court, Kind::EarlyWill, id, first, text);
    }
}

fn accuse(court: &mut Court<'_, '_>, kind: Kind, id: ConnectionId, first: &Reception, text: &str) {
    let story = court.story;
    let connection = story.connection(id);
    let next = story.next_attempt(id).map(|next| story.connection(next));
    let accusation = Accusation {
        kind,
        client: story.client(connection.client).name,
        message: first.message,
    };
    let served = connection
        .served
        .filter(|(request, _)| *request > first.place);
    let evidence = [
        Some(connection.connect),
        connection.connected,
        connection.closed.map(|(place, _)| place),
        served.map(|(request, _)| request),
        served.map(|(_, answer)| answer),
        next.and_then(|next| next.connected),
        Some(first.place),
    ];
    court.accuse(&accusation, text.to_owned(), &evidence);
}

fn missing(court: &mut Court<'_, '_>, key: MessageKey, id: ConnectionId) {
    let story = court.story;
    let message = story.message(key);
    let Some(end) = due(story, id).filter(|_| message.qos > 0) else {
        return;
    };
    let connection = story.connection(id);
    let mut watchers = story
        .matching(message.topic)
        .iter()
        .map(|watcher| story.subscription(*watcher))
        .filter(|watcher| {
            watcher.client != connection.client
                && watcher.filter.group.is_none()
                && watcher.is_sure_to_the_end()
                && watcher
                    .sure
                    .is_some_and(|(from, _)| from < connection.connect)
        })
        .peekable();
    court.counts.wills_due += u64::from(watchers.peek().is_some());
    let Some(watcher) = watchers.find(|watcher| !story.received.contains(&(watcher.client, key)))
    else {
        return;
    };
    let accusation = Accusation {
        kind: Kind::MissingWill,
        client: story.client(connection.client).name,
        message: Some(key),
    };
    let text = format!(
        "the Will of connection {} was due after {:?} and never came to {}",
        connection.number,
        delay(connection),
        story.client(watcher.client).name
    );
    let next = story.next_attempt(id).map(|next| story.connection(next));
    let evidence = [
        watcher.answer.map(|(place, _)| place),
        Some(connection.connect),
        connection.connected,
        Some(end),
        next.map(|next| next.connect),
        story.settled,
    ];
    court.accuse(&accusation, text, &evidence);
}

/// The end of the connection, if its Will surely had to be published.
fn due(story: &Story<'_>, id: ConnectionId) -> Option<Place> {
    let connection = story.connection(id);
    connection.connected?;
    let settled = story.settled?;
    let next = story.next_attempt(id).map(|next| story.connection(next));
    let takeover = next.and_then(|next| next.connected);
    let end = match connection.closed {
        Some((_, Side::ClientNormally)) => None,
        Some((closed, _)) => Some(takeover.map_or(closed, |place| place.min(closed))),
        None => takeover,
    }?;
    let (delay, grace) = (delay(connection), story.rules.will_grace);
    let passed = story.at(end).saturating_add(delay);
    if end > settled || passed.saturating_add(grace) > story.at(settled) {
        return None;
    }
    let Some(next) = next else {
        return Some(end);
    };
    let known = story.faults.calm_for(passed, grace).saturating_add(grace);
    if story.at(next.connect) > known {
        return Some(end);
    }
    let alive = story.at(connection.alive());
    let came = story.at(next.connected.unwrap_or(next.connect));
    let rules = story.rules;
    let is_calm = !story
        .faults
        .trouble(alive, came.saturating_add(rules.grace), rules.after_fault);
    let ends_session = next.clean_start && next.connected.is_some();
    (is_calm && (delay.is_zero() || ends_session)).then_some(end)
}
