//! One change that makes an innocent history guilty.

use std::collections::BTreeMap;

use history::{Entry, Happened, History, Kind, MessageId, Retain};

use super::chance::Chance;

/// A change, what it must be found guilty of, and whether always. Where not, an excuse that is hard to see from
/// here may apply; then it must be found in a good part of the histories.
pub const MUTATIONS: &[(&str, Mutation, Kind, bool)] = &[
    ("a reception is dropped", drop_reception, Kind::Loss, true),
    ("a QoS 2 message comes twice", double, Kind::Duplicate, true),
    ("two receptions are swapped", swap, Kind::Disorder, true),
    ("a Will comes twice", double_will, Kind::DoubleWill, true),
    ("a Will does not come", drop_will, Kind::MissingWill, false),
    (
        "an older message is retained",
        older,
        Kind::RetainedOld,
        false,
    ),
    ("a session is not there", forget, Kind::SessionLost, true),
    ("a topic is another", other_topic, Kind::Phantom, true),
    ("a QoS is raised", raise, Kind::WrongQos, true),
    (
        "a group misses a message",
        drop_shared,
        Kind::SharedMiss,
        false,
    ),
    (
        "two members get a message",
        double_shared,
        Kind::SharedDouble,
        false,
    ),
    (
        "an old connection is served",
        serve_old,
        Kind::TwoOwners,
        false,
    ),
    (
        "an acknowledgement never comes",
        forget_answer,
        Kind::Stuck,
        true,
    ),
];

/// `None`: there is nothing to change.
pub type Mutation = fn(&History, &mut Chance) -> Option<History>;

type Found = (usize, MessageId, u8);

/// Deliveries without RETAIN to clients whose name begins so.
fn receptions(history: &History, client: &str) -> Vec<Found> {
    let entries = history.entries.iter().enumerate();
    let of_client = entries.filter(|(_, entry)| entry.client.starts_with(client));
    of_client
        .filter_map(|(place, entry)| match &entry.what {
            Happened::Received {
                message,
                qos,
                retain: Retain::No,
                ..
            } => Some((place, message.clone(), *qos)),
            _ => None,
        })
        .collect()
}

/// No newer connection of the client was begun before this entry.
fn is_current(history: &History, place: usize) -> bool {
    let Entry {
        client, connection, ..
    } = &history.entries[place];
    let mut before = history.entries[..place].iter();
    !before.any(|entry| entry.client == *client && entry.connection > *connection)
}

fn is_acknowledged(history: &History, id: &MessageId) -> bool {
    let is_answer = |entry: &Entry| matches!(&entry.what, Happened::Acknowledged { message, .. } if message == id);
    history.entries.iter().any(is_answer)
}

/// Where it was published; empty for a Will.
fn sends(history: &History, id: &MessageId) -> Vec<usize> {
    let is_send =
        |entry: &Entry| matches!(&entry.what, Happened::Publish { message, .. } if message == id);
    let entries = history.entries.iter().enumerate();
    entries
        .filter(|(_, entry)| is_send(entry))
        .map(|(place, _)| place)
        .collect()
}

fn pick<T>(mut from: Vec<T>, chance: &mut Chance) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(chance.below(from.len())))
}

fn without(history: &History, client: &str, message: &MessageId) -> History {
    let mut changed = history.clone();
    changed.entries.retain(|entry| {
        let is_it =
            matches!(&entry.what, Happened::Received { message: found, .. } if found == message);
        !(is_it && entry.client.starts_with(client))
    });
    changed
}

fn twice(history: &History, place: usize) -> History {
    let mut changed = history.clone();
    changed
        .entries
        .insert(place + 1, history.entries[place].clone());
    changed
}

/// Promised to a keeper: first sent after its SUBACK, and acknowledged.
fn promised(history: &History, client: &str) -> Vec<Found> {
    let is_answer =
        |entry: &Entry| entry.client == client && matches!(entry.what, Happened::Subscribed { .. });
    let subscribed = history
        .entries
        .iter()
        .position(is_answer)
        .unwrap_or(usize::MAX);
    let mut found = receptions(history, client);
    found.retain(|(_, message, qos)| {
        let first = sends(history, message).first().copied();
        *qos > 0
            && first.is_some_and(|first| first > subscribed)
            && is_acknowledged(history, message)
    });
    found
}

