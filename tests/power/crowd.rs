//! Clients that keep a node busy until its end, with what each was promised.
//!
//! Publishers send `NAME:0`, `NAME:1`, … to `load/NAME`, retained. A client subscribes to that and stays
//! connected; others come with a Will, or leave a subscription behind, or stop in the middle of a QoS 2
//! handshake. Each keeps its half of the session for the time after.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use harness::{Builder, Client, Event, MessageExt as _, Session, TestNode, message};
use mqtt::{Ack, Packet, PacketId, Publish, Qos, ReasonCode};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// Names and QoS of the publishers.
pub const PUBLISHERS: [(&str, Qos); 4] = [
    ("a", Qos::AtLeastOnce),
    ("b", Qos::ExactlyOnce),
    ("c", Qos::AtLeastOnce),
    ("d", Qos::ExactlyOnce),
];
/// Between two messages of a publisher.
const PACE: Duration = Duration::from_millis(8);
/// Messages of a publisher under way.
const WINDOW: usize = 60;
/// Between two of the rarer things.
const RARELY: Duration = Duration::from_millis(40);
/// One PUBREL of so many is left without its PUBCOMP.
const HALVES: u16 = 8;
/// Its Receive Maximum, and how many handshakes it leaves at most.
pub const HALF_MAXIMUM: u16 = 60;
const MOST_HALVES: usize = 40;

/// A session that does not end during the test.
pub fn persistent(node: &TestNode, client_id: &str) -> Builder {
    node.builder(client_id).persistent(3600)
}

/// What a publisher did.
#[derive(Debug)]
pub struct Published {
    pub name: &'static str,
    pub qos: Qos,
    /// How many it sent.
    pub sent: u32,
    /// How many were acknowledged to the end.
    pub completed: u32,
    pub session: Session,
}

/// A PUBLISH of QoS 2 that got its PUBREC, perhaps, and no PUBREL yet.
#[derive(Debug)]
pub struct Held {
    pub sent: Vec<Publish>,
    /// How many PUBREC came.
    pub received: usize,
}

/// What a subscriber heard that leaves some handshakes at PUBREL.
#[derive(Debug)]
pub struct Half {
    pub texts: Vec<String>,
    /// PUBREL came, PUBCOMP was not sent.
    pub released: Vec<PacketId>,
    /// PUBLISH came and PUBREL did not.
    pub incoming: BTreeSet<PacketId>,
}

/// What clients did until the end of the node.
#[derive(Debug)]
pub struct Record {
    pub published: Vec<Published>,
    /// What the connected subscriber heard, and its session.
    pub present: (Vec<String>, Session),
    pub held: Held,
    pub half: Half,
    /// Clients with a Will that were let in.
    pub wills: u32,
    /// Clients whose subscription was acknowledged.
    pub subscribed: u32,
}

/// How often each thing has happened, while it happens.
#[derive(Debug, Default)]
pub struct Done {
    completed: AtomicU32,
    received: AtomicU32,
    released: AtomicU32,
    wills: AtomicU32,
    subscribed: AtomicU32,
}

impl Done {
    /// Whether there is enough of everything to lose.
    fn is_enough(&self) -> bool {
        let Self {
            completed,
            received,
            released,
            wills,
            subscribed,
        } = self;
        let rare = [received, released, wills, subscribed];
        completed.load(Relaxed) >= 100 && rare.iter().all(|count| count.load(Relaxed) >= 3)
    }
}

fn count(counter: &AtomicU32) {
    counter.fetch_add(1, Relaxed);
}

/// Clients at work.
pub struct Crowd {
    done: Arc<Done>,
    publishing: Vec<JoinHandle<Published>>,
    published: Vec<Published>,
    present: JoinHandle<(Vec<String>, Session)>,
    held: JoinHandle<Held>,
    half: JoinHandle<Half>,
    wills: JoinHandle<u32>,
    subscribed: JoinHandle<u32>,
    stop: Arc<Notify>,
}

impl Crowd {
    /// Connects them, and one that subscribes to everything and is away: `away`.
    pub async fn start(node: &TestNode) -> Self {
        let mut away = persistent(node, "away").connect().await;
        for filter in ["load/#", "will/#", "held/#"] {
            away.subscribe(filter, Qos::ExactlyOnce).await;
        }
        away.disconnect().await;
        let mut present = persistent(node, "present").connect().await;
        present.subscribe("load/#", Qos::ExactlyOnce).await;
        let half = persistent(node, "half").receive_maximum(HALF_MAXIMUM);
        let mut half = half.manual().connect().await;
        half.subscribe("load/b", Qos::ExactlyOnce).await;
        let held = persistent(node, "held").manual().connect().await;
        let stop = Arc::new(Notify::new());
        let done = Arc::new(Done::default());
        let counter = || Arc::clone(&done);
        let mut publishing = Vec::new();
        for (name, qos) in PUBLISHERS {
            let client = persistent(node, name).connect().await;
            publishing.push(tokio::spawn(publish(
                client,
                (name, qos),
                Arc::clone(&stop),
                counter(),
            )));
        }
        Self {
            publishing,
            published: Vec::new(),
            present: tokio::spawn(listen(present)),
            held: tokio::spawn(hold(held, counter())),
            half: tokio::spawn(leave_half(half, counter())),
            wills: tokio::spawn(leave_wills(node.builder(""), counter())),
            subscribed: tokio::spawn(leave_subscriptions(persistent(node, ""), counter())),
            stop,
            done,
        }
    }

    /// Waits until there is enough to lose.
    pub async fn warm(&self) {
        harness::eventually("the clients work", async || {
            self.done.is_enough().then_some(())
        })
        .await;
    }

