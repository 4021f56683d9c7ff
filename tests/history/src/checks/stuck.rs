//! Nothing waits for ever ([MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11]).
//!
//! When the history settles, a message of QoS 1 or 2 was neither acknowledged nor refused, or one
//! of QoS 2 was acknowledged but not completed, although the connection on which it was sent
//! last is open.

use super::{Accusation, Court};
use crate::Kind;

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    let Some(settled) = story.settled else {
        return;
    };
    for (key, message) in story.messages.iter().enumerate() {
        let Some(last) = message.sends.last() else {
            continue;
        };
        let text = match (message.qos, message.acknowledged) {
            (0, _) => continue,
            (_, None) if !message.is_refused => "never acknowledged on an open connection",
            (2, Some(_)) if message.completed.is_none() => "no PUBCOMP on an open connection",
            _ => continue,
        };
        if last.place > settled || !story.is_open(last.connection, settled) {
            continue;
        }
        let connection = story.connection(last.connection);
        let accusation = Accusation {
            kind: Kind::Stuck,
            client: story.client(connection.client).name,
            message: Some(key),
        };
        let evidence = [
            connection.connected,
            Some(last.place),
            message.acknowledged,
            Some(settled),
        ];
        court.accuse(&accusation, text.to_owned(), &evidence);
    }
}
