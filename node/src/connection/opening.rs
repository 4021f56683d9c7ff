//! The start of a connection: a PROXY header perhaps, CONNECT, CONNACK.

use std::{net::SocketAddr, sync::Arc};

use mqtt::{
    ConnAck, Connect, DecodeError, Decoder, Packet, PacketType, ProtocolVersion, ReasonCode, Side,
};
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::{
    LAST_WORD,
    transport::{Exchange, Transport},
};
use crate::{
    config::ProxyProtocol,
    handle::{self, Authenticated, Rooms},
    session::Session,
    telemetry::chain,
};

/// A connection whose CONNECT has come.
pub(super) struct Opened {
    pub(super) decoder: Decoder,
    pub(super) connect: Connect,
    /// The address of the client, also behind a load balancer.
    pub(super) peer: SocketAddr,
}

/// Reads up to the end of CONNECT. Nothing if the connection is over.
pub(super) async fn open<S>(
    transport: &mut Transport<S>,
    peer: SocketAddr,
    rooms: &Rooms,
) -> Option<Opened>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer = proxied(transport, peer, rooms).await?;
    let mut decoder = Decoder::new(Side::Server, rooms.config.mqtt.server_maximum_packet_size);
    loop {
        match decoder.decode(&mut transport.input) {
            Ok(Some(Packet::Connect(connect))) => {
                return Some(Opened {
                    decoder,
                    connect: *connect,
                    peer,
                });
            }
            // The decoder refuses any other first packet itself [MQTT-3.1.0-1].
            Ok(Some(_)) => return None,
            Ok(None) => read(transport).await?,
            Err(error) => {
                refuse(transport, &decoder, &error, peer, rooms).await;
                return None;
            }
        }
    }
}

/// Moves bytes once. Nothing if the connection is over.
pub(super) async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
) -> Option<()> {
    match transport.exchange(true).await {
        Ok(Exchange::Moved { .. }) => Some(()),
        Ok(Exchange::Closed) | Err(_) => None,
    }
}

/// The address of the client as the load balancer tells it.
async fn proxied<S>(
    transport: &mut Transport<S>,
    peer: SocketAddr,
    rooms: &Rooms,
) -> Option<SocketAddr>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mode = rooms.config.listener.proxy_protocol;
    if mode == ProxyProtocol::Off {
        return Some(peer);
    }
    loop {
        // A CONNECT starts with 0x10; a header with "PROXY" or CR LF CR LF.
        match transport.input.first() {
            None => {
                read(transport).await?;
                continue;
            }
            Some(b'P' | b'\r') => {}
            Some(_) if mode == ProxyProtocol::Auto => return Some(peer),
            Some(_) => break,
        }
        match ProxyHeader::parse(&transport.input, ParseConfig::default()) {
            Ok((header, length)) => {
                let source = header
                    .proxied_address()
                    .map_or(peer, |address| address.source);
                bytes::Buf::advance(&mut transport.input, length);
                return Some(source);
            }
            Err(proxy_header::Error::BufferTooShort) => read(transport).await?,
            Err(error) => {
                debug!(%peer, error = %chain(&error), "broken PROXY header");
                break;
            }
        }
    }
    rooms.metrics.proxy_error();
    warn!(
        %peer,
        "no PROXY header: switch it on in the load balancer, or set listener.proxy_protocol to off or auto"
    );
    None
}

/// Answers a CONNECT that cannot be read, where the protocol has an answer.
async fn refuse<S>(
    transport: &mut Transport<S>,
    decoder: &Decoder,
    error: &DecodeError,
    peer: SocketAddr,
    rooms: &Rooms,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    rooms.metrics.reject_packet(error.label());
    let mut hint = "";
    if rooms.config.listener.proxy_protocol == ProxyProtocol::Off
        && error.packet() != Some(PacketType::Connect)
    {
        hint =
            "; if a load balancer sends PROXY headers, set listener.proxy_protocol to on or auto";
    }
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
        answer(transport, version, reason_code).await;
    }
}

/// The last CONNACK of a connection [MQTT-3.1.4-6].
async fn answer<S>(transport: &mut Transport<S>, version: ProtocolVersion, reason_code: ReasonCode)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let packet = Packet::ConnAck(ConnAck::new(false, reason_code));
    send_last(transport, version, &packet).await;
}

/// The last packet before the connection is closed.
pub(super) async fn send_last<S>(
    transport: &mut Transport<S>,
    version: ProtocolVersion,
    packet: &Packet,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if mqtt::encode(packet, version, &mut transport.output).is_ok() {
        transport.flush(LAST_WORD).await;
    }
}

/// Lets the client in, or tells it why not.
pub(super) async fn admit<S>(
    transport: &mut Transport<S>,
    connect: Connect,
    authenticated: Authenticated,
    peer: SocketAddr,
    rooms: &Arc<Rooms>,
) -> Option<Session>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let version = connect.version;
    let client_id = connect.client_id.clone();
    match handle::connect(rooms, connect, authenticated).await {
        Ok((session, connack)) => {
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
            answer(transport, version, reason_code).await;
            None
        }
    }
}
