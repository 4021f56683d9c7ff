//! Clients of the simulated broker, who write down what they see.
//!
//! Every step a client acts, a packet arrives at either end, or a node dies; which, is chance.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use history::{Entry, Happened, History, MessageId, Retain, Side, WillPlan};

use super::{
    broker::{Broker, Down, Item, Link, Up},
    chance::Chance,
};

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Persistent, subscribes once: nothing may be lost.
    Keeper,
    /// Ends its session with each connection.
    Passer,
    /// Member of a group; some are persistent.
    Member,
    /// Publishes.
    Publisher,
    /// Has a Will and loses its connection often.
    Mortal,
    /// Subscribes to retained messages again and again.
    Reader,
}

struct Actor {
    name: String,
    role: Role,
    filter: Option<(String, u8)>,
    expiry: Duration,
    delay: Duration,
    attempts: u32,
    /// The connection in use, and whether CONNACK came.
    link: Option<(usize, bool)>,
    published: u64,
    /// Not acknowledged, then not completed.
    unacknowledged: Vec<Item>,
    unreleased: BTreeSet<MessageId>,
    /// QoS 2 handshakes that it has seen.
    packets: BTreeSet<u64>,
}

pub struct World {
    now: Duration,
    chance: Chance,
    broker: Broker,
    entries: Vec<Entry>,
    actors: Vec<Actor>,
    /// By link: the client has closed it or seen it closed.
    closed: BTreeSet<usize>,
    by_name: BTreeMap<String, usize>,
    /// Nodes die. Without that, more is promised.
    has_faults: bool,
}

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// An innocent history.
    pub fn run(seed: u64, steps: usize) -> History {
        let mut world = Self {
            now: Duration::ZERO,
            chance: Chance::new(seed),
            broker: Broker::default(),
            entries: Vec::new(),
            actors: Vec::new(),
            closed: BTreeSet::new(),
            by_name: BTreeMap::new(),
            has_faults: seed.is_multiple_of(2),
        };
        world.people();
        for _ in 0..steps {
            world.step();
        }
        world.settle();
        History {
            entries: world.entries,
        }
    }

    fn people(&mut self) {
        for (name, role, filter, expiry, delay) in [
            ("keeper1", Role::Keeper, Some(("t/+", 1)), 3600, 0),
            ("keeper2", Role::Keeper, Some(("t/+", 2)), 3600, 0),
            ("watcher", Role::Keeper, Some(("will/+", 2)), 3600, 0),
            ("passer1", Role::Passer, Some(("t/a", 1)), 0, 0),
            ("passer2", Role::Passer, Some(("t/+", 2)), 0, 0),
            ("member1", Role::Member, Some(("$share/g/t/+", 1)), 3600, 0),
            ("member2", Role::Member, Some(("$share/g/t/+", 1)), 0, 0),
            ("member3", Role::Member, Some(("$share/h/t/+", 2)), 3600, 0),
            ("member4", Role::Member, Some(("$share/h/t/+", 2)), 3600, 0),
            ("reader", Role::Reader, Some(("r/+", 1)), 0, 0),
            ("p", Role::Publisher, None, 3600, 0),
            ("q", Role::Publisher, None, 0, 0),
            ("mortal1", Role::Mortal, None, 0, 0),
            ("mortal2", Role::Mortal, None, 3600, 2),
            ("mortal3", Role::Mortal, None, 3600, 0),
        ] {
            self.by_name.insert(name.to_owned(), self.actors.len());
            self.actors.push(Actor {
                name: name.to_owned(),
                role,
                filter: filter.map(|(filter, qos)| (filter.to_owned(), qos)),
                expiry: Duration::from_secs(expiry),
                delay: Duration::from_secs(delay),
                attempts: 0,
                link: None,
                published: 0,
                unacknowledged: Vec::new(),
                unreleased: BTreeSet::new(),
                packets: BTreeSet::new(),
            });
        }
    }

    fn note(&mut self, link: usize, what: Happened) {
        let Link { client, number, .. } = &self.broker.links[link];
        let (client, connection) = (client.clone(), *number);
        self.entries.push(Entry {
            at: self.now,
            client,
            connection,
            what,
        });
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1 + self.chance.below(9) as u64);
        self.broker.tick(self.now, &mut self.chance);
        match self.chance.below(1000) {
            0..300 => self.deliver_up(),
            300..650 => self.deliver_down(),
            650..996 => {
                let actor = self.chance.below(self.actors.len());
                self.act(actor);
            }
            996..998 if self.has_faults => self.kill(),
            _ => self.now += Duration::from_millis(self.chance.below(500) as u64),
        }
    }

    fn kill(&mut self) {
        let node = self.chance.below(3);
        self.fault(node, true);
        self.broker.kill(node, self.now, &mut self.chance);
        self.fault(node, false);
    }

    fn fault(&mut self, node: usize, begins: bool) {
        self.entries.push(Entry {
            at: self.now,
            client: String::new(),
            connection: 0,
            what: Happened::Fault {
                text: format!("kill {node}"),
                begins,
            },
        });
    }

    fn deliver_up(&mut self) {
        let waiting = |link: &Link| !link.up.is_empty();
        if let Some(id) = self.choose(waiting) {
            self.broker.take(id, self.now, &mut self.chance);
        }
    }

    fn deliver_down(&mut self) {
        let waiting = |link: &Link| !link.down.is_empty();
        if let Some(id) = self.choose(waiting) {
            let packet = self.broker.links[id].down.pop_front().unwrap();
            if !self.closed.contains(&id) {
                self.read(id, packet);
            }
        }
    }

    fn choose(&mut self, is_waiting: impl Fn(&Link) -> bool) -> Option<usize> {
        let links = self.broker.links.iter().enumerate();
        let waiting: Vec<usize> = links
            .filter(|(_, link)| is_waiting(link))
            .map(|(id, _)| id)
            .collect();
        (!waiting.is_empty()).then(|| waiting[self.chance.below(waiting.len())])
    }

    /// A client reads a packet.
    fn read(&mut self, id: usize, packet: Down) {
        let actor = self.by_name[&self.broker.links[id].client];
        match packet {
            Down::Connected(session_present) => {
                self.note(id, Happened::Connected { session_present });
                self.connected(actor, id, session_present);
            }
            Down::Subscribed(filter, reason) => {
                self.note(id, Happened::Subscribed { filter, reason });
            }
            Down::Unsubscribed(filter) => self.note(id, Happened::Unsubscribed { filter }),
            Down::Acknowledged(message) => {
                // What an old connection still says is written down, but not relied on.
                let is_current = self.actors[actor].link.is_some_and(|(link, _)| link == id);
                let waiting = &mut self.actors[actor].unacknowledged;
                let item = waiting.iter().position(|item| item.message == message);
                let item = item.filter(|_| is_current).map(|item| waiting.remove(item));
                let what = Happened::Acknowledged { message, reason: 0 };
                self.note(id, what);
                if let Some(item) = item.filter(|item| item.qos == 2) {
                    self.actors[actor].unreleased.insert(item.message.clone());
                    self.send(id, Up::Release(item.message));
                }
            }
            Down::Completed(message) => {
                self.actors[actor].unreleased.remove(&message);
                self.note(id, Happened::Completed { message });
            }
            Down::Publish(item) => {
                if item.qos < 2 || self.actors[actor].packets.insert(item.packet) {
                    let what = Happened::Received {
                        message: item.message.clone(),
                        topic: item.topic.clone(),
                        qos: item.qos,
                        dup: false,
                        retain: item.retain,
                    };
                    self.note(id, what);
                }
                if item.qos > 0 {
                    self.send(id, Up::Received(item.packet));
                }
            }
            Down::Pong => self.note(id, Happened::Pong),
            Down::Closed => {
                if self.actors[actor].link == Some((id, false)) {
                    self.note(id, Happened::Refused { reason: 0 });
                }
                self.close(actor, id, Side::Server);
            }
        }
    }

    /// What a client does after CONNACK.
    fn connected(&mut self, actor: usize, id: usize, session_present: bool) {
        let person = &mut self.actors[actor];
        if person.link == Some((id, false)) {
            person.link = Some((id, true));
        }
        if !session_present {
            person.packets.clear();
            person.unreleased.clear();
            if let Some((filter, qos)) = person.filter.clone() {
                self.subscribe(id, filter, qos);
            }
        }
        let person = &self.actors[actor];
        for message in person.unreleased.clone() {
            self.send(id, Up::Release(message));
        }
        for item in self.actors[actor].unacknowledged.clone() {
            self.publish(id, item, true);
        }
    }

    fn send(&mut self, id: usize, packet: Up) {
        let link = &mut self.broker.links[id];
        if !link.is_over {
            link.up.push_back(packet);
        }
    }

    fn subscribe(&mut self, id: usize, filter: String, qos: u8) {
        let what = Happened::Subscribe {
            filter: filter.clone(),
            qos,
        };
        self.note(id, what);
        self.send(id, Up::Subscribe(filter, qos));
    }

    fn publish(&mut self, id: usize, item: Item, is_repeated: bool) {
        let what = Happened::Publish {
            message: item.message.clone(),
            topic: item.topic.clone(),
            qos: item.qos,
            retain: item.retain,
            is_repeated,
        };
        self.note(id, what);
        self.send(id, Up::Publish(item));
    }

    fn close(&mut self, actor: usize, id: usize, by: Side) {
        self.closed.insert(id);
        self.note(id, Happened::Closed { by, reason: None });
        let person = &mut self.actors[actor];
        if person.link.is_some_and(|(link, _)| link == id) {
            person.link = None;
        }
        match by {
            Side::ClientNormally => self.send(id, Up::Disconnect),
            Side::ClientAbruptly => self.send(id, Up::Gone),
            Side::Server => {}
        }
    }

    fn dial(&mut self, actor: usize) {
        let person = &mut self.actors[actor];
        person.attempts += 1;
        let clean_start = person.expiry.is_zero();
        let expiry = person.expiry;
        let will = (person.role == Role::Mortal).then(|| WillPlan {
            topic: format!("will/{}", person.name),
            qos: 2,
            delay: person.delay,
        });
        let id = self.broker.links.len();
        person.link = Some((id, false));
        let link = Link {
            client: person.name.clone(),
            number: person.attempts,
            node: self.chance.below(3),
            ..Link::default()
        };
        self.broker.links.push(link);
        let what = Happened::Connect {
            clean_start,
            expiry,
            will: will.clone(),
        };
        self.note(id, what);
        let connect = Up::Connect {
            clean_start,
            expiry,
            will,
        };
        self.send(id, connect);
    }

    fn act(&mut self, actor: usize) {
        let role = self.actors[actor].role;
        let Some((id, is_connected)) = self.actors[actor].link else {
            return self.dial(actor);
        };
        if !is_connected {
            // Gives up at times.
            if self.chance.one_in(60) {
                self.note(id, Happened::Refused { reason: 0 });
                self.close(actor, id, Side::ClientAbruptly);
            }
            return;
        }
        let patience = if role == Role::Mortal { 12 } else { 60 };
        if self.chance.one_in(patience) {
            return match self.chance.below(3) {
                0 => self.dial(actor), // A takeover: the old connection is read on.
                1 => self.close(actor, id, Side::ClientAbruptly),
                _ => self.close(actor, id, Side::ClientNormally),
            };
        }
        match role {
            Role::Publisher => self.publish_next(actor, id),
            Role::Reader if self.chance.one_in(6) => {
                let (filter, qos) = self.actors[actor].filter.clone().unwrap();
                let unsubscribe = filter.clone();
                let what = Happened::Unsubscribe {
                    filter: unsubscribe.clone(),
                };
                self.note(id, what);
                self.send(id, Up::Unsubscribe(unsubscribe));
                self.subscribe(id, filter, qos);
            }
            _ if self.chance.one_in(5) => {
                self.note(id, Happened::Ping);
                self.send(id, Up::Ping);
            }
            _ => {}
        }
    }

    fn publish_next(&mut self, actor: usize, id: usize) {
        let qos = u8::try_from(self.chance.below(3)).unwrap();
        let person = &mut self.actors[actor];
        person.published += 1;
        let (topic, qos, retain) = match self.chance.below(5) {
            0 => (format!("r/{}", person.name), 1, Retain::Yes),
            1 => ("t/a".to_owned(), qos, Retain::No),
            _ => ("t/b".to_owned(), qos, Retain::No),
        };
        let item = Item {
            message: MessageId {
                publisher: person.name.clone(),
                number: person.published,
            },
            topic,
            qos,
            retain,
            packet: 0,
            group: None,
        };
        if qos > 0 {
            person.unacknowledged.push(item.clone());
        }
        self.publish(id, item, false);
    }

    /// All come back, everything arrives, the last Wills too.
    fn settle(&mut self) {
        for _ in 0..3 {
            loop {
                for actor in 0..self.actors.len() {
                    if self.actors[actor].link.is_none() {
                        self.dial(actor);
                    }
                }
                let waiting = |link: &Link| !link.up.is_empty() || !link.down.is_empty();
                if !self.broker.links.iter().any(waiting) {
                    break;
                }
                self.now += Duration::from_millis(1);
                self.deliver_up();
                self.deliver_down();
            }
            self.now += HOUR / 60;
            self.broker.tick(self.now, &mut self.chance);
        }
        self.entries.push(Entry {
            at: self.now,
            client: String::new(),
            connection: 0,
            what: Happened::Settled,
        });
    }
}
