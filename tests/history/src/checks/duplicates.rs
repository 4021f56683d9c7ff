//! Duplicates ([MQTT-4.3.2-5], [MQTT-4.3.3-12], [MQTT-4.4.0-1]).
//!
//! Deliveries with RETAIN are left out: each new subscription may bring the same message again. So are
//! Wills, see `wills`. A client of the load does not use filters of its own that overlap; with such
//! it might get one copy for each [MQTT-3.3.4-2], and the checker would accuse the server wrongly.
//!
//! *QoS 2.* `Received` stands for one handshake. A second one of the same message at the same client is a violation
//! if its session surely was the same all the time. Excused: the publisher sent the message again
//! while its own session may have ended (the server cannot know that it is the same message); one of the two was
//! read from a connection after the client had begun a newer one (the acknowledgement is lost
//! with that connection, and what is read there may be old).
//!
//! *QoS 1.* Counted. A violation if there is no cause: the publisher did not send it again, the connection of the
//! subscriber is the same, and no fault was under way or had ended less than `Rules::after_fault` before.
//! MQTT 5 lets a server repeat PUBLISH only on a new connection.

use std::collections::HashMap;

use super::{Accusation, Court};
use crate::{Kind, story::Reception};

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    let mut last: HashMap<(usize, usize), &Reception> = HashMap::new();
    for reception in &story.receptions {
        let Some(key) = reception.message else {
            continue;
        };
        let is_will = story.message(key).will.is_some();
        if reception.is_retained || reception.qos == 0 || is_will {
            continue;
        }
        if let Some(first) = last.insert((reception.client, key), reception) {
            if first.qos == 2 && reception.qos == 2 {
                exactly_once(court, first, reception);
            } else {
                at_least_once(court, first, reception);
            }
        }
    }
}

fn exactly_once(court: &mut Court<'_, '_>, first: &Reception, second: &Reception) {
    let story = court.story;
    let is_old = |reception: &Reception| story.is_superseded(reception.connection, reception.place);
    let is_excused = second
        .message
        .is_some_and(|key| story.is_published_twice(key))
        || !story.is_same_session(first.connection, second.connection)
        || is_old(first)
        || is_old(second);
    if !is_excused {
        accuse(court, Kind::Duplicate, first, second);
    }
}

fn at_least_once(court: &mut Court<'_, '_>, first: &Reception, second: &Reception) {
    let story = court.story;
    let at = story.at(second.place);
    let has_cause = second
        .message
        .is_some_and(|key| story.is_published_twice(key))
        || first.connection != second.connection
        || story.faults.trouble(at, at, story.rules.after_fault);
    if has_cause {
        court.counts.duplicates_with_cause += 1;
    } else {
        court.counts.duplicates_without_cause += 1;
        accuse(court, Kind::UncausedDuplicate, first, second);
    }
}

fn accuse(court: &mut Court<'_, '_>, kind: Kind, first: &Reception, second: &Reception) {
    let story = court.story;
    let accusation = Accusation {
        kind,
        client: story.client(second.client).name,
        message: second.message,
    };
    let sent = second.message.map(|key| story.message(key));
    let sent = sent.and_then(|message| message.sends.first());
    let text = format!(
        "received twice with QoS {} on {}",
        second.qos,
        story.topic(second.topic)
    );
    let evidence = [
        sent.map(|send| send.place),
        Some(first.place),
        Some(second.place),
    ];
    court.accuse(&accusation, text, &evidence);
}
