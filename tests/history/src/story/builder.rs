//! One pass over the entries.

mod packets;

use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    Client, ClientId, Connection, ConnectionId, Faults, Message, MessageKey, Place, Story,
    SubscriptionId,
};
use crate::{Entry, Happened, MessageId, Rules, WillPlan};

/// A publisher and a topic name, shared by all that are equal.
#[derive(Default)]
struct Names<'a> {
    numbers: HashMap<&'a str, usize>,
    names: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }
}

struct Builder<'a> {
    story: Story<'a>,
    clients: HashMap<&'a str, ClientId>,
    connections: HashMap<(ClientId, u32), ConnectionId>,
    topics: Names<'a>,
    publishers: HashMap<String, usize>,
    messages: HashMap<(usize, u64), MessageKey>,
    pings: HashMap<ConnectionId, VecDeque<Place>>,
    /// SUBSCRIBE without SUBACK.
    subscribes: HashMap<(ConnectionId, &'a str), VecDeque<SubscriptionId>>,
    /// UNSUBSCRIBE without UNSUBACK.
    unsubscribes: HashMap<(ConnectionId, &'a str), VecDeque<Place>>,
    /// Subscriptions by client and filter, with what ended them.
    by_filter: HashMap<(ClientId, &'a str), Vec<SubscriptionId>>,
}

impl<'a> Story<'a> {
    pub(crate) fn new(entries: &'a [Entry], rules: &'a Rules) -> Self {
        let mut builder = Builder {
            story: Self {
                entries,
                rules,
                clients: Vec::new(),
                connections: Vec::new(),
                messages: Vec::new(),
                receptions: Vec::new(),
                subscriptions: Vec::new(),
                topics: Vec::new(),
                matching: Vec::new(),
                publishers: Vec::new(),
                faults: Faults::default(),
                settled: None,
                received: HashSet::new(),
                unsound: Vec::new(),
                streams: HashMap::new(),
            },
            clients: HashMap::new(),
            connections: HashMap::new(),
            topics: Names::default(),
            publishers: HashMap::new(),
            messages: HashMap::new(),
            pings: HashMap::new(),
            subscribes: HashMap::new(),
            unsubscribes: HashMap::new(),
            by_filter: HashMap::new(),
        };
        let mut last = std::time::Duration::ZERO;
        for (place, entry) in entries.iter().enumerate() {
            if entry.at < last {
                builder.unsound(place, "the time falls");
            }
            last = entry.at;
            builder.take(place, entry);
        }
        builder.finish()
    }
}

impl<'a> Builder<'a> {
    fn unsound(&mut self, place: Place, problem: &'static str) {
        self.story.unsound.push((place, problem));
    }

    fn take(&mut self, place: Place, entry: &'a Entry) {
        match &entry.what {
            Happened::Fault { text, begins } => {
                return self.story.faults.note(text, *begins, entry.at);
            }
            Happened::Settled => {
                self.story.settled = Some(place);
                return;
            }
            _ => {}
        }
        let client = self.client(&entry.client);
        if let Happened::Connect {
            clean_start,
            expiry,
            will,
        } = &entry.what
        {
            let id = self.story.connections.len();
            if self
                .connections
                .insert((client, entry.connection), id)
                .is_some()
            {
                self.unsound(place, "a number of a connection is used again");
            }
            self.story.connections.push(Connection {
                client,
                number: entry.connection,
                connect: place,
                clean_start: *clean_start,
                expiry: *expiry,
                will: will.as_ref(),
                connected: None,
                session_present: false,
                is_refused: false,
                closed: None,
                served: None,
                session: 0,
                cut: 0,
            });
            if let Some(client) = self.story.clients.get_mut(client) {
                client.attempts.push(id);
            }
            if let Some(will) = will {
                self.will(place, id, &entry.client, will);
            }
            return;
        }
        let Some(&id) = self.connections.get(&(client, entry.connection)) else {
            return self.unsound(place, "this connection was never begun");
        };
        match &entry.what {
            Happened::Connected { .. } | Happened::Refused { .. } | Happened::Closed { .. } => {
                self.change(place, id, &entry.what);
            }
            _ => {
                self.packet(place, id, &entry.what);
            }
        }
    }

    fn client(&mut self, name: &'a str) -> ClientId {
        let clients = &mut self.story.clients;
        *self.clients.entry(name).or_insert_with(|| {
            clients.push(Client {
                name,
                attempts: Vec::new(),
                connected: Vec::new(),
                subscriptions: Vec::new(),
            });
            clients.len() - 1
        })
    }

    fn publisher(&mut self, name: &str) -> usize {
        if let Some(number) = self.publishers.get(name) {
            return *number;
        }
        let number = self.story.publishers.len();
        self.story.publishers.push(name.to_owned());
        self.publishers.insert(name.to_owned(), number);
        number
    }

    fn find(&mut self, id: &MessageId) -> Option<MessageKey> {
        let publisher = self.publisher(&id.publisher);
        self.messages.get(&(publisher, id.number)).copied()
    }

    fn add(&mut self, message: Message) -> MessageKey {
        let key = self.story.messages.len();
        self.messages
            .insert((message.publisher, message.number), key);
        self.story.messages.push(message);
        key
    }

    fn will(&mut self, place: Place, id: ConnectionId, client: &str, will: &'a WillPlan) {
        let number = self.story.connection(id).number;
        let publisher = self.publisher(&format!("will/{client}"));
        let topic = self.topics.number(&will.topic);
        if self.messages.contains_key(&(publisher, number.into())) {
            return self.unsound(place, "a message has the identifier of this Will");
        }
        self.add(Message {
            publisher,
            number: number.into(),
            topic,
            qos: will.qos,
            is_retained: false,
            will: Some(id),
            sends: Vec::new(),
            is_refused: false,
            acknowledged: None,
            completed: None,
        });
    }

    fn change(&mut self, place: Place, id: ConnectionId, what: &Happened) {
        let mut problem = None;
        if let Some(connection) = self.story.connections.get_mut(id) {
            match what {
                Happened::Connected { session_present } => {
                    if connection.connected.is_some() || connection.closed.is_some() {
                        problem = Some("this connection was accepted or closed before");
                    } else {
                        connection.connected = Some(place);
                        connection.session_present = *session_present;
                        let client = connection.client;
                        if let Some(client) = self.story.clients.get_mut(client) {
                            client.connected.push(id);
                        }
                    }
                }
                Happened::Refused { reason } => connection.is_refused = *reason != 0,
                Happened::Closed { by, .. } if connection.closed.is_none() => {
                    connection.closed = Some((place, *by));
                }
                _ => {}
            }
        }
        if let Some(problem) = problem {
            self.unsound(place, problem);
        }
    }

    fn packet(&mut self, place: Place, id: ConnectionId, what: &'a Happened) {
        match what {
            Happened::Subscribe { filter, qos } => self.subscribe(place, id, filter, *qos),
            Happened::Subscribed { filter, reason } => {
                let waiting = self.subscribes.get_mut(&(id, filter.as_str()));
                let Some(subscription) = waiting.and_then(VecDeque::pop_front) else {
                    return self.unsound(place, "SUBACK without SUBSCRIBE");
                };
                if let Some(subscription) = self.story.subscriptions.get_mut(subscription) {
                    subscription.answer = Some((place, *reason));
                    let sent = subscription.sent;
                    self.answered(id, Some(sent), place);
                }
            }
            Happened::Unsubscribe { filter } => self.unsubscribe(place, id, filter),
            Happened::Unsubscribed { filter } => self.unsubscribed(place, id, filter),
            Happened::Publish { .. } => self.publish(place, id, what),
            Happened::Acknowledged { message, reason } => {
                self.acknowledged(place, id, message, *reason);
            }
            Happened::Completed { message } => {
                let key = self.find(message);
                match key.and_then(|key| self.story.messages.get_mut(key)) {
                    Some(message) => message.completed = message.completed.or(Some(place)),
                    None => self.unsound(place, "PUBCOMP for what was never sent"),
                }
            }
            Happened::Received { .. } => self.received(place, id, what),
            Happened::Ping => self.pings.entry(id).or_default().push_back(place),
            Happened::Pong => {
                let sent = self.pings.get_mut(&id).and_then(VecDeque::pop_front);
                if sent.is_some_and(|sent| self.is_proof(sent)) {
                    self.answered(id, sent, place);
                }
            }
            _ => {}
        }
    }

    /// Whether the answer to a PINGREQ proves that the server takes the connection for open. A node that
    /// is cut off cannot know that its clients are elsewhere, and goes on as in an outage.
    fn is_proof(&self, ping: Place) -> bool {
        let at = self.story.at(ping);
        !self.story.faults.is_near(at, self.story.rules.after_fault)
    }

    /// An answer came in.
    fn answered(&mut self, id: ConnectionId, request: Option<Place>, answer: Place) {
        let connection = self.story.connections.get_mut(id);
        if let (Some(connection), Some(request)) = (connection, request)
            && connection.served.is_none_or(|(before, _)| before < request)
        {
            connection.served = Some((request, answer));
        }
    }

    fn finish(self) -> Story<'a> {
        let Self {
            mut story,
            topics,
            by_filter,
            ..
        } = self;
        story.topics = topics.names;
        story.faults.finish();
        story.join_sessions();
        story.settle_subscriptions(by_filter);
        for (key, message) in story.messages.iter().enumerate() {
            if message.will.is_none() {
                let stream = (message.publisher, message.topic, message.qos);
                story.streams.entry(stream).or_default().push(key);
            }
        }
        for stream in story.streams.values_mut() {
            stream.sort_unstable_by_key(|key| story.messages.get(*key).map(|found| found.number));
        }
        story
    }
}