    /// Whether a publisher has ended.
    pub fn has_ended(&self) -> bool {
        self.publishing.iter().any(JoinHandle::is_finished)
    }

    /// Stops the publishers when everything is acknowledged. The others end with the node.
    pub async fn settle(&mut self) {
        self.stop.notify_waiters();
        for task in self.publishing.drain(..) {
            self.published.push(ended(task).await);
        }
    }

    /// What they did, after the end of the node.
    pub async fn ended(mut self) -> Record {
        self.settle().await;
        Record {
            published: self.published,
            present: ended(self.present).await,
            held: ended(self.held).await,
            half: ended(self.half).await,
            wills: ended(self.wills).await,
            subscribed: ended(self.subscribed).await,
        }
    }
}

async fn ended<T>(task: JoinHandle<T>) -> T {
    let joined = tokio::time::timeout(harness::PATIENCE, task).await;
    joined.expect("a client ends with its node").unwrap()
}

async fn publish(
    mut client: Client,
    (name, qos): (&'static str, Qos),
    stop: Arc<Notify>,
    done: Arc<Done>,
) -> Published {
    let topic = format!("load/{name}");
    let (mut sent, mut completed) = (0, 0);
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = stop.notified();
    tokio::pin!(stopped);
    let mut is_stopping = false;
    while !(is_stopping && client.session.unacknowledged() == 0) {
        let may_send = !is_stopping && client.session.unacknowledged() < WINDOW;
        tokio::select! {
            () = &mut stopped, if !is_stopping => is_stopping = true,
            _ = ticks.tick(), if may_send => {
                let text = format!("{name}:{sent}");
                client.start(message(&topic, text, qos).retained()).await;
                sent += 1;
            }
            event = client.event() => match event {
                Event::Completed(_, reason) => {
                    assert!(!reason.is_error(), "PUBLISH refused: {reason}");
                    completed += 1;
                    count(&done.completed);
                }
                Event::Closed => break,
                _ => {}
            }
        }
    }
    let session = client.vanish().await;
    Published {
        name,
        qos,
        sent,
        completed,
        session,
    }
}

async fn listen(mut client: Client) -> (Vec<String>, Session) {
    let mut texts = Vec::new();
    loop {
        match client.event().await {
            Event::Message(publish) => texts.push(publish.message.text()),
            Event::Closed => return (texts, client.vanish().await),
            _ => {}
        }
    }
}

async fn hold(mut client: Client, done: Arc<Done>) -> Held {
    let mut held = Held {
        sent: Vec::new(),
        received: 0,
    };
    loop {
        let text = format!("held:{}", held.sent.len());
        let publish = client.make_publish(message("held/x", text, Qos::ExactlyOnce));
        client.session.keep(&publish); // its identifier is in use
        client.send(&Packet::Publish(publish.clone())).await;
        held.sent.push(publish);
        loop {
            match client.event().await {
                Event::Closed => return held,
                Event::Handshake => break,
                _ => {}
            }
        }
        held.received += 1;
        count(&done.received);
        tokio::time::sleep(RARELY).await;
    }
}

async fn leave_half(mut client: Client, done: Arc<Done>) -> Half {
    let (mut texts, mut released, mut incoming) = (Vec::new(), Vec::new(), BTreeSet::new());
    while let Some(packet) = client.next_packet().await {
        match packet {
            Packet::Publish(publish) => {
                if publish
                    .packet_id
                    .is_some_and(|packet_id| incoming.insert(packet_id))
                {
                    texts.push(publish.message.text());
                }
                client.acknowledge(&publish).await;
            }
            Packet::PubRel(ack) => {
                incoming.remove(&ack.packet_id);
                if ack.packet_id.get().is_multiple_of(HALVES) && released.len() < MOST_HALVES {
                    released.push(ack.packet_id);
                    count(&done.released);
                } else {
                    complete(&mut client, ack.packet_id).await;
                }
            }
            _ => {}
        }
    }
    Half {
        texts,
        released,
        incoming,
    }
}

/// PUBCOMP.
pub async fn complete(client: &mut Client, packet_id: PacketId) {
    let ack = Ack::new(packet_id, ReasonCode::Success);
    client.send(&Packet::PubComp(ack)).await;
}

/// Clients that stay until they die with the node, which has their Wills.
async fn leave_wills(builder: Builder, done: Arc<Done>) -> u32 {
    let mut clients = Vec::new();
    loop {
        let number = clients.len();
        let will = message("will/x", format!("will:{number}"), Qos::ExactlyOnce);
        let builder = builder
            .clone()
            .client_id(&format!("mortal-{number}"))
            .will(will);
        match builder.try_connect().await {
            Ok(client) => {
                clients.push(client);
                count(&done.wills);
            }
            Err(_) => return u32::try_from(number).unwrap(),
        }
        tokio::time::sleep(RARELY).await;
    }
}

/// Clients that subscribe and go away.
async fn leave_subscriptions(builder: Builder, done: Arc<Done>) -> u32 {
    for number in 0.. {
        let builder = builder.clone().client_id(&format!("late-{number}"));
        let Ok(mut client) = builder.try_connect().await else {
            return number;
        };
        let filter = format!("late/{number}");
        if !subscribed(&mut client, &filter).await {
            return number;
        }
        count(&done.subscribed);
        client.vanish().await;
        tokio::time::sleep(RARELY).await;
    }
    0
}

/// Whether SUBACK came.
async fn subscribed(client: &mut Client, filter: &str) -> bool {
    client.ask_to_subscribe(filter, Qos::AtLeastOnce).await;
    loop {
        match client.event().await {
            Event::Subscribed(_) => return true,
            Event::Closed => return false,
            _ => {}
        }
    }
}
