//! The start of a connection: CONNECT, CONNACK.

use std::sync::Arc;

use mqtt::{
    ConnAck, Connect, DecodeError, Decoder, Packet, PacketType, ProtocolVersion, ReasonCode, Side,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::{
    LAST_WORD, proxy,
    transport::{Exchange, Transport},
    websocket,
};
use crate::{
    config::Kind,
    handle::{self, Authenticated, Peer, Rooms},
    session::Session,
    telemetry::{Flow, chain},
};

/// A connection whose CONNECT has come.
pub(super) struct Opened {
    pub(super) decoder: Decoder,
    pub(super) connect: Connect,
}

/// Reads up to the end of CONNECT. Nothing if the connection is over.
pub(super) async fn open<S>(
    transport: &mut Transport<S>,
    peer: &Peer,
    rooms: &Rooms,
) -> Option<Opened>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut decoder = Decoder::new(Side::Server, rooms.config.mqtt.server_maximum_packet_size);
    loop {
        match decoder.decode(&mut transport.input) {
            Ok(Some(Packet::Connect(connect))) => {
                rooms.metrics.traffic.connects.inc();
                rooms.metrics.traffic.flows.count(Flow::OthersReceived);
                return Some(Opened {
                    decoder,
                    connect: *connect,
                });
            }
            // The decoder refuses any other first packet itself [MQTT-3.1.0-1].
            Ok(Some(_)) => return None,
            Ok(None) => read(transport, peer, rooms).await?,
            Err(error) => {
                refuse(transport, &decoder, &error, peer, rooms).await;
                return None;
            }
        }
    }
}

/// Moves bytes once. Nothing if the connection is over.
pub(super) async fn read<S>(transport: &mut Transport<S>, peer: &Peer, rooms: &Rooms) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match transport.exchange(true, false).await {
        Ok(Exchange::Moved) => Some(()),
        Ok(Exchange::Closed) => None,
        Err(error) => {
            if websocket::is_violation(&error) {
                rooms.metrics.reject_packet("websocket");
                warn!(%peer, error = %chain(&error), "no CONNECT");
            }
            None
        }
    }
}

/// Answers a CONNECT that cannot be read, where the protocol has an answer.
async fn refuse<S>(
    transport: &mut Transport<S>,
    decoder: &Decoder,
    error: &DecodeError,
    peer: &Peer,
    rooms: &Rooms,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    rooms.metrics.reject_packet(error.label());
    let hint = hint(&transport.input, peer, rooms);
    warn!(%peer, reason = error.label(), error = %chain(error), "no valid CONNECT{hint}");
    if error.packet() != Some(PacketType::Connect) {
        return;
    }
    let version = decoder.version().unwrap_or(ProtocolVersion::V3_1_1);
    let reason_code = error.reason_code();
    // [MQTT-3.1.2-2] MQTT 3 has no code for a malformed CONNECT: it is only closed.
    let is_told = version == ProtocolVersion::V5
        || matches!(
            reason_code,
            ReasonCode::UnsupportedProtocolVersion | ReasonCode::ClientIdentifierNotValid
        );
    if is_told {
        answer(transport, version, reason_code, u32::MAX).await;
    }
}

/// What somebody may have meant whose first bytes are no CONNECT.
fn hint(first: &[u8], peer: &Peer, rooms: &Rooms) -> &'static str {
    if peer.listener != Kind::Tcp {
        return "";
    }
    match first {
        [0x16, 3, ..] => "; the client speaks TLS, which goes to listener.tls",
        [b'G', b'E', b'T', b' ', ..] => "; the client speaks HTTP: WebSocket goes to listener.ws",
        _ => proxy::hint(first, rooms),
    }
}

/// The last CONNACK of a connection [MQTT-3.1.4-6], if the client accepts one of its size.
async fn answer<S>(
    transport: &mut Transport<S>,
    version: ProtocolVersion,
    reason_code: ReasonCode,
    maximum_packet_size: u32,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let packet = Packet::ConnAck(ConnAck::new(false, reason_code));
    send_last(transport, version, &packet, maximum_packet_size).await;
}

/// The last packet before the connection is closed, if the client accepts one of its size.
pub(super) async fn send_last<S>(
    transport: &mut Transport<S>,
    version: ProtocolVersion,
    packet: &Packet,
    maximum_packet_size: u32,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let before = transport.output.len();
    let is_written = mqtt::encode(packet, version, &mut transport.output).is_ok();
    let bytes = u32::try_from(transport.output.len() - before).unwrap_or(u32::MAX);
    if is_written && bytes <= maximum_packet_size {
        transport.metrics().traffic.flows.count(Flow::OthersSent);
        transport.flush(LAST_WORD).await;
    }
}

/// Lets the client in, or tells it why not.
pub(super) async fn admit<S>(
    transport: &mut Transport<S>,
    connect: Connect,
    authenticated: Authenticated,
    peer: &Peer,
    rooms: &Arc<Rooms>,
) -> Option<Session>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let version = connect.version;
    let client_id = connect.client_id.clone();
    let maximum_packet_size = connect.properties.maximum_packet_size;
    match handle::connect(rooms, connect, authenticated).await {
        Ok((session, connack)) => {
            rooms.metrics.traffic.flows.count(Flow::OthersSent);
            let packet = Packet::ConnAck(connack);
            if let Err(error) = mqtt::encode(&packet, version, &mut transport.output) {
                warn!(%client_id, error = %chain(&error), "CONNACK not sent");
            }
            Some(session)
        }
        Err(refusal) => {
            let reason_code = refusal.reason_code();
            rooms.metrics.refuse_connect(reason_code);
            warn!(%client_id, %peer, reason = %reason_code, error = %chain(&refusal), "client refused");
            let maximum_packet_size = maximum_packet_size.map_or(u32::MAX, u32::from);
            answer(transport, version, reason_code, maximum_packet_size).await;
            None
        }
    }
}
