//! What comes before MQTT on a connection: a PROXY header, TLS, a WebSocket, in this order.

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{
    proxy,
    stream::{Rewind, Stream, Tls},
    websocket::{self, HandshakeError, WebSocket},
};
use crate::{
    handle::{Peer, Rooms},
    telemetry::chain,
    tls,
};

/// Does the handshakes of the listener that `peer` came to. Nothing if the connection is over.
pub(super) async fn build(
    mut stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    peer: &mut Peer,
    rooms: &Rooms,
) -> Option<Stream> {
    let mut first = BytesMut::new();
    proxy::read_header(&mut stream, &mut first, peer, rooms).await?;
    let has_websocket = peer.listener.has_websocket();
    match acceptor {
        Some(acceptor) => {
            let stream = handshake(&acceptor, Rewind::new(first, stream), peer, rooms).await?;
            if !has_websocket {
                return Some(Stream::Tls(Box::new(stream)));
            }
            let stream = open(stream, BytesMut::new(), peer, rooms).await?;
            Some(Stream::Wss(Box::new(stream)))
        }
        None => {
            let stream = open(stream, first, peer, rooms).await?;
            Some(Stream::Ws(Box::new(stream)))
        }
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: Rewind<TcpStream>,
    peer: &mut Peer,
    rooms: &Rooms,
) -> Option<Tls> {
    match acceptor.accept(stream).await {
        Ok(stream) => {
            peer.common_name = tls::common_name(stream.get_ref().1);
            Some(stream)
        }
        Err(error) => {
            // A load balancer that looks whether we are there says nothing at all.
            if error.kind() != std::io::ErrorKind::InvalidData {
                debug!(%peer, error = %chain(&error), "TLS handshake not finished");
                return None;
            }
            let (reason, hint) = tls::explain(&error);
            rooms.metrics.fail_handshake(peer.listener, reason);
            warn!(
                %peer,
                listener = peer.listener.label(),
                reason,
                error = %chain(&error),
                "TLS handshake failed{hint}"
            );
            None
        }
    }
}

async fn open<S>(
    mut stream: S,
    mut first: BytesMut,
    peer: &Peer,
    rooms: &Rooms,
) -> Option<WebSocket<Rewind<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let settings = &rooms.config.listener;
    match websocket::accept(&mut stream, &mut first, settings).await {
        Ok(()) => Some(WebSocket::new(Rewind::new(first, stream))),
        Err(error @ HandshakeError::Closed) => {
            debug!(%peer, error = %chain(&error), "no WebSocket");
            None
        }
        Err(error @ HandshakeError::Refused { .. }) => {
            rooms.metrics.fail_handshake(peer.listener, error.label());
            warn!(
                %peer,
                listener = peer.listener.label(),
                error = %chain(&error),
                "no WebSocket{}",
                proxy::hint(&first, rooms)
            );
            None
        }
    }
}
