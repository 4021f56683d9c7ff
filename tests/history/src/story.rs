//! The history put in order: who connected, subscribed, published and received what.
//!
//! Built in one pass ([`Story::new`]) and then asked by the checks. Places of entries ([`Place`]) are
//! what the checks compare: what is sent is written down before it goes out and what comes in
//! after it came, so an entry `a` before an entry `b` means that `a` was sent before `b` came in.
//! The clock is used only for expiry, delays and faults.

mod builder;
mod faults;
mod sessions;
mod subscriptions;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

pub(crate) use faults::Faults;

use crate::{Entry, MessageId, Rules, Side, WillPlan, filter::Filter};

/// Place of an entry in the history.
pub(crate) type Place = usize;
/// After every entry.
pub(crate) const NEVER: Place = usize::MAX;

// Places in the lists of `Story`.
pub(crate) type ClientId = usize;
pub(crate) type ConnectionId = usize;
pub(crate) type MessageKey = usize;
pub(crate) type TopicId = usize;
pub(crate) type SubscriptionId = usize;

#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) name: &'a str,
    /// By the place of CONNECT.
    pub(crate) attempts: Vec<ConnectionId>,
    /// Those with CONNACK, by its place.
    pub(crate) connected: Vec<ConnectionId>,
    /// By the place of SUBSCRIBE.
    pub(crate) subscriptions: Vec<SubscriptionId>,
}

#[derive(Debug)]
pub(crate) struct Connection<'a> {
    pub(crate) client: ClientId,
    pub(crate) number: u32,
    pub(crate) connect: Place,
    pub(crate) clean_start: bool,
    pub(crate) expiry: Duration,
    pub(crate) will: Option<&'a WillPlan>,
    pub(crate) connected: Option<Place>,
    pub(crate) session_present: bool,
    /// With a reason code that says so: the server did not take it.
    pub(crate) is_refused: bool,
    pub(crate) closed: Option<(Place, Side)>,
    /// The latest request that was answered, and the answer; PINGREQ only if no fault was near.
    pub(crate) served: Option<(Place, Place)>,
    /// Connections of one client with the same number surely have the same session.
    pub(crate) session: usize,
    /// Subscriptions of connections that were accepted before this are surely gone.
    pub(crate) cut: Place,
}

impl Connection<'_> {
    /// The server surely had the connection after this: it answered what was sent here. What the
    /// client read later may have been under way for long.
    pub(crate) fn alive(&self) -> Place {
        self.served.map_or(self.connect, |(request, _)| request)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Send {
    pub(crate) place: Place,
    pub(crate) connection: ConnectionId,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) publisher: usize,
    pub(crate) number: u64,
    pub(crate) topic: TopicId,
    pub(crate) qos: u8,
    pub(crate) is_retained: bool,
    /// The connection whose Will it is; then there are no sends.
    pub(crate) will: Option<ConnectionId>,
    pub(crate) sends: Vec<Send>,
    pub(crate) is_refused: bool,
    pub(crate) acknowledged: Option<Place>,
    pub(crate) completed: Option<Place>,
}

impl Message {
    pub(crate) fn first_sent(&self) -> Place {
        self.sends.first().map_or(NEVER, |send| send.place)
    }

    pub(crate) fn last_sent(&self) -> Place {
        self.sends.last().map_or(NEVER, |send| send.place)
    }

