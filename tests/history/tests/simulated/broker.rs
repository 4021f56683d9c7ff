//! A broker in memory that keeps all guarantees. Packets to and from it wait in [`Link`]s.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use history::{MessageId, Retain, WillPlan};

use super::chance::Chance;

/// A message as the broker has it.
#[derive(Debug, Clone)]
pub struct Item {
    pub message: MessageId,
    pub topic: String,
    pub qos: u8,
    pub retain: Retain,
    /// Identifies the handshake in the session of the receiver.
    pub packet: u64,
    /// Filter of the group through which it came.
    pub group: Option<String>,
}

/// From a client.
#[derive(Debug, Clone)]
pub enum Up {
    Connect {
        clean_start: bool,
        expiry: Duration,
        will: Option<WillPlan>,
    },
    Subscribe(String, u8),
    Unsubscribe(String),
    Publish(Item),
    Release(MessageId),
    Received(u64),
    Ping,
    Disconnect,
    /// FIN.
    Gone,
}

/// To a client.
#[derive(Debug, Clone)]
pub enum Down {
    Connected(bool),
    Subscribed(String, u8),
    Unsubscribed(String),
    Acknowledged(MessageId),
    Completed(MessageId),
    Publish(Item),
    Pong,
    Closed,
}

/// One connection, with what is under way on it.
#[derive(Debug, Default)]
pub struct Link {
    pub client: String,
    pub number: u32,
    pub node: usize,
    pub up: VecDeque<Up>,
    pub down: VecDeque<Down>,
    /// The broker serves it.
    pub is_served: bool,
    /// The broker knows that it is over.
    pub is_over: bool,
    pub will: Option<WillPlan>,
}

#[derive(Debug, Default)]
struct Session {
    expiry: Duration,
    link: Option<usize>,
    filters: BTreeMap<String, u8>,
    queue: VecDeque<Item>,
    in_flight: Vec<Item>,
    /// QoS 2 messages that the client has not released.
    unreleased: BTreeSet<MessageId>,
}

/// A Will that waits.
#[derive(Debug)]
struct Waiting {
    client: String,
    item: Item,
    due: Duration,
    /// Its node died, and a client that is back soon may cancel it.
    is_of_dead_node: bool,
    delay: Duration,
}

#[derive(Default)]
pub struct Broker {
    pub links: Vec<Link>,
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Item>,
    wills: Vec<Waiting>,
    packets: u64,
}

const LEASE: Duration = Duration::from_secs(5);

fn is_match(filter: &str, topic: &str) -> bool {
    let pattern = match filter.strip_prefix("$share/") {
        Some(rest) => rest.split_once('/').unwrap().1,
        None => filter,
    };
    let (pattern, topic): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), topic.split('/').collect());
    pattern.len() == topic.len() && pattern.iter().zip(&topic).all(|(a, b)| *a == "+" || a == b)
}

impl Broker {
    /// Handles the next packet of a link.
    pub fn take(&mut self, id: usize, now: Duration, chance: &mut Chance) {
        let Some(packet) = self.links[id].up.pop_front() else {
            return;
        };
        if self.links[id].is_over {
            return;
        }
        let client = self.links[id].client.clone();
        if let Up::Connect {
            clean_start,
            expiry,
            will,
        } = packet
        {
            return self.connect(id, (clean_start, expiry, will), chance);
        }
        match packet {
            Up::Subscribe(filter, qos) => self.subscribe(id, &filter, qos),
            Up::Unsubscribe(filter) => {
                self.sessions
                    .get_mut(&client)
                    .unwrap()
                    .filters
                    .remove(&filter);
                self.links[id].down.push_back(Down::Unsubscribed(filter));
            }
            Up::Publish(item) => self.publish(id, item, chance),
            Up::Release(message) => {
                let session = self.sessions.get_mut(&client).unwrap();
                session.unreleased.remove(&message);
                self.links[id].down.push_back(Down::Completed(message));
            }
            Up::Received(packet) => {
                let session = self.sessions.get_mut(&client).unwrap();
                session.in_flight.retain(|item| item.packet != packet);
            }
            Up::Ping => self.links[id].down.push_back(Down::Pong),
            Up::Disconnect => {
                self.links[id].will = None;
                self.over(id, now, chance);
            }
            Up::Gone | Up::Connect { .. } => self.over(id, now, chance),
        }
    }

