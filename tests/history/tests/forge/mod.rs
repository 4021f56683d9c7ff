//! Forges histories: one call an entry, ten milliseconds apart.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use history::{
    Entry, Happened, History, Kind, MessageId, Retain, Rules, Side, Verdict, WillPlan, check,
};

pub const HOUR: u64 = 3600;

#[derive(Default, Clone)]
pub struct Forge {
    now: Duration,
    pub entries: Vec<Entry>,
    /// The latest connection of each client.
    current: BTreeMap<String, u32>,
    /// Of a message: topic, QoS, RETAIN.
    known: BTreeMap<MessageId, (String, u8, Retain)>,
}

/// `name:number`.
pub fn id(text: &str) -> MessageId {
    let (publisher, number) = text.rsplit_once(':').unwrap();
    MessageId {
        publisher: publisher.to_owned(),
        number: number.parse().unwrap(),
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Forge {
    pub fn new() -> Self {
        Self::default()
    }

    /// Time passes.
    pub fn wait(&mut self, time: u64) -> &mut Self {
        self.now += seconds(time);
        self
    }

    /// On a connection that is not the latest.
    pub fn on(&mut self, client: &str, connection: u32, what: Happened) -> &mut Self {
        self.now += Duration::from_millis(10);
        self.entries.push(Entry {
            at: self.now,
            client: client.to_owned(),
            connection,
            what,
        });
        self
    }

    pub fn note(&mut self, client: &str, what: Happened) -> &mut Self {
        let connection = self.current.get(client).copied().unwrap_or(0);
        self.on(client, connection, what)
    }

    /// CONNECT on a new connection. Without Clean Start and with `expiry` seconds, or clean with 0.
    pub fn dial(&mut self, client: &str, expiry: u64) -> &mut Self {
        self.dial_with(client, expiry == 0, expiry, None)
    }

    pub fn dial_with(
        &mut self,
        client: &str,
        clean_start: bool,
        expiry: u64,
        will: Option<WillPlan>,
    ) -> &mut Self {
        *self.current.entry(client.to_owned()).or_default() += 1;
        let what = Happened::Connect {
            clean_start,
            expiry: seconds(expiry),
            will,
        };
        self.note(client, what)
    }

    pub fn accept(&mut self, client: &str, session_present: bool) -> &mut Self {
        self.note(client, Happened::Connected { session_present })
    }

    /// A first connection.
    pub fn connect(&mut self, client: &str, expiry: u64) -> &mut Self {
        self.dial(client, expiry).accept(client, false)
    }

    /// Another connection to the session.
    pub fn resume(&mut self, client: &str) -> &mut Self {
        self.dial(client, HOUR).accept(client, true)
    }

    /// A connection with a Will on `will/CLIENT`, QoS 1.
    pub fn connect_with_will(&mut self, client: &str, expiry: u64, delay: u64) -> &mut Self {
        self.dial_with(client, expiry == 0, expiry, Some(will(client, delay)))
            .accept(client, false)
    }

    pub fn close(&mut self, client: &str, by: Side) -> &mut Self {
        self.note(client, Happened::Closed { by, reason: None })
    }

    pub fn refuse(&mut self, client: &str, reason: u8) -> &mut Self {
        self.note(client, Happened::Refused { reason })
    }

    pub fn ask(&mut self, client: &str, filter: &str, qos: u8) -> &mut Self {
        let filter = filter.to_owned();
        self.note(client, Happened::Subscribe { filter, qos })
    }

    pub fn grant(&mut self, client: &str, filter: &str, reason: u8) -> &mut Self {
        let filter = filter.to_owned();
        self.note(client, Happened::Subscribed { filter, reason })
    }

    pub fn subscribe(&mut self, client: &str, filter: &str, qos: u8) -> &mut Self {
        self.ask(client, filter, qos).grant(client, filter, qos)
    }

    pub fn unask(&mut self, client: &str, filter: &str) -> &mut Self {
        let filter = filter.to_owned();
        self.note(client, Happened::Unsubscribe { filter })
    }

    pub fn unsubscribe(&mut self, client: &str, filter: &str) -> &mut Self {
        self.unask(client, filter);
        let filter = filter.to_owned();
        self.note(client, Happened::Unsubscribed { filter })
    }

    /// A persistent session with one subscription.
    pub fn subscriber(&mut self, client: &str, filter: &str, qos: u8) -> &mut Self {
        self.connect(client, HOUR).subscribe(client, filter, qos)
    }

    /// PUBLISH; the client is the publisher of the message.
    pub fn send(&mut self, message: &str, topic: &str, qos: u8) -> &mut Self {
        self.send_as(message, topic, qos, Retain::No)
    }

    fn send_as(&mut self, message: &str, topic: &str, qos: u8, retain: Retain) -> &mut Self {
        let message = id(message);
        let known = (topic.to_owned(), qos, retain);
        let is_repeated = self.known.insert(message.clone(), known).is_some();
        let what = Happened::Publish {
            message: message.clone(),
            topic: topic.to_owned(),
            qos,
            retain,
            is_repeated,
        };
        self.note(&message.publisher, what)
    }

    pub fn send_again(&mut self, message: &str) -> &mut Self {
        let (topic, qos, retain) = self.known[&id(message)].clone();
        self.send_as(message, &topic, qos, retain)
    }

    pub fn acknowledge_with(&mut self, message: &str, reason: u8) -> &mut Self {
        let message = id(message);
        let publisher = message.publisher.clone();
        self.note(&publisher, Happened::Acknowledged { message, reason })
    }

    pub fn acknowledge(&mut self, message: &str) -> &mut Self {
        self.acknowledge_with(message, 0)
    }

    pub fn complete(&mut self, message: &str) -> &mut Self {
        let message = id(message);
        let publisher = message.publisher.clone();
        self.note(&publisher, Happened::Completed { message })
    }

    /// PUBLISH with all its answers.
    pub fn publish(&mut self, message: &str, topic: &str, qos: u8) -> &mut Self {
        self.send(message, topic, qos).answered(message, qos)
    }

    pub fn retain(&mut self, message: &str, topic: &str, qos: u8) -> &mut Self {
        self.send_as(message, topic, qos, Retain::Yes)
            .answered(message, qos)
    }

    fn answered(&mut self, message: &str, qos: u8) -> &mut Self {
        if qos > 0 {
            self.acknowledge(message);
        }
        if qos == 2 {
            self.complete(message);
        }
        self
    }

    /// Of `name:number` with the topic it was published on.
    pub fn receive(&mut self, client: &str, message: &str, qos: u8) -> &mut Self {
        let topic = self.known[&id(message)].0.clone();
        self.receive_on(client, message, &topic, qos)
    }

    pub fn receive_on(&mut self, client: &str, message: &str, topic: &str, qos: u8) -> &mut Self {
        self.note(client, received(message, topic, qos, Retain::No))
    }

    pub fn receive_retained(&mut self, client: &str, message: &str, qos: u8) -> &mut Self {
        let topic = self.known[&id(message)].0.clone();
        self.note(client, received(message, &topic, qos, Retain::Yes))
    }

    pub fn ping(&mut self, client: &str) -> &mut Self {
        self.note(client, Happened::Ping)
            .note(client, Happened::Pong)
    }

    pub fn fault(&mut self, text: &str, begins: bool) -> &mut Self {
        let text = text.to_owned();
        self.on("", 0, Happened::Fault { text, begins })
    }

    pub fn history(&self) -> History {
        History {
            entries: self.entries.clone(),
        }
    }

    /// The verdict when the history has settled a minute later.
    pub fn verdict(&self) -> Verdict {
        let mut settled = self.clone();
        settled.wait(60).on("", 0, Happened::Settled);
        check(&settled.history(), &Rules::default())
    }

    #[track_caller]
    pub fn is_innocent(&self) {
        let verdict = self.verdict();
        assert!(verdict.is_innocent(), "{verdict}");
    }

    /// Exactly these, each once.
    #[track_caller]
    pub fn is_guilty_of(&self, kinds: &[Kind]) {
        let verdict = self.verdict();
        let found: Vec<Kind> = verdict.violations.iter().map(|found| found.kind).collect();
        assert_eq!(found, kinds, "{verdict}");
        for violation in &verdict.violations {
            assert!(!violation.evidence.is_empty(), "{violation}");
        }
    }
}

pub fn will(client: &str, delay: u64) -> WillPlan {
    WillPlan {
        topic: format!("will/{client}"),
        qos: 1,
        delay: seconds(delay),
    }
}

pub fn received(message: &str, topic: &str, qos: u8, retain: Retain) -> Happened {
    Happened::Received {
        message: id(message),
        topic: topic.to_owned(),
        qos,
        dup: false,
        retain,
    }
}
