//! What packets add to the story.

use std::collections::VecDeque;

use super::Builder;
use crate::{
    Happened, MessageId, Retain,
    filter::Filter,
    story::{ConnectionId, Message, NEVER, Place, Reception, Send, Subscription, TopicId},
};

impl<'a> Builder<'a> {
    pub(super) fn subscribe(&mut self, place: Place, id: ConnectionId, text: &'a str, qos: u8) {
        let client = self.story.connection(id).client;
        let number = self.story.subscriptions.len();
        self.story.subscriptions.push(Subscription {
            client,
            connection: id,
            text,
            filter: Filter::new(text),
            sent: place,
            requested: qos,
            answer: None,
            is_new: false,
            unsubscribed: None,
            sure: None,
            given_up: NEVER,
        });
        if let Some(client) = self.story.clients.get_mut(client) {
            client.subscriptions.push(number);
        }
        self.subscribes
            .entry((id, text))
            .or_default()
            .push_back(number);
        self.by_filter
            .entry((client, text))
            .or_default()
            .push(number);
    }

    pub(super) fn unsubscribe(&mut self, place: Place, id: ConnectionId, filter: &'a str) {
        self.unsubscribes
            .entry((id, filter))
            .or_default()
            .push_back(place);
        let client = self.story.connection(id).client;
        for subscription in self
            .by_filter
            .get(&(client, filter))
            .into_iter()
            .flatten()
            .rev()
        {
            let Some(subscription) = self.story.subscriptions.get_mut(*subscription) else {
                continue;
            };
            if subscription.given_up != NEVER {
                break;
            }
            subscription.given_up = place;
        }
    }

    pub(super) fn unsubscribed(&mut self, place: Place, id: ConnectionId, filter: &'a str) {
        let waiting = self.unsubscribes.get_mut(&(id, filter));
        let Some(sent) = waiting.and_then(VecDeque::pop_front) else {
            return self.unsound(place, "UNSUBACK without UNSUBSCRIBE");
        };
        self.answered(id, Some(sent), place);
        let client = self.story.connection(id).client;
        for subscription in self
            .by_filter
            .get(&(client, filter))
            .into_iter()
            .flatten()
            .rev()
        {
            let Some(subscription) = self.story.subscriptions.get_mut(*subscription) else {
                continue;
            };
            if subscription.unsubscribed.is_some() {
                break;
            }
            if subscription.sent < sent {
                subscription.unsubscribed = Some(place);
            }
        }
    }

    pub(super) fn publish(&mut self, place: Place, connection: ConnectionId, what: &'a Happened) {
        let Happened::Publish {
            message,
            topic,
            qos,
            retain,
            ..
        } = what
        else {
            return;
        };
        let topic: TopicId = self.topics.number(topic);
        let is_retained = *retain == Retain::Yes;
        let send = Send { place, connection };
        let known = self.find(message);
        let Some(known) = known.and_then(|key| self.story.messages.get_mut(key)) else {
            let publisher = self.publisher(&message.publisher);
            self.add(Message {
                publisher,
                number: message.number,
                topic,
                qos: *qos,
                is_retained,
                will: None,
                sends: vec![send],
                is_refused: false,
                acknowledged: None,
                completed: None,
            });
            return;
        };
        let is_other =
            known.topic != topic || known.qos != *qos || known.is_retained != is_retained;
        known.sends.push(send);
        if is_other || known.will.is_some() {
            self.unsound(place, "one identifier for two messages");
        }
    }

    pub(super) fn acknowledged(
        &mut self,
        place: Place,
        id: ConnectionId,
        message: &MessageId,
        reason: u8,
    ) {
        let key = self.find(message);
        let Some(message) = key.and_then(|key| self.story.messages.get_mut(key)) else {
            return self.unsound(place, "acknowledgement for what was never sent");
        };
        let is_taken = reason < 0x80;
        let mut sends = message.sends.iter().rev();
        let request = sends
            .find(|send| send.connection == id)
            .map(|send| send.place);
        if is_taken {
            message.acknowledged = message.acknowledged.or(Some(place));
        } else {
            message.is_refused = true;
        }
        self.answered(id, request.filter(|_| is_taken), place);
    }

    pub(super) fn received(&mut self, place: Place, connection: ConnectionId, what: &'a Happened) {
        let Happened::Received {
            message,
            topic,
            qos,
            retain,
            ..
        } = what
        else {
            return;
        };
        let client = self.story.connection(connection).client;
        let is_retained = *retain == Retain::Yes;
        let topic = self.topics.number(topic);
        let message = self.find(message);
        if let Some(key) = message
            && !is_retained
        {
            self.story.received.insert((client, key));
        }
        self.story.receptions.push(Reception {
            place,
            client,
            connection,
            message,
            topic,
            qos: *qos,
            is_retained,
        });
    }
}