    fn connect(
        &mut self,
        id: usize,
        (clean_start, expiry, will): (bool, Duration, Option<WillPlan>),
        chance: &mut Chance,
    ) {
        let client = self.links[id].client.clone();
        let old = self.sessions.get(&client).and_then(|session| session.link);
        if let Some(old) = old {
            self.links[old].is_over = true;
            self.links[old].down.push_back(Down::Closed);
            if let Some(will) = self.links[old].will.take()
                && (will.delay.is_zero() || clean_start)
            {
                let item = self.will_item(old, &will);
                self.route(item, chance);
            }
            let session = self.sessions.get_mut(&client).unwrap();
            session.link = None;
            if session.expiry.is_zero() {
                self.end(&client, chance);
            }
        }
        let (mine, others) = self.wills.drain(..).partition(|will| will.client == client);
        self.wills = others;
        for will in Vec::from_iter::<Vec<Waiting>>(mine) {
            let may_be_cancelled = !clean_start
                && (!will.delay.is_zero() || (will.is_of_dead_node && chance.one_in(2)));
            if !may_be_cancelled {
                self.route(will.item, chance);
            }
        }
        if clean_start {
            self.end(&client, chance);
        }
        let session_present = self.sessions.contains_key(&client);
        let session = self.sessions.entry(client).or_default();
        session.expiry = expiry;
        session.link = Some(id);
        let again: Vec<Item> = session.in_flight.drain(..).collect();
        for item in again.into_iter().rev() {
            session.queue.push_front(item);
        }
        self.links[id].will = will;
        self.links[id].is_served = true;
        self.links[id]
            .down
            .push_back(Down::Connected(session_present));
        self.flush();
    }

    /// The session of a client ends; what a group gave it goes to another member.
    fn end(&mut self, client: &str, chance: &mut Chance) {
        let Some(session) = self.sessions.remove(client) else {
            return;
        };
        for item in session.in_flight.into_iter().chain(session.queue) {
            if item.group.is_some() && item.qos == 1 {
                self.give_to_group(&item, chance);
            }
        }
    }

    /// The broker learns that a connection is over.
    fn over(&mut self, id: usize, now: Duration, chance: &mut Chance) {
        let link = &mut self.links[id];
        link.is_over = true;
        link.is_served = false;
        let client = link.client.clone();
        let will = link.will.take();
        let Some(session) = self.sessions.get_mut(&client) else {
            return;
        };
        if session.link != Some(id) {
            return;
        }
        session.link = None;
        let expiry = session.expiry;
        if let Some(will) = will {
            let item = self.will_item(id, &will);
            let delay = will.delay.min(expiry);
            if delay.is_zero() {
                self.route(item, chance);
            } else {
                self.wills.push(Waiting {
                    client: client.clone(),
                    item,
                    due: now + delay,
                    is_of_dead_node: false,
                    delay,
                });
            }
        }
        if expiry.is_zero() {
            self.end(&client, chance);
        }
    }

    /// A node is gone, with all that was under way to it, and most of what came from it.
    pub fn kill(&mut self, node: usize, now: Duration, chance: &mut Chance) {
        for id in 0..self.links.len() {
            if self.links[id].node != node || self.links[id].down.back().is_some_and(is_closed) {
                continue;
            }
            let link = &mut self.links[id];
            if link.is_over && link.down.is_empty() && link.up.is_empty() {
                continue;
            }
            let was_served = !link.is_over;
            link.up.clear();
            let kept = chance.below(link.down.len() + 1);
            link.down.truncate(kept);
            link.down.push_back(Down::Closed);
            link.is_over = true;
            let will = link.will.take().filter(|_| was_served);
            let client = link.client.clone();
            let Some(session) = self.sessions.get_mut(&client) else {
                continue;
            };
            if session.link != Some(id) {
                continue;
            }
            session.link = None;
            let expiry = session.expiry;
            if let Some(will) = will {
                let delay = will.delay.min(expiry);
                self.wills.push(Waiting {
                    client: client.clone(),
                    item: self.will_item(id, &will),
                    due: now + LEASE + delay,
                    is_of_dead_node: true,
                    delay,
                });
            }
            if expiry.is_zero() {
                self.end(&client, chance);
            }
        }
        self.flush();
    }

