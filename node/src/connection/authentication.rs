//! Between CONNECT and CONNACK: the client shows who it is.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use super::{
    opening::{self, Opened},
    transport::Transport,
};
use crate::{
    handle::{Authenticated, Authentication, Greeting, Peer, Refusal, Rooms},
    telemetry::{Flow, chain},
};

/// Lets the client authenticate until `deadline`. Nothing if the connection is over; then the client
/// was told why.
pub(super) async fn authenticate<S>(
    transport: &mut Transport<S>,
    opened: &mut Opened,
    peer: &Peer,
    deadline: Instant,
    rooms: &Rooms,
) -> Option<Authenticated>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match exchange(transport, opened, peer, deadline, rooms).await {
        Ok(authenticated) => authenticated,
        Err(refusal) => {
            let reason_code = refusal.reason_code();
            rooms.metrics.refuse_connect(reason_code);
            if let Refusal::Malformed(error) = &refusal {
                rooms.metrics.reject_packet(error.label());
            }
            warn!(
                client_id = %opened.connect.client_id,
                %peer,
                reason = %reason_code,
                error = %chain(&refusal),
                "client refused"
            );
            let version = opened.connect.version;
            let maximum_packet_size = opened.connect.properties.maximum_packet_size;
            let maximum_packet_size = maximum_packet_size.map_or(u32::MAX, u32::from);
            let connack = refusal.connack(&opened.connect);
            opening::send_last(transport, version, &connack, maximum_packet_size).await;
            None
        }
    }
}

async fn exchange<S>(
    transport: &mut Transport<S>,
    opened: &mut Opened,
    peer: &Peer,
    deadline: Instant,
    rooms: &Rooms,
) -> Result<Option<Authenticated>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opened { decoder, connect } = opened;
    let mut authentication = Authentication::begin(rooms, connect, peer)?;
    loop {
        match authentication.step(deadline).await? {
            Greeting::Done(authenticated) => return Ok(Some(authenticated)),
            Greeting::Ask(packet) => {
                if let Err(error) = mqtt::encode(&packet, connect.version, &mut transport.output) {
                    warn!(client_id = %connect.client_id, error = %chain(&error), "AUTH not sent");
                    return Ok(None);
                }
                rooms.metrics.traffic.flows.count(Flow::OthersSent);
            }
        }
        let packet = loop {
            if let Some(packet) = decoder.decode(&mut transport.input)? {
                break packet;
            }
            match timeout_at(deadline, opening::read(transport, peer, rooms)).await {
                Ok(Some(())) => {}
                Ok(None) => return Ok(None),
                Err(_) => {
                    rooms.metrics.reject_packet("connect_timeout");
                    debug!(%peer, "no answer to AUTH in time");
                    return Ok(None);
                }
            }
        };
        rooms.metrics.traffic.flows.count(Flow::OthersReceived);
        if !authentication.receive(&packet)? {
            return Ok(None);
        }
    }
}
