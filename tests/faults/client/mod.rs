//! A well-behaved client that writes down what it does and sees.
//!
//! It lives in one task and connects again whenever its connection has ended. What it publishes it
//! keeps until it is acknowledged. Whatever the server sends that a client must not get is a
//! finding, never a panic.

mod dial;
mod ghost;
mod habit;
mod incoming;
mod outgoing;
pub mod part;
mod session;
mod wire;

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use history::{Happened, Recorder, Side};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use self::{
    dial::{Welcome, dial},
    part::{Habit, Part, Route},
    session::Session,
    wire::{Ended, Wire},
};
use crate::{findings::Findings, network, random::Random, schedule::NODES};

/// Between two PINGREQ.
const PING: Duration = Duration::from_secs(1);
/// Without PINGRESP for so long a connection is dead.
const PONG: Duration = Duration::from_secs(3);
/// Before a refused request is made again.
const AGAIN: Duration = Duration::from_millis(200);

/// What clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Publish, come and go.
    Load,
    /// Publish nothing new, stay connected.
    Settle,
    /// Do and write down nothing more.
    End,
}

/// What all clients share.
#[derive(Debug)]
pub struct Stage {
    pub recorder: Recorder,
    pub findings: Findings,
    pub phase: watch::Receiver<Phase>,
    /// nginx.
    pub front: SocketAddr,
    pub start: Instant,
    /// Milliseconds since the start when somebody last got a message.
    pub last_delivery: AtomicU64,
    /// Second connections that were accepted.
    pub takeovers: AtomicU64,
}

impl Stage {
    fn note(&self, part: &Part, connection: u32, what: Happened) {
        if *self.phase.borrow() != Phase::End {
            self.recorder.note(&part.client_id, connection, what);
        }
    }

    fn nonsense(&self, part: &Part, connection: u32, text: &str) {
        let client_id = &part.client_id;
        self.findings
            .add(format!("nonsense for {client_id}.{connection}: {text}"));
    }

    fn delivered(&self) {
        let millis = self.start.elapsed().as_millis() as u64;
        self.last_delivery.store(millis, Ordering::SeqCst);
    }

    /// For how long nobody has got a message.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last_delivery.load(Ordering::SeqCst));
        self.start.elapsed().saturating_sub(last)
    }
}

/// How a client is.
#[derive(Debug, Default)]
pub struct Status {
    pub is_connected: AtomicBool,
    /// The server has confirmed all subscriptions.
    pub is_subscribed: AtomicBool,
    pub unacknowledged: AtomicUsize,
    /// What was published on connections that others had replaced.
    pub haunted: AtomicU64,
}

/// A second connection on its way.
type Takeover = Pin<Box<dyn Future<Output = Option<Welcome>> + Send>>;

/// The connection that a client has.
struct Line {
    wire: Wire,
    number: u32,
    next_publish: Instant,
    next_ping: Instant,
    /// When the oldest PINGREQ without answer went out.
    pinged: Option<Instant>,
    next_move: Option<Instant>,
    /// When requests that are owed may be sent.
    next_request: Instant,
    takeover: Option<Takeover>,
}

/// How a connection ends.
enum Closing {
    /// The server has ended it, with this reason code if any.
    ByServer(Option<u8>),
    /// We end it without DISCONNECT.
    Vanish,
    /// We send DISCONNECT; with the reason code 4 if the Will is to be published.
    Leave { with_will: bool },
}

/// A client.
pub struct Client {
    stage: Arc<Stage>,
    part: Arc<Part>,
    status: Arc<Status>,
    session: Session,
    /// Which subscriptions it wants at present.
    wishes: BTreeMap<String, bool>,
    random: Random,
    /// Attempts to connect so far.
    attempts: u32,
    /// Messages published so far.
    published: u64,
    /// The node that it goes to when not through nginx.
    node: usize,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(stage: Arc<Stage>, part: Part, random: Random) -> Self {
        let session = Session::new(part.packet_ids);
        let wishes = part
            .filters
            .iter()
            .map(|(filter, _)| (filter.clone(), true));
        Self {
            stage,
            session,
            wishes: wishes.collect(),
            random,
            attempts: 0,
            published: 0,
            node: match part.route {
                Route::Balanced => 0,
                Route::Direct(node) => node,
            },
            status: Arc::default(),
            part: Arc::new(part),
        }
    }

    /// Who it is.
    pub fn part(&self) -> Arc<Part> {
        Arc::clone(&self.part)
    }

