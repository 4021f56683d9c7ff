//! An MQTT client without a task of its own: it reads and writes only while a test waits for it,
//! so what happens is in the hands of the test.
//!
//! By itself it completes QoS 1 and 2 in both directions, hands out each QoS 2 message once,
//! respects the server's Receive Maximum, and repeats after a reconnect what was not acknowledged.

mod builder;
mod message;

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU16,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, ConnAck, Decoder, Disconnect, DisconnectProperties, Message, Packet, PacketId,
    ProtocolVersion, Publish, Qos, ReasonCode, SubAck, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, UnsubAck, Unsubscribe,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub use builder::{Builder, Refused};
pub use message::{MessageExt, message};

use crate::{LIMIT, SILENCE, Session, session::Outgoing};

/// What came from the server.
#[derive(Debug)]
pub enum Event {
    /// A message for the application.
    Message(Publish),
    /// A QoS 1 or 2 message of ours is complete, or refused.
    Completed(PacketId, ReasonCode),
    /// SUBACK.
    Subscribed(SubAck),
    /// UNSUBACK.
    Unsubscribed(UnsubAck),
    /// PINGRESP.
    Pong,
    /// A step of a QoS 2 handshake that is of no interest to the application.
    Handshake,
    /// DISCONNECT from the server.
    Disconnected(Disconnect),
    /// The server has closed the connection.
    Closed,
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    incoming: BytesMut,
    outgoing: BytesMut,
    version: ProtocolVersion,
    /// How the server welcomed it.
    pub connack: ConnAck,
    /// Our half of the session.
    pub session: Session,
    inbox: VecDeque<Publish>,
    manual: bool,
    disconnected: Option<Disconnect>,
    is_closed: bool,
    /// What the server's topic aliases mean, and the highest that we allow.
    aliases: HashMap<NonZeroU16, TopicName>,
    alias_maximum: u16,
}

impl Client {
    /// The client identifier that the server has assigned.
    #[must_use]
    pub fn assigned_client_id(&self) -> Option<String> {
        let assigned = self.connack.properties.assigned_client_identifier.as_ref();
        assigned.map(|text| text.as_str().to_owned())
    }

    /// Whether the server had a session for it.
    #[must_use]
    pub fn session_present(&self) -> bool {
        self.connack.session_present
    }

    // --- packets, without any automatism ---

    /// Sends one packet.
    pub async fn send(&mut self, packet: &Packet) {
        self.queue(packet);
        self.flush().await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        self.flush().await;
    }

    fn queue(&mut self, packet: &Packet) {
        mqtt::encode(packet, self.version, &mut self.outgoing).unwrap();
    }

    /// Writes what is queued; a closed connection is noticed when reading.
    async fn flush(&mut self) {
        while !self.outgoing.is_empty() && !self.is_closed {
            self.drive().await;
        }
    }

    /// Reads or writes once. Cancel safe.
    async fn drive(&mut self) {
        if self.is_closed {
            return;
        }
        let (mut reader, mut writer) = self.stream.split();
        let outcome = tokio::select! {
            written = writer.write_buf(&mut self.outgoing), if !self.outgoing.is_empty() => {
                if written.is_err() {
                    self.outgoing.clear(); // what the server has sent may still be read
                }
                return;
            }
            read = reader.read_buf(&mut self.incoming) => read,
        };
        self.is_closed = !matches!(outcome, Ok(1..));
    }

    /// The next packet as it came, nothing answered; `None` if the connection is closed.
    ///
    /// # Panics
    ///
    /// If none comes in time or it is malformed.
    pub async fn packet(&mut self) -> Option<Packet> {
        timeout(LIMIT, self.next_packet())
            .await
            .expect("no packet came")
    }