    /// Publishes the Wills that are due.
    pub fn tick(&mut self, now: Duration, chance: &mut Chance) {
        let (due, waiting) = self.wills.drain(..).partition(|will| will.due <= now);
        self.wills = waiting;
        for will in Vec::from_iter::<Vec<Waiting>>(due) {
            self.route(will.item, chance);
        }
    }

    fn will_item(&self, id: usize, will: &WillPlan) -> Item {
        Item {
            message: MessageId {
                publisher: format!("will/{}", self.links[id].client),
                number: self.links[id].number.into(),
            },
            topic: will.topic.clone(),
            qos: will.qos,
            retain: Retain::No,
            packet: 0,
            group: None,
        }
    }

    fn subscribe(&mut self, id: usize, filter: &str, qos: u8) {
        let client = self.links[id].client.clone();
        let session = self.sessions.get_mut(&client).unwrap();
        session.filters.insert(filter.to_owned(), qos);
        let answer = Down::Subscribed(filter.to_owned(), qos);
        self.links[id].down.push_back(answer);
        if !filter.starts_with("$share/") {
            for (topic, item) in &self.retained {
                if is_match(filter, topic) {
                    self.packets += 1;
                    let mut item = item.clone();
                    item.qos = item.qos.min(qos);
                    item.packet = self.packets;
                    session.queue.push_back(item);
                }
            }
        }
        self.flush();
    }

    fn publish(&mut self, id: usize, item: Item, chance: &mut Chance) {
        let session = self.sessions.get_mut(&self.links[id].client).unwrap();
        let is_known = item.qos == 2 && !session.unreleased.insert(item.message.clone());
        let (message, qos) = (item.message.clone(), item.qos);
        if !is_known {
            if item.retain == Retain::Yes {
                self.retained.insert(item.topic.clone(), item.clone());
            }
            let live = Item {
                retain: Retain::No,
                ..item
            };
            self.route(live, chance);
        }
        if qos > 0 {
            self.links[id].down.push_back(Down::Acknowledged(message));
        }
    }

    fn route(&mut self, item: Item, chance: &mut Chance) {
        let mut groups = BTreeSet::new();
        for session in self.sessions.values_mut() {
            for (filter, granted) in &session.filters {
                if !is_match(filter, &item.topic) {
                    continue;
                }
                if filter.starts_with("$share/") {
                    groups.insert(filter.clone());
                    continue;
                }
                self.packets += 1;
                let mut copy = item.clone();
                copy.qos = item.qos.min(*granted);
                copy.packet = self.packets;
                if copy.qos > 0 || session.link.is_some() {
                    session.queue.push_back(copy);
                }
            }
        }
        for group in groups {
            let mut copy = item.clone();
            copy.group = Some(group);
            self.give_to_group(&copy, chance);
        }
        self.flush();
    }

    /// Gives a message to a member of its group, best to one that is connected.
    fn give_to_group(&mut self, item: &Item, chance: &mut Chance) {
        let group = item.group.clone().unwrap();
        let mut members: Vec<&mut Session> = self
            .sessions
            .values_mut()
            .filter(|session| session.filters.contains_key(&group))
            .collect();
        if members.iter().any(|session| session.link.is_some()) {
            members.retain(|session| session.link.is_some());
        }
        if !members.is_empty() {
            let chosen = chance.below(members.len());
            self.packets += 1;
            let mut copy = item.clone();
            copy.qos = item.qos.min(members[chosen].filters[&group]);
            copy.packet = self.packets;
            members[chosen].queue.push_back(copy);
        }
    }

    fn flush(&mut self) {
        for session in self.sessions.values_mut() {
            let Some(link) = session.link else {
                continue;
            };
            for item in session.queue.drain(..) {
                if item.qos > 0 {
                    session.in_flight.push(item.clone());
                }
                self.links[link].down.push_back(Down::Publish(item));
            }
        }
    }
}

fn is_closed(packet: &Down) -> bool {
    matches!(packet, Down::Closed)
}
