//! One client's network connection: bytes in, packets to `handle`, bytes out.
//!
//! Owns the socket, the buffers and the clocks of the connection, and writes every DISCONNECT and
//! CONNACK. It knows when something is due, never what it means.

mod alarm;
mod authentication;
mod beginning;
mod debt;
mod ending;
mod layers;
mod opening;
mod proxy;
mod rhythm;
mod spare;
mod stream;
mod throttle;
mod transport;
mod websocket;

use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use mqtt::{Decoder, Packet, ReasonCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use self::{
    alarm::Alarm,
    debt::Debt,
    ending::End,
    rhythm::Rhythm,
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
pub(crate) async fn serve_tcp(stream: TcpStream, seat: Seat, peer: Peer, rooms: Arc<Rooms>) {
    serve(Box::pin(beginning::begin_tcp(stream, seat, peer, rooms)).await).await;
}

/// The same through TLS, WebSocket or both.
pub(crate) async fn serve_layered(
    stream: TcpStream,
    seat: Seat,
    acceptor: Option<TlsAcceptor>,
    peer: Peer,
    rooms: Arc<Rooms>,
) {
    serve(
        Box::pin(beginning::begin_layered(
            stream, seat, acceptor, peer, rooms,
        ))
        .await,
    )
    .await;
}

/// The same through a Unix socket.
pub(crate) async fn serve_unix(stream: UnixStream, seat: Seat, rooms: Arc<Rooms>) {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    let transport = Transport::new(Stream::Unix(stream), BytesMut::new(), seat);
    let peer = Peer::new(Kind::Unix, None);
    serve(Box::pin(beginning::begin(transport, peer, deadline, rooms)).await).await;
}

/// Serves a client that was let in. What comes before and after is in boxes of its own, because it needs
/// much memory, and an idle connection shall need little.
async fn serve<S>(begun: Option<Box<Connection<S>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Some(mut connection) = begun else { return };
    let end = connection.run().await;
    Box::pin(connection.end(end)).await;
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
    /// Packets may wait in the input, because the client was to pause or did not wait for CONNACK.
    has_unread: bool,
    /// What had been written when it was last looked at.
    written: u64,
    debt: Debt,
    rhythm: Rhythm,
    /// If there is a limit.
    throttle: Option<Box<Throttle>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn run(&mut self) -> End {
        let mut sleep = pin!(sleep_until(self.heard));
        let mut alarm = Alarm::new(sleep.as_mut());
        loop {
            // Before the mailbox is looked at: what is withdrawn was not to be sent.
            let now = self.committed();
            let mut cx = Context {
                rooms: &self.rooms,
                session: &mut self.session,
                output: self.transport.output(),
            };
            let has_news = cx.session.outbox.has_news();
            let mut controls = VecDeque::new();
            if has_news {
                controls = cx.session.outbox.look();
            }
            for control in &controls {
                if let Control::Withdraw(entry) = control {
                    cx.session.window.withdraw(*entry);
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
            let sent = handle::deliver(&mut cx, has_news);
            if has_news {
                self.rhythm.take(sent);
            }
            cx.session.count(&self.rooms.metrics.traffic);
            handle::ask_for_page(&self.rooms, &mut self.session);
            if let Some(end) = self.wait(&mut alarm).await {
                return end;
            }
            match self.read_packets().await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(reject) => return self.reject(&reject),
            }
        }
    }

    /// How far the database is. Where nothing waits for it, it is not asked.
    fn committed(&mut self) -> Ticket {
        let nothing = Ticket::default();
        let mut tickets = self.session.owed.iter().map(|(ticket, _)| *ticket);
        if tickets.all(|ticket| ticket == nothing) {
            return nothing;
        }
        *self.progress.borrow_and_update()
    }

    /// Waits until something is due; bytes are exchanged meanwhile.
    async fn wait(&mut self, alarm: &mut Alarm<'_>) -> Option<End> {
        let awaits_commit = !self.session.owed.is_empty();
        let stake = self.session.stake();
        let has_room = self.rooms.cluster.has_room(stake);
        let pause = self.pause();
        if self.has_unread && pause.is_none() && self.transport.output.is_empty() {
            // No byte may come that would wake us.
            return None;
        }
        let is_full = self.transport.output.len() >= HIGH_WATER;
        let may_read =
            has_room && pause.is_none() && !is_full && self.session.owed.len() < MOST_OWED;
        if may_read && std::mem::take(&mut self.was_deaf) {
            self.heard = Instant::now(); // what it sent meanwhile may be half a packet still
        }
        self.was_deaf = !may_read;
        let now = Instant::now();
        let overdue = self.debt.deadline(self.session.owed_first(), now);
        let silent = self.silence.map(|silence| self.heard + silence);
        let is_authenticating = self
            .session
            .reauthentication
            .as_ref()
            .is_some_and(|exchange| exchange.is_working());
        let is_held = awaits_commit && !self.rooms.cluster.may_acknowledge();
        let check = is_held.then(|| now + LEASE_CHECK);
        let due = [overdue, silent, pause, check].into_iter().flatten().min();
        tokio::select! {
            biased;
            // First, so that a client that never stops sending gets its answer, too.
            step = handle::reauthentication(&mut self.session.reauthentication), if is_authenticating => {
                let mut cx = Context {
                    rooms: &self.rooms,
                    session: &mut self.session,
                    output: self.transport.output(),
                };
                let done = handle::reauthenticated(&mut cx, step);
                done.err().map(|reject| self.reject(&reject))
            }
            exchange = self.transport.exchange(may_read, is_full || self.has_unread) => match exchange {
                Ok(Exchange::Moved) => None,
                Ok(Exchange::Closed) => Some(End::Silent),
                Err(error) => Some(self.lost(&error)),
            },
            () = self.session.outbox.changed() => {
                if self.rhythm.wake(Instant::now()) {
                    // Others who are ready may have more for the client: it goes out in one write.
                    tokio::task::yield_now().await;
                }
                None
            }
            changed = self.progress.changed(), if awaits_commit => {
                changed.is_err().then_some(End::Silent)
            }
            () = self.rooms.cluster.room(stake), if !has_room => None,
            () = alarm.ring(due) => {
                let is_over = |deadline: Option<Instant>| deadline.is_some_and(|it| it <= Instant::now());
                if is_over(overdue) {
                    Some(self.reject(&Reject::Overdue))
                } else if is_over(silent) {
                    self.silent(may_read)
                } else {
                    None
                }
            }
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
            let packet_bytes = unread - self.transport.input.len();
            let mut cx = Context {
                rooms: &self.rooms,
                session: &mut self.session,
                output: self.transport.output(),
            };
            if let Some(throttle) = &mut self.throttle
                && matches!(packet, Packet::Publish(_))
                && throttle.spend(packet_bytes, Instant::now())
            {
                cx.meet_limit(Limit::PublishRate);
            }
            let next = if handle::changes_subscriptions(&packet) {
                // In a box: it is rare, and needs much memory.
                Box::pin(handle::change_subscriptions(&mut cx, packet)).await?
            } else {
                handle::answer(&mut cx, packet)?
            };
            if next == Next::Close {
                return Ok(Some(End::Silent));
            }
        }
        if is_heard {
            self.heard = Instant::now();
        }
        self.transport.rest();
        Ok(None)
    }

    /// What comes after the last packet of the client.
    async fn end(mut self: Box<Self>, end: End) {
        self.session.count(&self.rooms.metrics.traffic);
        let cause = self.say_goodbye(end).await;
        let Self {
            session,
            transport,
            peer,
            rooms,
            ..
        } = *self;
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
