//! Session Present tells the truth ([MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.2.2-2], [MQTT-3.2.2-3]; G2).
//!
//! *Session lost.* A CONNACK without Session Present answers a CONNECT without Clean Start, although the client's
//! accepted connection before it had an expiry above zero that cannot have passed (counted from
//! the last request on it that was answered, because the server may have lost it just then), and no attempt in between
//! that may have been handled can have ended the session (see `story::sessions`). Handshakes that
//! overlapped are not judged.
//!
//! *Session kept.* A CONNACK with Session Present answers a CONNECT with Clean Start.

use super::{Accusation, Court};
use crate::{Kind, story::ConnectionId};

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    for client in &story.clients {
        let mut before: Option<ConnectionId> = None;
        for id in &client.connected {
            let connection = story.connection(*id);
            if connection.session_present && connection.clean_start {
                let text = "a session is said to be there after Clean Start".to_owned();
                let evidence = [Some(connection.connect), connection.connected];
                court.accuse(&accusation(Kind::SessionKept, client.name), text, &evidence);
            }
            if let Some(before) = before.replace(*id) {
                lost(court, before, *id);
            }
        }
    }
}

fn accusation(kind: Kind, client: &str) -> Accusation<'_> {
    Accusation {
        kind,
        client,
        message: None,
    }
}

fn lost(court: &mut Court<'_, '_>, before: ConnectionId, id: ConnectionId) {
    let story = court.story;
    let (old, new) = (story.connection(before), story.connection(id));
    let Some(connected) = new.connected else {
        return;
    };
    let overlaps = old.connected.is_none_or(|place| place > new.connect);
    if new.session_present || new.clean_start || old.expiry.is_zero() || overlaps {
        return;
    }
    if story.at(connected) >= story.expires(old) || story.is_doubtful(before, id) {
        return;
    }
    let text = format!(
        "no session is said to be there, but that of connection {} cannot have expired",
        old.number
    );
    let evidence = [
        Some(old.connect),
        old.connected,
        Some(old.alive()),
        old.closed.map(|(place, _)| place),
        Some(new.connect),
        new.connected,
    ];
    court.accuse(
        &accusation(Kind::SessionLost, story.client(new.client).name),
        text,
        &evidence,
    );
}
