//! From the first byte of a connection to the moment at which the client is in.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use mqtt::ProtocolVersion;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, error::Elapsed, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{
    Connection, authentication, debt::Debt, layers, opening, proxy, rhythm::Rhythm, stream::Stream,
    throttle::Throttle, transport::Transport,
};
use crate::{
    handle::{Peer, Rooms},
    telemetry::Seat,
};

pub(super) async fn begin_tcp(
    mut stream: TcpStream,
    seat: Seat,
    mut peer: Peer,
    rooms: Arc<Rooms>,
) -> Option<Box<Connection<Stream>>> {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    let mut input = BytesMut::new();
    let header = proxy::read_header(&mut stream, &mut input, &mut peer, &rooms);
    match in_time(deadline, &rooms, header).await {
        Ok(Some(())) => {
            let transport = Transport::new(Stream::Tcp(stream), input, seat);
            begin(transport, peer, deadline, rooms).await
        }
        Ok(None) => None,
        Err(_) => late(&peer, &rooms),
    }
}

pub(super) async fn begin_layered(
    stream: TcpStream,
    seat: Seat,
    acceptor: Option<TlsAcceptor>,
    mut peer: Peer,
    rooms: Arc<Rooms>,
) -> Option<Box<Connection<Stream>>> {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    let layers = layers::build(stream, acceptor, &mut peer, &rooms);
    match in_time(deadline, &rooms, layers).await {
        Ok(Some(stream)) => {
            let transport = Transport::new(stream, BytesMut::new(), seat);
            begin(transport, peer, deadline, rooms).await
        }
        Ok(None) => None,
        Err(_) => late(&peer, &rooms),
    }
}

/// What a connection begins with, if it comes until `deadline`; nothing if the connection is over,
/// or the node: a node that stops does not wait for those who have said nothing yet.
async fn in_time<T>(
    deadline: Instant,
    rooms: &Rooms,
    beginning: impl Future<Output = Option<T>>,
) -> Result<Option<T>, Elapsed> {
    tokio::select! {
        begun = timeout_at(deadline, beginning) => begun,
        () = rooms.shutdown.stopped() => Ok(None),
    }
}

fn late<T>(peer: &Peer, rooms: &Rooms) -> Option<T> {
    rooms.metrics.reject_packet("connect_timeout");
    debug!(%peer, "no CONNECT in time");
    None
}

/// Lets a client in whose CONNECT is to come until `deadline`. Nothing if the connection is over.
pub(super) async fn begin<S>(
    mut transport: Transport<S>,
    peer: Peer,
    deadline: Instant,
    rooms: Arc<Rooms>,
) -> Option<Box<Connection<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let opening = opening::open(&mut transport, &peer, &rooms);
    let opened = match in_time(deadline, &rooms, opening).await {
        Ok(opened) => opened,
        Err(_) => late(&peer, &rooms),
    };
    let Some(mut opened) = opened else {
        transport.part().await;
        return None;
    };
    let authenticated = tokio::select! {
        authenticated = authentication::authenticate(&mut transport, &mut opened, &peer, deadline, &rooms) => authenticated,
        () = rooms.shutdown.stopped() => None,
    }?;
    let opening::Opened { decoder, connect } = opened;
    let keep_alive = match connect.version {
        ProtocolVersion::V5 => rooms.config.mqtt.keep_alive(connect.keep_alive),
        // MQTT 3 cannot tell the client another one, so its own counts [MQTT3-3.1.2-24].
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => connect.keep_alive,
    };
    let session = opening::admit(&mut transport, connect, authenticated, &peer, &rooms).await?;
    rooms.metrics.connections.of(peer.listener).inc();
    debug!(
        client_id = %session.client_id,
        %peer,
        listener = peer.listener.label(),
        common_name = peer.common_name.as_deref(),
        "client connected"
    );
    Some(Box::new(Connection {
        decoder,
        session,
        progress: rooms.cluster.progress.watch(),
        // [MQTT-3.1.2-22] One and a half times the keep-alive.
        silence: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
        heard: Instant::now(),
        was_deaf: false,
        // A client need not wait for CONNACK.
        has_unread: !transport.input.is_empty(),
        transport,
        written: 0,
        debt: Debt::new(rooms.config.mqtt.acknowledge_timeout),
        rhythm: Rhythm::new(Instant::now()),
        throttle: Throttle::new(&rooms.config.mqtt, Instant::now()),
        rooms,
        peer,
    }))
}