fn drop_reception(history: &History, chance: &mut Chance) -> Option<History> {
    let (_, message, _) = pick(promised(history, "keeper1"), chance)?;
    Some(without(history, "keeper1", &message))
}

fn double(history: &History, chance: &mut Chance) -> Option<History> {
    let mut found = receptions(history, "keeper2");
    found.retain(|(place, message, qos)| {
        // The session of q ends with its connection: what it sends again is another message.
        *qos == 2
            && (message.publisher == "p" || sends(history, message).len() == 1)
            && is_current(history, *place)
    });
    let (place, ..) = pick(found, chance)?;
    Some(twice(history, place))
}

fn swap(history: &History, chance: &mut Chance) -> Option<History> {
    let all = receptions(history, "keeper2");
    let mut found = all.clone();
    found.retain(|(_, id, _)| all.iter().filter(|(_, other, _)| other == id).count() == 1);
    let mut pairs = Vec::new();
    let mut last: BTreeMap<(String, String, u8), Found> = BTreeMap::new();
    for (place, message, qos) in found {
        let Happened::Received { topic, .. } = &history.entries[place].what else {
            continue;
        };
        let stream = (message.publisher.clone(), topic.clone(), qos);
        let now = (place, message, qos);
        let Some(before) = last.insert(stream, now.clone()) else {
            continue;
        };
        let connection = |place: usize| history.entries[place].connection;
        let (old, new) = (sends(history, &before.1), sends(history, &now.1));
        let is_plain = old.len() == 1
            && new.len() == 1
            && connection(old[0]) == connection(new[0])
            && new[0] < before.0;
        if is_plain && connection(before.0) == connection(now.0) && before.1 < now.1 {
            pairs.push((before.0, now.0));
        }
    }
    let (a, b) = pick(pairs, chance)?;
    let mut changed = history.clone();
    let first = changed.entries[a].what.clone();
    changed.entries[a].what = std::mem::replace(&mut changed.entries[b].what, first);
    Some(changed)
}

fn double_will(history: &History, chance: &mut Chance) -> Option<History> {
    let mut found = receptions(history, "watcher");
    found.retain(|(place, ..)| is_current(history, *place));
    let (place, ..) = pick(found, chance)?;
    Some(twice(history, place))
}

fn drop_will(history: &History, chance: &mut Chance) -> Option<History> {
    let (_, message, _) = pick(receptions(history, "watcher"), chance)?;
    Some(without(history, "watcher", &message))
}

fn older(history: &History, chance: &mut Chance) -> Option<History> {
    let mut changed = history.clone();
    let mut retained: Vec<(&mut MessageId, &String)> = Vec::new();
    for entry in &mut changed.entries {
        if let Happened::Received {
            message,
            topic,
            retain: Retain::Yes,
            ..
        } = &mut entry.what
        {
            retained.push((message, topic));
        }
    }
    let at = chance.below(retained.len().max(1));
    let (chosen, topic) = retained.get_mut(at)?;
    let first = history.entries.iter().find_map(|entry| match &entry.what {
        Happened::Publish {
            message, topic: on, ..
        } if on == *topic => Some(message),
        _ => None,
    })?;
    (**chosen != *first).then(|| first.clone_into(chosen))?;
    Some(changed)
}

fn forget(history: &History, chance: &mut Chance) -> Option<History> {
    let entries = history.entries.iter().enumerate();
    let places = entries
        .filter(|(_, entry)| entry.client.starts_with("keeper"))
        .filter(|(place, entry)| {
            let is_resumed = matches!(
                entry.what,
                Happened::Connected {
                    session_present: true
                }
            );
            // Handshakes that overlap are not judged.
            let dialled = |connection| {
                let is_it = |other: &Entry| {
                    other.client == entry.client
                        && other.connection == connection
                        && matches!(other.what, Happened::Connect { .. })
                };
                history.entries.iter().position(is_it).unwrap()
            };
            let from = dialled(entry.connection);
            let between = &history.entries[from..*place];
            let overlaps = between.iter().any(|other| {
                other.client == entry.client && matches!(other.what, Happened::Connected { .. })
            });
            is_resumed && !overlaps
        })
        .map(|(place, _)| place)
        .collect();
    let place = pick(places, chance)?;
    let mut changed = history.clone();
    changed.entries[place].what = Happened::Connected {
        session_present: false,
    };
    Some(changed)
}

