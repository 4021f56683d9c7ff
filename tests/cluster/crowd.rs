//! Clients behind a load balancer that publish and listen in the background, come back whenever they are
//! sent away, and keep a record of that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use harness::{Builder, Client, Event, MessageExt as _, message};
use mqtt::{ProtocolVersion, Publish, Qos, ReasonCode};
use tokio::{sync::watch, task::JoinHandle};

/// Messages of one publisher that may be under way.
const WINDOW: usize = 10;

/// The end of a connection, and the way to the next.
#[derive(Debug, Clone)]
pub struct Move {
    /// Which node was being stopped.
    pub phase: usize,
    /// When the client noticed.
    pub at: Instant,
    /// Of the DISCONNECT of the server.
    pub reason: Option<ReasonCode>,
    /// How often it was turned away before it was let in again.
    pub refused: u32,
}

/// What became of a client.
#[derive(Debug)]
pub struct Story {
    pub name: String,
    pub version: ProtocolVersion,
    pub moves: Vec<Move>,
    /// Messages that came again.
    pub duplicates: u32,
    /// Different messages that were acknowledged, or that came.
    pub messages: u32,
}

/// What all clients see.
#[derive(Debug, Default)]
pub struct Stage {
    phase: AtomicUsize,
    is_over: AtomicBool,
}

impl Stage {
    /// Moves from now on are those of this phase.
    pub fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }
}

/// How a client connects.
struct Member {
    front: Builder,
    is_stored: bool,
    stage: Arc<Stage>,
    story: Story,
    reason: Option<ReasonCode>,
}

impl Member {
    fn new(front: &Builder, name: String, number: usize, stage: &Arc<Stage>) -> Self {
        let version = [ProtocolVersion::V5, ProtocolVersion::V3_1_1][number % 2];
        let front = front.clone().client_id(&name).version(version);
        Self {
            front,
            is_stored: false,
            stage: Arc::clone(stage),
            story: Story {
                name,
                version,
                moves: Vec::new(),
                duplicates: 0,
                messages: 0,
            },
            reason: None,
        }
    }

    fn stored(mut self) -> Self {
        self.front = self.front.persistent(1000);
        self.is_stored = true;
        self
    }

