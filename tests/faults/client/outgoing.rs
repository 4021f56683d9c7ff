//! What a client sends by itself.

use std::time::Duration;

use history::{Happened, MessageId, Retain};
use mqtt::{
    Ack, Disconnect, Message, Packet, PacketId, Publish, Qos, ReasonCode, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Unsubscribe,
};
use tokio::time::Instant;

use super::{
    AGAIN, Client, Line, PING, Phase,
    session::{Outgoing, Request},
    wire::Wire,
};

/// Most bytes of padding in a payload.
const PADDING: usize = 60;

impl Client {
    /// Goes on with the session, or begins a new one [MQTT-4.4.0-1].
    pub(super) fn resume(&mut self, line: &mut Line, is_present: bool) {
        self.session.requests.clear();
        if !is_present {
            self.session.forget();
        }
        for outgoing in self.session.outgoing.clone() {
            if outgoing.is_released {
                let ack = Ack::new(outgoing.packet_id, ReasonCode::Success);
                line.wire.queue(&Packet::PubRel(ack));
            } else {
                self.send(line, &outgoing, is_present, true);
            }
        }
        self.count_unacknowledged();
    }

    /// Whether there is a next message, and room for it.
    pub(super) fn may_publish(&self) -> bool {
        self.phase() == Phase::Load
            && self.part.publishing.as_ref().is_some_and(|publishing| {
                self.session.outgoing.len() < publishing.window && self.is_subscribed()
            })
    }

    /// Publishes the next message.
    pub(super) fn publish(&mut self, line: &mut Line, now: Instant) {
        let Some(publishing) = self.part.publishing.clone() else {
            return;
        };
        let interval = Duration::from_secs(1) / publishing.per_second;
        line.next_publish = (line.next_publish + interval).max(now);
        self.published += 1;
        let topic = self.published as usize % publishing.topics.len();
        let outgoing = Outgoing {
            packet_id: self.session.free_packet_id(),
            message: MessageId {
                publisher: self.part.client_id.clone(),
                number: self.published,
            },
            topic: publishing.topics[topic].clone(),
            qos: publishing.qos,
            is_retained: publishing.is_retained,
            padding: self.random.below(PADDING),
            is_released: false,
        };
        self.send(line, &outgoing, false, false);
        if publishing.qos != Qos::AtMostOnce {
            self.session.outgoing.push(outgoing);
        }
        self.count_unacknowledged();
    }

    fn send(&mut self, line: &mut Line, outgoing: &Outgoing, dup: bool, is_repeated: bool) {
        let retain = if outgoing.is_retained {
            Retain::Yes
        } else {
            Retain::No
        };
        let what = Happened::Publish {
            message: outgoing.message.clone(),
            topic: outgoing.topic.clone(),
            qos: outgoing.qos.as_u8(),
            retain,
            is_repeated,
        };
        self.note(line.number, what);
        let padding = outgoing.padding;
        let MessageId { publisher, number } = &outgoing.message;
        let payload = format!("{publisher}:{number} {}", ".".repeat(padding));
        line.wire.queue(&Packet::Publish(Publish {
            dup,
            packet_id: Some(outgoing.packet_id).filter(|_| outgoing.qos != Qos::AtMostOnce),
            message: Message {
                topic_name: TopicName::new(&outgoing.topic).expect("a topic name"),
                payload: payload.into(),
                qos: outgoing.qos,
                retain: outgoing.is_retained,
                ..Message::default()
            },
            ..Publish::default()
        }));
    }

    /// Tells the machine how many messages are not acknowledged.
    pub(super) fn count_unacknowledged(&self) {
        let count = self.session.outgoing.len();
        let status = &self.status.unacknowledged;
        status.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn ping(&self, line: &mut Line, now: Instant) {
        line.next_ping = now + PING;
        line.pinged.get_or_insert(now);
        self.note(line.number, Happened::Ping);
        line.wire.queue(&Packet::PingReq);
    }

    /// Whether the server has confirmed all that is wished.
    pub(super) fn is_subscribed(&self) -> bool {
        let mut wishes = self.wishes.iter();
        wishes.all(|(filter, wish)| self.session.confirmed.get(filter) == Some(wish))
    }

    /// Whether something is wished and neither confirmed nor under way.
    pub(super) fn owes_requests(&self) -> bool {
        let mut wishes = self.wishes.iter();
        wishes.any(|(filter, wish)| self.owes(filter, *wish))
    }

    fn owes(&self, filter: &str, wish: bool) -> bool {
        let session = &self.session;
        let mut requests = session.requests.values();
        session.confirmed.get(filter) != Some(&wish)
            && !requests.any(|request| request.filter == filter)
    }

    /// Asks for what is wished and not confirmed.
    pub(super) fn make_requests(&mut self, line: &mut Line) {
        line.next_request = Instant::now() + AGAIN;
        for (filter, qos) in self.part.filters.clone() {
            let wish = self.wishes.get(&filter).copied().unwrap_or(true);
            if !self.owes(&filter, wish) {
                continue;
            }
            let packet_id = self.session.free_packet_id();
            let request = Request {
                filter: filter.clone(),
                subscribes: wish,
            };
            self.session.requests.insert(packet_id, request);
            // Until the answer, nobody knows.
            self.session.confirmed.remove(&filter);
            let packet = if wish {
                let what = Happened::Subscribe {
                    filter: filter.clone(),
                    qos: qos.as_u8(),
                };
                self.note(line.number, what);
                subscribe(packet_id, &filter, qos)
            } else {
                let filter = filter.clone();
                self.note(line.number, Happened::Unsubscribe { filter });
                unsubscribe(packet_id, &self.session.requests[&packet_id].filter)
            };
            line.wire.queue(&packet);
        }
        self.tell_subscribed();
    }

    /// Tells the machine whether all is subscribed.
    pub(super) fn tell_subscribed(&self) {
        let is_subscribed = self.is_subscribed();
        let status = &self.status.is_subscribed;
        status.store(is_subscribed, std::sync::atomic::Ordering::SeqCst);
    }

    /// DISCONNECT and FIN.
    pub(super) async fn say_goodbye(&self, mut wire: Wire, with_will: bool) {
        let reason_code = if with_will {
            ReasonCode::DisconnectWithWillMessage
        } else {
            ReasonCode::Success
        };
        wire.queue(&Packet::Disconnect(Disconnect::new(reason_code)));
        wire.finish().await;
    }
}

fn subscribe(packet_id: PacketId, filter: &str, qos: Qos) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![Subscription {
            filter: TopicFilter::new(filter).expect("a topic filter"),
            options: SubscriptionOptions {
                qos,
                ..SubscriptionOptions::default()
            },
        }],
    })
}

fn unsubscribe(packet_id: PacketId, filter: &str) -> Packet {
    Packet::Unsubscribe(Unsubscribe {
        packet_id,
        user_properties: Vec::new(),
        filters: vec![TopicFilter::new(filter).expect("a topic filter")],
    })
}
