//! One client's network connection: bytes in, packets to `handle`, bytes out.
//!
//! Owns the socket, the buffers and the clocks of the connection, and writes every DISCONNECT and
//! CONNACK. It knows when something is due, never what it means.

mod authentication;
mod debt;
mod ending;
mod layers;
mod opening;
mod proxy;
mod stream;
mod throttle;
mod transport;
mod websocket;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::BytesMut;
use mqtt::{Decoder, Packet, ProtocolVersion, ReasonCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::watch,
    time::{Instant, error::Elapsed, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use self::{
    debt::Debt,
    ending::End,
    stream::Stream,
    throttle::Throttle,
    transport::{Exchange, Transport},
};
use crate::{
    cluster::Ticket,
    config::Kind,
    delivery::Control,
    handle::{self, Context, Next, Peer, Reject, Rooms},
    session::Session,
    telemetry::{Limit, Seat, chain},
};

/// Output above which nothing more is read: a client that does not read is not served.
const HIGH_WATER: usize = 256 * 1024;
/// Acknowledgements owed above which nothing more is read.
const MOST_OWED: usize = 8192;
/// How often it is looked whether the lease is back.
const LEASE_CHECK: Duration = Duration::from_millis(50);
/// How long a last packet may take to leave.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves a client of plain TCP from its first byte to its last.
pub(crate) async fn serve_tcp(
    mut stream: TcpStream,
    seat: Seat,
    mut peer: Peer,
    rooms: Arc<Rooms>,
) {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    let mut input = BytesMut::new();
    let header = proxy::read_header(&mut stream, &mut input, &mut peer, &rooms);
    match in_time(deadline, &rooms, header).await {
        Ok(Some(())) => {
            let transport = Transport::new(Stream::Tcp(stream), input, seat);
            serve(transport, peer, deadline, rooms).await;
        }
        Ok(None) => {}
        Err(_) => late(&peer, &rooms),
    }
}

/// The same through TLS, WebSocket or both.
pub(crate) async fn serve_layered(
    stream: TcpStream,
    seat: Seat,
    acceptor: Option<TlsAcceptor>,
    mut peer: Peer,
    rooms: Arc<Rooms>,
) {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    // Boxed: a handshake needs much memory, which the connection after it does not.
    let layers = Box::pin(layers::build(stream, acceptor, &mut peer, &rooms));
    match in_time(deadline, &rooms, layers).await {
        Ok(Some(stream)) => {
            let transport = Transport::new(stream, BytesMut::new(), seat);
            serve(transport, peer, deadline, rooms).await;
        }
        Ok(None) => {}
        Err(_) => late(&peer, &rooms),
    }
}

/// The same through a Unix socket.
pub(crate) async fn serve_unix(stream: UnixStream, seat: Seat, rooms: Arc<Rooms>) {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    let transport = Transport::new(Stream::Unix(stream), BytesMut::new(), seat);
    serve(transport, Peer::new(Kind::Unix, None), deadline, rooms).await;
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

fn late(peer: &Peer, rooms: &Rooms) {
    rooms.metrics.reject_packet("connect_timeout");
    debug!(%peer, "no CONNECT in time");
}

/// Serves a client whose CONNECT is to come until `deadline`.
async fn serve<S>(mut transport: Transport<S>, peer: Peer, deadline: Instant, rooms: Arc<Rooms>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let opening = opening::open(&mut transport, &peer, &rooms);
    let opened = in_time(deadline, &rooms, opening).await;
    let Ok(Some(mut opened)) = opened else {
        if opened.is_err() {
            late(&peer, &rooms);
        }
        transport.part().await;
        return;
    };
    let authenticated = tokio::select! {
        authenticated = authentication::authenticate(&mut transport, &mut opened, &peer, deadline, &rooms) => authenticated,
        () = rooms.shutdown.stopped() => None,
    };
    let Some(authenticated) = authenticated else {
        return;
    };
    let opening::Opened { decoder, connect } = opened;
    let keep_alive = match connect.version {
        ProtocolVersion::V5 => rooms.config.mqtt.keep_alive(connect.keep_alive),
        // MQTT 3 cannot tell the client another one, so its own counts [MQTT3-3.1.2-24].
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => connect.keep_alive,
    };
    let Some(session) = opening::admit(&mut transport, connect, authenticated, &peer, &rooms).await
    else {
        return;
    };
    rooms.metrics.connections.of(peer.listener).inc();
    debug!(
        client_id = %session.client_id,
        %peer,
        listener = peer.listener.label(),
        common_name = peer.common_name.as_deref(),
        "client connected"
    );
    let progress = rooms.cluster.progress.watch();
    let mut connection = Connection {
        transport,
        decoder,
        session,
        rooms: Arc::clone(&rooms),
        peer,
        progress,
        // [MQTT-3.1.2-22] One and a half times the keep-alive.
        silence: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
        heard: Instant::now(),
        was_deaf: false,
        has_unread: false,
        written: 0,
        debt: Debt::new(rooms.config.mqtt.acknowledge_timeout),
        throttle: Throttle::new(&rooms.config.mqtt, Instant::now()),
    };
    let end = connection.run().await;
    let cause = connection.say_goodbye(end).await;
    let Connection {
        session,
        transport,
        peer,
        ..
    } = connection;
    rooms.metrics.connections.of(peer.listener).dec();
    // The socket is closed before anybody waits for the database, unless the client has changed
    // how long its session lives: then the end of the connection tells it that this is so.
    let mut awaited = Some(transport);
    if !session.has_new_expiry
        && let Some(transport) = awaited.take()
    {
        transport.part().await;
    }
    handle::close(&rooms, session, cause).await;
    if let Some(transport) = awaited {
        transport.part().await;
    }
}

struct Connection<S> {
    transport: Transport<S>,
    decoder: Decoder,
    session: Session,
    rooms: Arc<Rooms>,
    peer: Peer,
    progress: watch::Receiver<Ticket>,
    silence: Option<Duration>,
    heard: Instant,
    /// Nothing was read, for a reason of ours.
    was_deaf: bool,
    /// Packets may wait in the input, because the client was to pause.
    has_unread: bool,
    /// What had been written when it was last looked at.
    written: u64,
    debt: Debt,
    /// If there is a limit.
    throttle: Option<Box<Throttle>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn run(&mut self) -> End {
        loop {
            let now = *self.progress.borrow_and_update();
            let mut cx = Context {
                rooms: &self.rooms,
                session: &mut self.session,
                output: &mut self.transport.output,
            };
            let mut controls = VecDeque::new();
            while let Some(control) = cx.session.outbox.take_control() {
                match control {
                    // Before what has been committed since is sent.
                    Control::Withdraw(entry) => cx.session.window.withdraw(entry),
                    control => controls.push_back(control),
                }
            }
            handle::settle(&mut cx, now);
            for control in controls {
                match control {
                    Control::Evict { is_resumed } => return End::TakenOver { is_resumed },
                    Control::Close(reason_code) => return End::Told(reason_code),
                    Control::Page(page) => handle::page(&mut cx, page),
                    Control::Poke | Control::Withdraw(_) => {}
                }
            }
            handle::deliver(&mut cx);
            cx.session.count(&self.rooms.metrics.traffic);
            handle::ask_for_page(&self.rooms, &mut self.session);
            if let Some(end) = self.wait().await {
                return end;
            }
            match self.read_packets().await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(reject) => return self.reject(&reject),
            }
        }
    }

    /// Waits until something is due; bytes are exchanged meanwhile.
    async fn wait(&mut self) -> Option<End> {
        let awaits_commit = !self.session.owed.is_empty();
        let stake = self.session.stake();
        let has_room = self.rooms.cluster.has_room(stake);
        let pause = self.pause();
        if self.has_unread && pause.is_none() {
            // The pause is over already, and no byte may come that would wake us.
            return None;
        }
        let may_read = has_room
            && pause.is_none()
            && self.transport.output.len() < HIGH_WATER
            && self.session.owed.len() < MOST_OWED;
        if may_read && std::mem::take(&mut self.was_deaf) {
            self.heard = Instant::now(); // what it sent meanwhile may be half a packet still
        }
        self.was_deaf = !may_read;
        let overdue = self
            .debt
            .deadline(self.session.owed_first(), Instant::now());
        let silent = self.silence.map(|silence| self.heard + silence);
        let deadline = overdue.into_iter().chain(silent).min();
        let is_authenticating = self
            .session
            .reauthentication
            .as_ref()
            .is_some_and(|exchange| exchange.is_working());
        let is_held = awaits_commit && !self.rooms.cluster.may_acknowledge();
        tokio::select! {
            biased;
            // First, so that a client that never stops sending gets its answer, too.
            step = handle::reauthentication(&mut self.session.reauthentication), if is_authenticating => {
                let mut cx = Context {
                    rooms: &self.rooms,
                    session: &mut self.session,
                    output: &mut self.transport.output,
                };
                let done = handle::reauthenticated(&mut cx, step);
                done.err().map(|reject| self.reject(&reject))
            }
            exchange = self.transport.exchange(may_read) => match exchange {
                Ok(Exchange::Moved) => None,
                Ok(Exchange::Closed) => Some(End::Silent),
                Err(error) => Some(self.lost(&error)),
            },
            () = self.session.outbox.changed() => None,
            changed = self.progress.changed(), if awaits_commit => {
                changed.is_err().then_some(End::Silent)
            }
            () = self.rooms.cluster.room(stake), if !has_room => None,
            () = sleep_until(pause), if pause.is_some() => None,
            () = tokio::time::sleep(LEASE_CHECK), if is_held => None,
            () = sleep_until(deadline) => match overdue {
                Some(overdue) if overdue <= Instant::now() => Some(self.reject(&Reject::Overdue)),
                _ => self.silent(may_read),
            },
        }
    }

    /// Until when nothing is read, because the client publishes too quickly.
    fn pause(&mut self) -> Option<Instant> {
        self.throttle.as_mut()?.pause(Instant::now())
    }

    /// Nothing was heard for too long. Where we did not listen, that is no fault of the client, as
    /// long as it takes what we write.
    fn silent(&mut self, may_read: bool) -> Option<End> {
        let written = self.transport.written();
        let is_taking = written != self.written || self.transport.output.is_empty();
        self.written = written;
        if !may_read && is_taking {
            self.heard = Instant::now();
            return None;
        }
        self.rooms.metrics.keep_alive_timeouts.inc();
        debug!(client_id = %self.session.client_id, "client silent for too long");
        Some(End::Told(ReasonCode::KeepAliveTimeout))
    }

    /// Handles everything that has been read before anything is written. Only complete packets
    /// show that the client is there [MQTT-3.1.2-22].
    async fn read_packets(&mut self) -> Result<Option<End>, Reject> {
        let mut is_heard = false;
        self.has_unread = false;
        loop {
            if self.pause().is_some() {
                self.has_unread = !self.transport.input.is_empty();
                break;
            }
            let unread = self.transport.input.len();
            let Some(packet) = self.decoder.decode(&mut self.transport.input)? else {
                break;
            };
            is_heard = true;
            let mut cx = Context {
                rooms: &self.rooms,
                session: &mut self.session,
                output: &mut self.transport.output,
            };
            if let Some(throttle) = &mut self.throttle
                && matches!(packet, Packet::Publish(_))
                && throttle.spend(unread - self.transport.input.len(), Instant::now())
            {
                cx.meet_limit(Limit::PublishRate);
            }
            let limit = self.rooms.config.mqtt.acknowledge_timeout;
            if handle::packet_within(limit, &mut cx, packet).await? == Next::Close {
                return Ok(Some(End::Silent));
            }
        }
        if is_heard {
            self.heard = Instant::now();
        }
        self.transport.rest();
        Ok(None)
    }

    fn reject(&self, reject: &Reject) -> End {
        self.rooms.metrics.reject_packet(reject.label());
        warn!(
            client_id = %self.session.client_id,
            peer = %self.peer,
            reason = reject.label(),
            error = %chain(reject),
            "packet refused, connection closed"
        );
        End::Told(reject.reason_code())
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