fn other_topic(history: &History, chance: &mut Chance) -> Option<History> {
    let (place, ..) = pick(receptions(history, "passer"), chance)?;
    let mut changed = history.clone();
    if let Happened::Received { topic, .. } = &mut changed.entries[place].what {
        *topic = "t/z".to_owned();
    }
    Some(changed)
}

fn raise(history: &History, chance: &mut Chance) -> Option<History> {
    let (place, ..) = pick(receptions(history, "passer1"), chance)?;
    let mut changed = history.clone();
    if let Happened::Received { qos, .. } = &mut changed.entries[place].what {
        *qos = 2;
    }
    Some(changed)
}

fn drop_shared(history: &History, chance: &mut Chance) -> Option<History> {
    let mut found = receptions(history, "member");
    found.retain(|(place, message, qos)| {
        ["member3", "member4"].contains(&history.entries[*place].client.as_str())
            && *qos > 0
            && is_acknowledged(history, message)
    });
    let (_, message, _) = pick(found, chance)?;
    Some(without(
        &without(history, "member3", &message),
        "member4",
        &message,
    ))
}

fn double_shared(history: &History, chance: &mut Chance) -> Option<History> {
    let mut found = receptions(history, "member3");
    found.retain(|(_, _, qos)| *qos == 2);
    let (place, ..) = pick(found, chance)?;
    let is_other =
        |entry: &&Entry| entry.client == "member4" && entry.at <= history.entries[place].at;
    let other = history.entries.iter().rev().find(is_other)?;
    let mut changed = twice(history, place);
    changed.entries[place + 1].client.clone_from(&other.client);
    changed.entries[place + 1].connection = other.connection;
    Some(changed)
}

fn serve_old(history: &History, chance: &mut Chance) -> Option<History> {
    let entries = history.entries.iter().enumerate();
    let accepted = entries.filter(|(_, entry)| matches!(entry.what, Happened::Connected { .. }));
    let accepted: Vec<(usize, &Entry)> = accepted.collect();
    let (place, new) = pick(accepted.clone(), chance)?;
    let is_dialled = |other: &Entry| {
        other.client == new.client
            && other.connection == new.connection
            && matches!(other.what, Happened::Connect { .. })
    };
    let dialled = history.entries.iter().position(is_dialled)?;
    let mut before = accepted
        .iter()
        .rev()
        .filter(|(at, entry)| *at < dialled && entry.client == new.client);
    let (_, old) = before.next()?;
    let mut changed = history.clone();
    for what in [Happened::Pong, Happened::Ping] {
        let entry = Entry {
            at: new.at,
            client: old.client.clone(),
            connection: old.connection,
            what,
        };
        changed.entries.insert(place + 1, entry);
    }
    Some(changed)
}

fn forget_answer(history: &History, chance: &mut Chance) -> Option<History> {
    let last = |client: &str| {
        let mut entries = history.entries.iter().rev();
        entries
            .find(|entry| entry.client == client)
            .map(|entry| entry.connection)
    };
    let mut found: Vec<&MessageId> = Vec::new();
    for entry in &history.entries {
        if let Happened::Acknowledged { message, .. } = &entry.what {
            let sent = sends(history, message).last().copied();
            let on = sent.map(|place| history.entries[place].connection);
            if on.is_some() && on == last(&entry.client) {
                found.push(message);
            }
        }
    }
    let message = pick(found, chance)?.clone();
    let mut changed = history.clone();
    changed.entries.retain(|entry| {
        !matches!(&entry.what, Happened::Acknowledged { message: found, .. } if *found == message)
    });
    Some(changed)
}
