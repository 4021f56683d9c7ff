//! What applications do: publish, subscribe, receive.

use std::time::Duration;

use bytes::Bytes;
use mqtt::{
    Message, Packet, PacketId, Publish, Qos, ReasonCode, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, Unsubscribe,
};

use super::{Client, Event, MessageExt as _, message};
use crate::{SILENCE, session::Outgoing};

impl Client {
    /// Publishes and waits until the handshake is complete.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>, qos: Qos) {
        let reason = self.publish_message(message(topic, payload, qos)).await;
        assert!(!reason.is_error(), "PUBLISH to {topic} refused: {reason}");
    }

    /// The same, and returns how it ended; success for QoS 0.
    pub async fn publish_message(&mut self, message: Message) -> ReasonCode {
        match self.start(message).await {
            Some(packet_id) => self.finish(packet_id).await,
            None => ReasonCode::Success,
        }
    }

    /// Sends a PUBLISH without waiting for its acknowledgement (but for room in the server's
    /// Receive Maximum).
    pub async fn start(&mut self, message: Message) -> Option<PacketId> {
        let window = self
            .connack
            .properties
            .receive_maximum
            .map_or(u16::MAX, u16::from);
        if message.qos != Qos::AtMostOnce {
            while self.session.outgoing.len() >= usize::from(window) {
                self.turn("room in the window").await;
            }
        }
        let publish = self.make_publish(message);
        let packet_id = publish.packet_id;
        if let Some(packet_id) = packet_id {
            self.session.outgoing.push(Outgoing {
                packet_id,
                publish: publish.clone(),
                is_released: false,
            });
        }
        self.send(&Packet::Publish(publish)).await;
        packet_id
    }

    /// The packet that carries `message`, with a fresh packet identifier.
    pub fn make_publish(&mut self, message: Message) -> Publish {
        let packet_id = match message.qos {
            Qos::AtMostOnce => None,
            _ => Some(self.session.free_packet_id()),
        };
        if let Some(packet_id) = packet_id {
            self.session.completed.remove(&packet_id);
        }
        Publish {
            dup: false,
            packet_id,
            topic_alias: None,
            subscription_identifiers: Vec::new(),
            message,
        }
    }

    /// Waits until a message of [`Self::start`] is complete.
    pub async fn finish(&mut self, packet_id: PacketId) -> ReasonCode {
        loop {
            if let Some(reason) = self.session.completed.remove(&packet_id) {
                return reason;
            }
            self.turn("the acknowledgement of a PUBLISH").await;
        }
    }

    /// Waits until all messages of [`Self::start`] are complete.
    ///
    /// # Panics
    ///
    /// If the server refused one.
    pub async fn settle(&mut self) {
        while !self.session.outgoing.is_empty() {
            self.turn("the acknowledgement of every PUBLISH").await;
        }
        for (packet_id, reason) in self.session.completed.drain() {
            assert!(
                !reason.is_error(),
                "PUBLISH {packet_id:?} refused: {reason}"
            );
        }
        self.flush().await;
    }

    /// Subscribes to one filter and waits for the SUBACK.
    ///
    /// # Panics
    ///
    /// If it is not granted with that QoS.
    pub async fn subscribe(&mut self, filter: &str, qos: Qos) {
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        let reason = self.subscribe_with(filter, options, None).await;
        assert_eq!(
            reason.as_u8(),
            qos.as_u8(),
            "SUBSCRIBE to {filter} answered with {reason}"
        );
    }

    /// Subscribes with options and perhaps an identifier; returns the reason code.
    pub async fn subscribe_with(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        subscription_identifier: Option<u32>,
    ) -> ReasonCode {
        let subscription = Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            options,
        };
        self.subscribe_all(vec![subscription], subscription_identifier)
            .await[0]
    }

    /// SUBSCRIBE to one filter, without waiting for the SUBACK.
    pub async fn ask_to_subscribe(&mut self, filter: &str, qos: Qos) {
        let subscription = Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            options: SubscriptionOptions {
                qos,
                ..SubscriptionOptions::default()
            },
        };
        self.send_subscribe(vec![subscription], None).await;
    }

    async fn send_subscribe(
        &mut self,
        subscriptions: Vec<Subscription>,
        subscription_identifier: Option<u32>,
    ) -> PacketId {
        let packet_id = self.session.free_packet_id();
        self.send(&Packet::Subscribe(Subscribe {
            packet_id,
            subscription_identifier,
            user_properties: Vec::new(),
            subscriptions,
        }))
        .await;
        packet_id
    }

    /// One SUBSCRIBE with several filters; returns the reason codes.
    pub async fn subscribe_all(
        &mut self,
        subscriptions: Vec<Subscription>,
        subscription_identifier: Option<u32>,
    ) -> Vec<ReasonCode> {
        let packet_id = self
            .send_subscribe(subscriptions, subscription_identifier)
            .await;
        loop {
            if let Event::Subscribed(ack) = self.turn("SUBACK").await {
                assert_eq!(ack.packet_id, packet_id, "[MQTT-3.8.4-2]");
                return ack.reason_codes;
            }
        }
    }

    /// Unsubscribes from one filter; returns the reason code, success in MQTT 3.
    pub async fn unsubscribe(&mut self, filter: &str) -> ReasonCode {
        let packet_id = self.session.free_packet_id();
        self.send(&Packet::Unsubscribe(Unsubscribe {
            packet_id,
            user_properties: Vec::new(),
            filters: vec![TopicFilter::new(filter).unwrap()],
        }))
        .await;
        loop {
            if let Event::Unsubscribed(ack) = self.turn("UNSUBACK").await {
                assert_eq!(ack.packet_id, packet_id, "[MQTT-3.10.4-4]");
                return ack
                    .reason_codes
                    .first()
                    .copied()
                    .unwrap_or(ReasonCode::Success);
            }
        }
    }

    /// PINGREQ and its answer.
    pub async fn ping(&mut self) {
        self.send(&Packet::PingReq).await;
        while !matches!(self.turn("PINGRESP").await, Event::Pong) {}
    }

    /// The next message.
    ///
    /// # Panics
    ///
    /// If none comes in time.
    pub async fn recv(&mut self) -> Publish {
        while self.inbox.is_empty() {
            self.turn("a message").await;
        }
        self.flush().await;
        self.inbox.pop_front().unwrap()
    }

    /// The next message, if one comes within `limit`.
    pub async fn recv_within(&mut self, limit: Duration) -> Option<Publish> {
        let deadline = tokio::time::Instant::now() + limit;
        while self.inbox.is_empty() {
            match tokio::time::timeout_at(deadline, self.event()).await {
                Ok(Event::Message(publish)) => self.inbox.push_back(publish),
                Ok(Event::Closed) | Err(_) => break,
                Ok(_) => {}
            }
        }
        self.flush().await;
        self.inbox.pop_front()
    }

    /// The payloads of the next `count` messages, as text.
    pub async fn recv_texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        while texts.len() < count {
            texts.push(self.recv().await.message.text());
        }
        texts
    }

    /// Fails if a message comes.
    ///
    /// # Panics
    ///
    /// Then.
    pub async fn assert_silent(&mut self) {
        if let Some(publish) = self.recv_within(SILENCE).await {
            panic!("an unexpected message came: {publish:?}");
        }
    }

    /// Acknowledges a message with manual acknowledgements (PUBACK or PUBREC).
    pub async fn acknowledge(&mut self, publish: &Publish) {
        self.queue_acknowledgement(publish);
        self.flush().await;
    }
}