    /// The server is responsible for it, and it is no Will.
    pub(crate) fn is_promised(&self) -> bool {
        self.qos > 0 && self.acknowledged.is_some() && self.will.is_none()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reception {
    pub(crate) place: Place,
    pub(crate) client: ClientId,
    pub(crate) connection: ConnectionId,
    /// `None`: nobody ever published it.
    pub(crate) message: Option<MessageKey>,
    pub(crate) topic: TopicId,
    pub(crate) qos: u8,
    pub(crate) is_retained: bool,
}

#[derive(Debug)]
pub(crate) struct Subscription<'a> {
    pub(crate) client: ClientId,
    pub(crate) connection: ConnectionId,
    pub(crate) text: &'a str,
    pub(crate) filter: Filter<'a>,
    pub(crate) sent: Place,
    pub(crate) requested: u8,
    /// SUBACK: place and reason code.
    pub(crate) answer: Option<(Place, u8)>,
    /// No subscription with this filter was there before.
    pub(crate) is_new: bool,
    /// UNSUBACK.
    pub(crate) unsubscribed: Option<Place>,
    /// Surely in force with QoS 1 or 2 between these two; [`NEVER`]: until the history settled,
    /// with the client connected.
    pub(crate) sure: Option<(Place, Place)>,
    /// UNSUBSCRIBE was sent, or a SUBSCRIBE that may have lowered the QoS.
    pub(crate) given_up: Place,
}

impl Subscription<'_> {
    /// QoS granted; what was asked for while the answer is missing; `None` if it was refused.
    pub(crate) fn granted(&self) -> Option<u8> {
        match self.answer {
            None => Some(self.requested),
            Some((_, reason)) if reason < 0x80 => Some(reason),
            Some(_) => None,
        }
    }

    pub(crate) fn is_sure_to_the_end(&self) -> bool {
        self.sure.is_some_and(|(_, until)| until == NEVER)
    }
}

pub(crate) struct Story<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) rules: &'a Rules,
    pub(crate) clients: Vec<Client<'a>>,
    pub(crate) connections: Vec<Connection<'a>>,
    pub(crate) messages: Vec<Message>,
    pub(crate) receptions: Vec<Reception>,
    pub(crate) subscriptions: Vec<Subscription<'a>>,
    pub(crate) topics: Vec<&'a str>,
    /// Subscriptions whose filter matches, for each topic; by the place of SUBSCRIBE.
    pub(crate) matching: Vec<Vec<SubscriptionId>>,
    pub(crate) publishers: Vec<String>,
    pub(crate) faults: Faults,
    pub(crate) settled: Option<Place>,
    /// What a client got with RETAIN 0.
    pub(crate) received: HashSet<(ClientId, MessageKey)>,
    /// What the history contradicts itself in.
    pub(crate) unsound: Vec<(Place, &'static str)>,
    /// Messages of one publisher, topic and QoS, by number.
    pub(crate) streams: HashMap<(usize, TopicId, u8), Vec<MessageKey>>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "the numbers are given out by the builder, which fills the lists"
)]
impl<'a> Story<'a> {
    pub(crate) fn client(&self, id: ClientId) -> &Client<'a> {
        &self.clients[id]
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> &Connection<'a> {
        &self.connections[id]
    }

    pub(crate) fn message(&self, key: MessageKey) -> &Message {
        &self.messages[key]
    }

    pub(crate) fn subscription(&self, id: SubscriptionId) -> &Subscription<'a> {
        &self.subscriptions[id]
    }

    pub(crate) fn topic(&self, id: TopicId) -> &'a str {
        self.topics[id]
    }

    pub(crate) fn matching(&self, topic: TopicId) -> &[SubscriptionId] {
        &self.matching[topic]
    }

    pub(crate) fn at(&self, place: Place) -> Duration {
        self.entries[place].at
    }

    pub(crate) fn entry(&self, place: Place) -> &'a Entry {
        &self.entries[place]
    }

    pub(crate) fn id(&self, key: MessageKey) -> MessageId {
        let message = &self.messages[key];
        MessageId {
            publisher: self.publishers[message.publisher].clone(),
            number: message.number,
        }
    }
}

impl<'a> Story<'a> {
    pub(crate) fn end(&self) -> Duration {
        self.entries.last().map_or(Duration::ZERO, |entry| entry.at)
    }