    /// How it is, while it lives.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    fn phase(&self) -> Phase {
        *self.stage.phase.borrow()
    }

    fn note(&self, connection: u32, what: Happened) {
        self.stage.note(&self.part, connection, what);
    }

    /// Connects again and again, until the end.
    pub async fn live(mut self) {
        while self.phase() != Phase::End {
            let address = self.address();
            self.attempts += 1;
            let (stage, part) = (Arc::clone(&self.stage), Arc::clone(&self.part));
            match dial(&stage, &part, address, self.attempts).await {
                Some(welcome) => self.serve(welcome).await,
                None => self.node = (self.node + 1) % NODES,
            }
            self.status.is_connected.store(false, Ordering::SeqCst);
            let pause = self.absence();
            sleep(pause).await;
        }
    }

    fn address(&self) -> SocketAddr {
        match self.part.route {
            Route::Balanced => self.stage.front,
            Route::Direct(_) => network::direct(self.node),
        }
    }

    /// Uses a connection, and those that take over from it, until none is left.
    async fn serve(&mut self, welcome: Welcome) {
        let mut line = self.begin(welcome);
        while self.phase() != Phase::End {
            let closing = match self.step(&mut line).await {
                Ok(None) => continue,
                Ok(Some(welcome)) => {
                    self.take_over(&mut line, welcome);
                    continue;
                }
                Err(closing) => closing,
            };
            let takeover = line.takeover.take();
            self.close(line, closing).await;
            let Some(takeover) = takeover else { return };
            // The server closes the old connection before it accepts the new one.
            self.status.is_connected.store(false, Ordering::SeqCst);
            match takeover.await {
                Some(welcome) => {
                    self.stage.takeovers.fetch_add(1, Ordering::SeqCst);
                    line = self.begin(welcome);
                }
                None => return,
            }
        }
    }

    /// Takes what CONNACK said about the session, and makes the first moves.
    fn begin(&mut self, welcome: Welcome) -> Line {
        let now = Instant::now();
        let mut line = Line {
            wire: welcome.wire,
            number: welcome.number,
            next_publish: now,
            next_ping: now + PING,
            pinged: None,
            next_move: None,
            next_request: now,
            takeover: None,
        };
        self.resume(&mut line, welcome.is_session_present);
        line.next_move = self.first_move(now);
        self.status.is_connected.store(true, Ordering::SeqCst);
        self.make_requests(&mut line);
        line
    }

    /// Waits for one thing to happen and handles it. A connection that takes over is returned.
    async fn step(&mut self, line: &mut Line) -> Result<Option<Welcome>, Closing> {
        let wake = self.wake(line);
        tokio::select! {
            packet = line.wire.next() => match packet {
                Ok(packet) => self.take(line, packet).map(|()| None),
                Err(Ended::Closed) => Err(Closing::ByServer(None)),
                Err(Ended::Nonsense(text)) => {
                    self.stage.nonsense(&self.part, line.number, &text);
                    Err(Closing::Vanish)
                }
            },
            welcome = arrival(&mut line.takeover) => {
                line.takeover = None;
                Ok(welcome)
            }
            () = sleep_until(wake) => self.tick(line).map(|()| None),
        }
    }

    /// When there is something to do by itself.
    fn wake(&self, line: &Line) -> Instant {
        let mut wake = line.next_ping;
        if let Some(pinged) = line.pinged {
            wake = wake.min(pinged + PONG);
        }
        if self.may_publish() {
            wake = wake.min(line.next_publish);
        }
        if let Some(next_move) = line.next_move {
            wake = wake.min(next_move);
        }
        if self.owes_requests() {
            wake = wake.min(line.next_request);
        }
        wake
    }

    /// Does what is due.
    fn tick(&mut self, line: &mut Line) -> Result<(), Closing> {
        let now = Instant::now();
        if line.pinged.is_some_and(|pinged| pinged + PONG <= now) {
            return Err(Closing::Vanish);
        }
        if line.next_ping <= now {
            self.ping(line, now);
        }
        if self.may_publish() && line.next_publish <= now {
            self.publish(line, now);
        }
        if self.owes_requests() && line.next_request <= now {
            self.make_requests(line);
        }
        if line.next_move.is_some_and(|due| due <= now) {
            self.do_move(line, now)?;
        }
        Ok(())
    }

    async fn close(&mut self, line: Line, closing: Closing) {
        let (by, reason) = match closing {
            Closing::ByServer(reason) => (Side::Server, reason),
            Closing::Vanish | Closing::Leave { with_will: true } => (Side::ClientAbruptly, None),
            Closing::Leave { with_will: false } => (Side::ClientNormally, None),
        };
        self.note(line.number, Happened::Closed { by, reason });
        if let Closing::Leave { with_will } = closing {
            self.say_goodbye(line.wire, with_will).await;
        }
    }

    /// How long it stays away.
    fn absence(&mut self) -> Duration {
        match self.part.habit {
            Habit::Mortal if self.phase() == Phase::Load => self.random.millis(50, 2500),
            Habit::Probe => self.random.millis(200, 800),
            _ => self.random.millis(50, 200),
        }
    }
}

/// The second connection, when there will be one.
async fn arrival(takeover: &mut Option<Takeover>) -> Option<Welcome> {
    match takeover {
        Some(takeover) => takeover.await,
        None => std::future::pending().await,
    }
}