    async fn next_packet(&mut self) -> Option<Packet> {
        loop {
            let decoded = self.decoder.decode(&mut self.incoming);
            match decoded.unwrap_or_else(|error| panic!("the server sent nonsense: {error}")) {
                Some(packet) => return Some(packet),
                None if self.is_closed => return None,
                None => self.drive().await,
            }
        }
    }

    /// The bytes that came and that no packet was made of yet, after waiting for more.
    pub async fn bytes(&mut self) -> Bytes {
        if self.incoming.is_empty() {
            let _ = timeout(LIMIT, self.drive()).await;
        }
        self.incoming.split().freeze()
    }

    // --- events ---

    /// The next event, whenever it comes. Cancel safe.
    pub async fn event(&mut self) -> Event {
        match self.next_packet().await {
            Some(packet) => self.handle(packet),
            None => Event::Closed,
        }
    }

    fn handle(&mut self, packet: Packet) -> Event {
        match packet {
            Packet::Publish(publish) => self.take_publish(publish),
            Packet::PubAck(ack) => self.complete(ack.packet_id, ack.reason_code),
            Packet::PubRec(ack) => self.released(&ack),
            Packet::PubComp(ack) => match ack.reason_code {
                // A PUBREL was repeated after a PUBCOMP that we have missed.
                ReasonCode::PacketIdentifierNotFound => {
                    self.complete(ack.packet_id, ReasonCode::Success)
                }
                reason => self.complete(ack.packet_id, reason),
            },
            Packet::PubRel(ack) => {
                if self.manual {
                    self.session.incoming.remove(&ack.packet_id);
                    return Event::Handshake;
                }
                let is_known = self.session.incoming.remove(&ack.packet_id);
                let reason = match self.version {
                    ProtocolVersion::V5 if !is_known => ReasonCode::PacketIdentifierNotFound,
                    _ => ReasonCode::Success,
                };
                self.queue(&Packet::PubComp(Ack::new(ack.packet_id, reason)));
                Event::Handshake
            }
            Packet::SubAck(ack) => Event::Subscribed(ack),
            Packet::UnsubAck(ack) => Event::Unsubscribed(ack),
            Packet::PingResp => Event::Pong,
            Packet::Disconnect(disconnect) => {
                self.disconnected = Some(disconnect.clone());
                Event::Disconnected(disconnect)
            }
            other => panic!("the server sent {other:?}"),
        }
    }

    fn take_publish(&mut self, mut publish: Publish) -> Event {
        if let Some(alias) = publish.topic_alias {
            assert!(
                alias.get() <= self.alias_maximum,
                "[MQTT-3.1.2-26] alias {alias} not allowed"
            );
            if publish.message.topic_name.is_empty() {
                let meant = self.aliases.get(&alias);
                publish.message.topic_name = meant.expect("an alias that means nothing").clone();
            } else {
                self.aliases
                    .insert(alias, publish.message.topic_name.clone());
            }
        }
        let is_new = match (publish.message.qos, publish.packet_id) {
            (Qos::ExactlyOnce, Some(packet_id)) => self.session.incoming.insert(packet_id),
            _ => true,
        };
        if !self.manual {
            self.queue_acknowledgement(&publish);
        }
        if is_new {
            Event::Message(publish)
        } else {
            Event::Handshake
        }
    }