    /// What a client may have subscribed to that a delivery on a connection at a place can be due
    /// to, if the message was first sent at `sent`.
    pub(crate) fn possible(
        &self,
        reception: &Reception,
        sent: Place,
    ) -> impl Iterator<Item = &Subscription<'a>> {
        let cut = self.connection(reception.connection).cut;
        let Reception {
            place,
            client,
            topic,
            ..
        } = *reception;
        self.matching_of(client, topic).filter(move |subscription| {
            subscription.sent < place
                && subscription.granted().is_some()
                && subscription.unsubscribed.is_none_or(|place| sent < place)
                && self
                    .connection(subscription.connection)
                    .connected
                    .is_none_or(|connected| connected >= cut)
        })
    }

    /// A client's subscriptions, ever, that match the topic.
    pub(crate) fn matching_of(
        &self,
        client: ClientId,
        topic: TopicId,
    ) -> impl Iterator<Item = &Subscription<'a>> {
        // Sorted by client, see the builder.
        let all = self.matching(topic);
        let start = all.partition_point(|id| self.subscription(*id).client < client);
        all.iter()
            .skip(start)
            .map(|id| self.subscription(*id))
            .take_while(move |subscription| subscription.client == client)
    }

    /// Whether a client ever had a shared subscription that matches.
    pub(crate) fn is_shared(&self, client: ClientId, topic: TopicId) -> bool {
        self.matching_of(client, topic)
            .any(|subscription| subscription.filter.group.is_some())
    }

    /// Whether two connections surely have the same session.
    pub(crate) fn is_same_session(&self, a: ConnectionId, b: ConnectionId) -> bool {
        let (a, b) = (self.connection(a), self.connection(b));
        a.client == b.client && a.session == b.session
    }

    /// A newer connection of the same client was begun before `place`: what is read from this one
    /// there may be old, and what is sent on it may never arrive.
    pub(crate) fn is_superseded(&self, id: ConnectionId, place: Place) -> bool {
        self.next_attempt(id)
            .is_some_and(|next| self.connection(next).connect < place)
    }

    /// The client's next attempt to connect after this one.
    pub(crate) fn next_attempt(&self, id: ConnectionId) -> Option<ConnectionId> {
        let connection = self.connection(id);
        let attempts = &self.client(connection.client).attempts;
        let after =
            attempts.partition_point(|other| self.connection(*other).connect <= connection.connect);
        attempts.get(after).copied()
    }

    /// Whether the server may have got the later message first, through no fault of its own: the later one was
    /// sent on a connection on which the earlier one had not been sent yet and while that was not
    /// acknowledged, or the earlier one was refused once.
    pub(crate) fn may_be_overtaken(&self, earlier: MessageKey, later: MessageKey) -> bool {
        let (earlier, later) = (self.message(earlier), self.message(later));
        earlier.is_refused
            || later.sends.iter().any(|late| {
                let is_sent_before = earlier
                    .sends
                    .iter()
                    .any(|early| early.connection == late.connection && early.place < late.place);
                let is_acknowledged_before =
                    earlier.acknowledged.is_some_and(|place| place < late.place);
                !is_sent_before && !is_acknowledged_before
            })
    }

    /// The publisher sent it again; a QoS 2 message on another connection.
    pub(crate) fn is_sent_again(&self, key: MessageKey) -> bool {
        let message = self.message(key);
        let mut sends = message.sends.iter();
        let first = sends.next().map(|send| send.connection);
        sends.any(|send| message.qos != 2 || Some(send.connection) != first)
    }

    /// The publisher sent it again where the server could not know that it was the same: with QoS 1
    /// always, with QoS 2 when the publisher's session may have ended in between.
    pub(crate) fn is_published_twice(&self, key: MessageKey) -> bool {
        let message = self.message(key);
        let mut sends = message.sends.iter();
        let Some(first) = sends.next() else {
            return false;
        };
        match message.qos {
            2 => sends.any(|send| {
                send.connection != first.connection
                    && !self.is_same_session(send.connection, first.connection)
            }),
            _ => sends.next().is_some(),
        }
    }
}