    /// Connects again after the end of a connection, with what is left of the session.
    async fn come_back(&mut self, client: Client) -> Client {
        let at = Instant::now();
        let phase = self.stage.phase.load(Ordering::Relaxed);
        let session = client.vanish().await;
        let mut builder = self.front.clone();
        if self.is_stored {
            builder = builder.resume(session);
        }
        let mut refused = 0;
        let client = loop {
            match builder.clone().try_connect().await {
                Ok(client) => break client,
                Err(_) if at.elapsed() < harness::PATIENCE => refused += 1,
                Err(why) => panic!("{} is not let in: {why:?}", self.story.name),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(
            client.session_present(),
            self.is_stored,
            "the session of {}",
            self.story.name
        );
        self.story.moves.push(Move {
            phase,
            at,
            reason: self.reason.take(),
            refused,
        });
        client
    }
}

/// A publisher in the background, whose session stays.
pub struct Publisher(JoinHandle<Story>);

impl Publisher {
    /// Publishes 0, 1, 2, … to its topic, about ten a second; tells `total` how many it were when the last
    /// one is acknowledged.
    pub async fn start(
        front: &Builder,
        number: usize,
        qos: Qos,
        total: watch::Sender<Option<u32>>,
        stage: &Arc<Stage>,
    ) -> Self {
        let mut member = Member::new(front, format!("publisher{number}"), number, stage).stored();
        let mut client = member.front.clone().connect().await;
        let task = tokio::spawn(async move {
            let mut next = 0_u32;
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                let event = tokio::select! {
                    event = client.event() => event,
                    _ = ticks.tick() => {
                        let unacknowledged = client.session.unacknowledged();
                        if member.stage.is_over.load(Ordering::Relaxed) {
                            if unacknowledged == 0 {
                                break;
                            }
                        } else if unacknowledged < WINDOW {
                            client.start(message(&topic(number), next.to_string(), qos)).await;
                            next += 1;
                        }
                        continue;
                    }
                };
                match event {
                    Event::Completed(_, reason) => assert!(!reason.is_error(), "{reason}"),
                    Event::Disconnected(packet) => member.reason = Some(packet.reason_code),
                    Event::Closed => client = member.come_back(client).await,
                    _ => {}
                }
            }
            member.story.messages = next;
            total.send_replace(Some(next));
            client.disconnect().await;
            member.story
        });
        Self(task)
    }

    /// Nothing more is published; returns when everything is acknowledged.
    pub async fn finish(self, stage: &Stage) -> Story {
        stage.is_over.store(true, Ordering::Relaxed);
        tokio::time::timeout(harness::PATIENCE * 2, self.0)
            .await
            .expect("a publisher gets its acknowledgements")
            .unwrap()
    }
}

fn topic(number: usize) -> String {
    format!("load/{number}")
}

/// What a subscriber has heard of its publisher.
#[derive(Debug, Default)]
struct Heard {
    next: u32,
    /// It was not subscribed for a while.
    may_skip: bool,
    duplicates: u32,
    messages: u32,
}

impl Heard {
    fn take(&mut self, publish: &Publish, name: &str) {
        let number: u32 = publish.message.text().parse().unwrap();
        if number < self.next {
            self.duplicates += 1;
            return;
        }
        assert!(
            number == self.next || self.may_skip,
            "{name}: {number} came instead of {}",
            self.next
        );
        self.may_skip = false;
        self.messages += 1;
        self.next = number + 1;
    }
}

/// What a subscriber listens to, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    pub number: usize,
    pub publisher: usize,
    pub qos: Qos,
    /// Whether its session outlives its connections.
    pub is_stored: bool,
}

/// Starts a subscriber in the background that ends when it has heard the last of its publisher's messages,
/// each once or more, and none was left out while it had a subscription.
pub async fn listen(
    front: &Builder,
    seat: Seat,
    mut total: watch::Receiver<Option<u32>>,
    stage: &Arc<Stage>,
) -> JoinHandle<Story> {
    let name = format!("subscriber{}", seat.number);
    // Not of the number alone: each publisher has listeners of both versions.
    let mut member = Member::new(front, name, seat.number / 12 + seat.number, stage);
    if seat.is_stored {
        member = member.stored();
    }
    let mut client = member.front.clone().connect().await;
    client.subscribe(&topic(seat.publisher), seat.qos).await;
    tokio::spawn(async move {
        let mut heard = Heard::default();
        let mut deadline = None;
        loop {
            let wait = Duration::from_millis(200);
            match tokio::time::timeout(wait, client.event()).await {
                Ok(Event::Message(publish)) => heard.take(&publish, &member.story.name),
                Ok(Event::Disconnected(packet)) => member.reason = Some(packet.reason_code),
                Ok(Event::Closed) => {
                    client = member.come_back(client).await;
                    if !seat.is_stored {
                        client.subscribe(&topic(seat.publisher), seat.qos).await;
                        for publish in client.take_inbox() {
                            heard.take(&publish, &member.story.name);
                        }
                        heard.may_skip = true;
                    }
                }
                Ok(_) => {}
                Err(_) => match *total.borrow_and_update() {
                    // Nothing more has come for a while.
                    Some(total) if heard.next == total => break,
                    Some(total) => {
                        let deadline = *deadline.get_or_insert(Instant::now() + harness::PATIENCE);
                        assert!(
                            Instant::now() < deadline,
                            "{}: {heard:?}, but there were {total}",
                            member.story.name
                        );
                    }
                    None => {}
                },
            }
        }
        client.disconnect().await;
        member.story.duplicates = heard.duplicates;
        member.story.messages = heard.messages;
        member.story
    })
}