    fn queue_acknowledgement(&mut self, publish: &Publish) {
        let Some(packet_id) = publish.packet_id else {
            return;
        };
        let ack = Ack::new(packet_id, ReasonCode::Success);
        match publish.message.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.queue(&Packet::PubAck(ack)),
            Qos::ExactlyOnce => self.queue(&Packet::PubRec(ack)),
        }
    }

    fn released(&mut self, ack: &Ack) -> Event {
        if ack.reason_code.is_error() {
            return self.complete(ack.packet_id, ack.reason_code);
        }
        let ours = self
            .session
            .outgoing
            .iter_mut()
            .find(|one| one.packet_id == ack.packet_id);
        if let Some(outgoing) = ours {
            outgoing.is_released = true;
        }
        if !self.manual {
            self.queue(&Packet::PubRel(Ack::new(
                ack.packet_id,
                ReasonCode::Success,
            )));
        }
        Event::Handshake
    }

    fn complete(&mut self, packet_id: PacketId, reason: ReasonCode) -> Event {
        self.session
            .outgoing
            .retain(|one| one.packet_id != packet_id);
        self.session.completed.insert(packet_id, reason);
        Event::Completed(packet_id, reason)
    }

    /// Handles one event inside of a call that waits for something else.
    async fn turn(&mut self, waiting_for: &str) -> Event {
        let Ok(event) = timeout(LIMIT, self.event()).await else {
            panic!("waited in vain for {waiting_for}");
        };
        match &event {
            Event::Message(publish) => self.inbox.push_back(publish.clone()),
            Event::Closed | Event::Disconnected(_) => panic!(
                "the connection ended ({:?}) while waiting for {waiting_for}",
                self.disconnected.as_ref().map(|packet| packet.reason_code)
            ),
            _ => {}
        }
        event
    }

    // --- what applications do ---

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

    /// One SUBSCRIBE with several filters; returns the reason codes.
    pub async fn subscribe_all(
        &mut self,
        subscriptions: Vec<Subscription>,
        subscription_identifier: Option<u32>,
    ) -> Vec<ReasonCode> {
        let packet_id = self.session.free_packet_id();
        self.send(&Packet::Subscribe(Subscribe {
            packet_id,
            subscription_identifier,
            user_properties: Vec::new(),
            subscriptions,
        }))
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

    // --- the end of a connection ---

    /// Waits until the server closes; returns its DISCONNECT, if it sent one. Messages that come
    /// before are kept.
    ///
    /// # Panics
    ///
    /// If it does not close in time.
    pub async fn closed(&mut self) -> Option<Disconnect> {
        self.closed_within(LIMIT).await
    }

    /// The same with another limit.
    pub async fn closed_within(&mut self, limit: Duration) -> Option<Disconnect> {
        let wait = async {
            loop {
                match self.event().await {
                    Event::Closed => return,
                    Event::Message(publish) => self.inbox.push_back(publish),
                    _ => {}
                }
            }
        };
        timeout(limit, wait)
            .await
            .expect("the server does not close the connection");
        self.disconnected.take()
    }

    /// Waits for the end and checks the reason: DISCONNECT in MQTT 5, a mere close before it.
    ///
    /// # Panics
    ///
    /// If the reason is another.
    pub async fn closed_with(&mut self, reason: ReasonCode) {
        let disconnect = self.closed().await.map(|packet| packet.reason_code);
        let expected = (self.version == ProtocolVersion::V5).then_some(reason);
        assert_eq!(disconnect, expected, "reason of the server for closing");
    }

    /// Sends DISCONNECT, closes, and returns the session.
    pub async fn disconnect(self) -> Session {
        self.disconnect_with(ReasonCode::Success, None).await
    }

    /// The same with a reason and perhaps a new Session Expiry Interval.
    pub async fn disconnect_with(
        mut self,
        reason_code: ReasonCode,
        session_expiry_interval: Option<u32>,
    ) -> Session {
        self.send(&Packet::Disconnect(Disconnect {
            reason_code,
            properties: DisconnectProperties {
                session_expiry_interval,
                ..DisconnectProperties::default()
            },
        }))
        .await;
        // The server closes after it; then nothing of ours is under way any more.
        let _ = timeout(LIMIT, async { while self.next_packet().await.is_some() {} }).await;
        self.session
    }

    /// Closes the socket without a word, and returns the session.
    pub async fn vanish(mut self) -> Session {
        self.flush().await;
        self.session
    }

    /// Messages that have come and were not asked for yet.
    pub fn take_inbox(&mut self) -> Vec<Publish> {
        self.inbox.drain(..).collect()
    }
}
