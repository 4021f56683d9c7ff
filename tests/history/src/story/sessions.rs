//! Which connections have one session.
//!
//! Two accepted connections of a client, one after the other, *surely* have one session if the later one
//! asked for it (no Clean Start), was told Session Present, and nothing in between can have ended the
//! session and begun another. What can: an attempt to connect that was not answered, but may
//! have been handled by the server, with Clean Start or so that the session expired. The server may
//! handle it late: up to [`Rules::grace`](crate::Rules) after the client gave it up, and if it did so during a fault, after that.
//!
//! Two connections whose handshakes overlapped were handled in either order. If the older one had
//! Clean Start nothing is sure.

use std::time::Duration;

use super::{Connection, ConnectionId, Place, Story};

impl Story<'_> {
    pub(super) fn join_sessions(&mut self) {
        let mut sessions = Vec::new();
        for client in &self.clients {
            let mut session = 0;
            let mut before = None;
            for id in &client.connected {
                if before.is_none_or(|before| !self.surely_continues(before, *id)) {
                    session += 1;
                }
                before = Some(*id);
                sessions.push((*id, session, self.cut(&client.connected, *id)));
            }
        }
        for (id, session, cut) in sessions {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.session = session;
                connection.cut = cut;
            }
        }
    }

    fn surely_continues(&self, before: ConnectionId, id: ConnectionId) -> bool {
        let (old, new) = (self.connection(before), self.connection(id));
        let overlaps = old.connected.is_some_and(|place| place > new.connect);
        let may_be_other = new.clean_start || (overlaps && old.clean_start);
        new.session_present && !may_be_other && !self.is_doubtful(before, id)
    }

    /// Whether an attempt without answer can have ended the session between two connections.
    pub(crate) fn is_doubtful(&self, before: ConnectionId, id: ConnectionId) -> bool {
        let (old, new) = (self.connection(before), self.connection(id));
        let Some(connected) = new.connected else {
            return true;
        };
        self.client(new.client)
            .attempts
            .iter()
            .map(|attempt| self.connection(*attempt))
            .take_while(|attempt| attempt.connect < connected)
            .filter(|attempt| attempt.connected.is_none() && !attempt.is_refused)
            .any(|attempt| {
                let until = self.handled_until(attempt);
                let may_come_between =
                    attempt.connect > old.connect || until >= self.at(new.connect);
                let ends_it = attempt.clean_start
                    || attempt.expiry.is_zero()
                    || self.at(connected)
                        >= self.at(attempt.connect).saturating_add(attempt.expiry)
                    || until >= self.expires(old);
                may_come_between && ends_it
            })
    }

    /// Until when the server may still handle an attempt that got no answer.
    fn handled_until(&self, attempt: &Connection<'_>) -> Duration {
        let Some((closed, _)) = attempt.closed else {
            return Duration::MAX;
        };
        self.faults
            .calm_after(self.at(closed))
            .saturating_add(self.rules.grace)
    }

    /// Whether an earlier attempt that was given up without answer may be handled after this one, and take
    /// it over.
    pub(crate) fn may_be_taken_over_late(&self, id: ConnectionId) -> bool {
        let connection = self.connection(id);
        self.client(connection.client)
            .attempts
            .iter()
            .map(|attempt| self.connection(*attempt))
            .take_while(|attempt| attempt.connect < connection.connect)
            .filter(|attempt| attempt.connected.is_none() && !attempt.is_refused)
            .any(|attempt| self.handled_until(attempt) >= self.at(connection.connect))
    }

    /// The earliest time at which the session of a connection can expire, if no other is made: the
    /// server may have lost the connection just after the last request that it answered.
    pub(crate) fn expires(&self, connection: &Connection<'_>) -> Duration {
        self.at(connection.alive())
            .saturating_add(connection.expiry)
    }

    /// What was accepted before this place is in no session that this connection can have: Session
    /// Present was 0 here, or on a connection in between.
    fn cut(&self, connected: &[ConnectionId], id: ConnectionId) -> Place {
        let new = self.connection(id);
        let mut cut = if new.session_present { 0 } else { new.connect };
        for other in connected {
            let other = self.connection(*other);
            match other.connected {
                Some(place) if place < new.connect => {
                    if !other.session_present {
                        cut = cut.max(other.connect);
                    }
                }
                _ => break,
            }
        }
        cut
    }

    /// The connection that a client has open when the history settles.
    pub(crate) fn open_at_the_end(&self, client: super::ClientId) -> Option<ConnectionId> {
        let settled = self.settled?;
        let connected = &self.client(client).connected;
        let last = connected
            .iter()
            .rev()
            .find(|id| {
                let connected = self.connection(**id).connected;
                connected.is_some_and(|place| place < settled)
            })
            .copied()?;
        self.is_open(last, settled).then_some(last)
    }

    /// Accepted before a place and not closed until then.
    pub(crate) fn is_open(&self, id: ConnectionId, place: Place) -> bool {
        let connection = self.connection(id);
        connection
            .connected
            .is_some_and(|connected| connected < place)
            && connection.closed.is_none_or(|(closed, _)| closed > place)
    }
}
