//! One client identifier, one connection ([MQTT-3.1.4-3]; G5, G8).
//!
//! A client has two connections, B begun after A was accepted. Once CONNACK of B has come, A is over, whatever the
//! client can still read from it: a violation if the client sends PUBLISH, SUBSCRIBE, UNSUBSCRIBE or PINGREQ on A after that and gets
//! the answer (an acknowledgement that refuses is none). If the two handshakes overlapped, either
//! may be the one that stays: a violation if both are served after both were accepted.
//!
//! The answer to a PINGREQ proves nothing while a fault is under way or ended less than
//! `Rules::after_fault` ago: a node that is cut off from the others cannot know that the client is elsewhere, and
//! keeps its connections as in an outage. Acknowledgements it must not give then.

use super::{Accusation, Court};
use crate::{Kind, story::ConnectionId};

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    for client in &story.clients {
        for (index, old) in client.connected.iter().enumerate() {
            for new in client.connected.iter().skip(index + 1) {
                let began = story.connection(*new).connect;
                let overlaps = story
                    .connection(*old)
                    .connected
                    .is_none_or(|place| place > began);
                both(court, *old, *new, overlaps);
                if !overlaps {
                    break;
                }
            }
        }
    }
}

fn both(court: &mut Court<'_, '_>, old: ConnectionId, new: ConnectionId, overlaps: bool) {
    let story = court.story;
    let (old, new) = (story.connection(old), story.connection(new));
    let Some(accepted) = new.connected else {
        return;
    };
    let served = old.served.filter(|(request, _)| *request > accepted);
    let also = new.served.filter(|(request, _)| *request > accepted);
    let Some((request, answer)) = served.filter(|_| !overlaps || also.is_some()) else {
        return;
    };
    let accusation = Accusation {
        kind: Kind::TwoOwners,
        client: story.client(old.client).name,
        message: None,
    };
    let text = format!(
        "connection {} is served although connection {} was accepted",
        old.number, new.number
    );
    let evidence = [
        old.connected,
        new.connected,
        Some(request),
        Some(answer),
        also.filter(|_| overlaps).map(|(_, answer)| answer),
    ];
    court.accuse(&accusation, text, &evidence);
}
