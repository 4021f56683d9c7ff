//! The last packet of a connection.

use std::io;

use mqtt::{Disconnect, Packet, ProtocolVersion, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::{Connection, LAST_WORD, websocket};
use crate::{
    handle::Cause,
    telemetry::{Flow, chain},
};

/// Why a connection ends.
pub(super) enum End {
    /// The client said DISCONNECT, or its socket is gone.
    Silent,
    /// The client is told why.
    Told(ReasonCode),
    /// Another connection has claimed the client.
    TakenOver { is_resumed: bool },
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// The socket is gone, or what is above it was broken by the client.
    pub(super) fn lost(&self, error: &io::Error) -> End {
        let client_id = &self.session.client_id;
        if websocket::is_violation(error) {
            self.rooms.metrics.reject_packet("websocket");
            warn!(%client_id, peer = %self.peer, error = %chain(error), "connection closed");
        } else {
            debug!(%client_id, error = %chain(error), "connection lost");
        }
        End::Silent
    }

    /// The last packet, where the protocol has one [MQTT-4.13.1-1].
    pub(super) async fn say_goodbye(&mut self, end: End) -> Cause {
        let (reason_code, cause) = match end {
            End::Silent => return Cause::Ended,
            End::Told(reason_code) => (reason_code, Cause::Ended),
            End::TakenOver { is_resumed } => {
                self.rooms.metrics.takeovers.inc();
                (
                    ReasonCode::SessionTakenOver,
                    Cause::TakenOver { is_resumed },
                )
            }
        };
        if self.session.version == ProtocolVersion::V5 {
            let packet = Packet::Disconnect(Disconnect::new(reason_code));
            let output = &mut self.transport.output;
            let before = output.len();
            let is_written = mqtt::encode(&packet, self.session.version, output).is_ok();
            if !self.session.accepts(output.len() - before) {
                output.truncate(before);
            }
            if is_written {
                self.rooms.metrics.traffic.flows.count(Flow::OthersSent);
                self.transport.flush(LAST_WORD).await;
            }
        }
        debug!(client_id = %self.session.client_id, reason = %reason_code, "connection closed");
        cause
    }
}
