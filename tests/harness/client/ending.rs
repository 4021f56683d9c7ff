//! How connections end.

use std::time::Duration;

use mqtt::{Disconnect, DisconnectProperties, Packet, ProtocolVersion, Publish, ReasonCode};
use tokio::time::timeout;

use super::{Client, Event};
use crate::{LIMIT, Session};

impl Client {
    /// Waits until the server closes; returns its DISCONNECT, if it sent one. Messages that come
    /// before are kept.
    ///
    /// # Panics
    ///
    /// If it does not close in time.
    pub async fn closed(&mut self) -> Option<Disconnect> {
        self.closed_within(LIMIT).await
    }

    /// The same with another limit.
    pub async fn closed_within(&mut self, limit: Duration) -> Option<Disconnect> {
        let wait = async {
            loop {
                match self.event().await {
                    Event::Closed => return,
                    Event::Message(publish) => self.inbox.push_back(publish),
                    _ => {}
                }
            }
        };
        timeout(limit, wait)
            .await
            .expect("the server does not close the connection");
        self.disconnected.take()
    }

    /// Waits for the end and checks the reason: DISCONNECT in MQTT 5, a mere close before it.
    ///
    /// # Panics
    ///
    /// If the reason is another.
    pub async fn closed_with(&mut self, reason: ReasonCode) {
        let disconnect = self.closed().await.map(|packet| packet.reason_code);
        let expected = (self.version == ProtocolVersion::V5).then_some(reason);
        assert_eq!(disconnect, expected, "reason of the server for closing");
    }

    /// Sends DISCONNECT, closes, and returns the session.
    pub async fn disconnect(self) -> Session {
        self.disconnect_with(ReasonCode::Success, None).await
    }

    /// The same with a reason and perhaps a new Session Expiry Interval.
    pub async fn disconnect_with(
        mut self,
        reason_code: ReasonCode,
        session_expiry_interval: Option<u32>,
    ) -> Session {
        self.send(&Packet::Disconnect(Disconnect {
            reason_code,
            properties: DisconnectProperties {
                session_expiry_interval,
                ..DisconnectProperties::default()
            },
        }))
        .await;
        // The server closes after it; then nothing of ours is under way any more.
        let _ = timeout(LIMIT, async { while self.next_packet().await.is_some() {} }).await;
        self.session
    }

    /// Closes the socket without a word, and returns the session.
    pub async fn vanish(mut self) -> Session {
        self.flush().await;
        self.session
    }

    /// Messages that have come and were not asked for yet.
    pub fn take_inbox(&mut self) -> Vec<Publish> {
        self.inbox.drain(..).collect()
    }
}
