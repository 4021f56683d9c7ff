//! An MQTT client without a task of its own: it reads and writes only while a test waits for it,
//! so what happens is in the hands of the test.
//!
//! By itself it completes QoS 1 and 2 in both directions, hands out each QoS 2 message once,
//! respects the server's Receive Maximum, and repeats after a reconnect what was not acknowledged.

mod application;
mod builder;
mod ending;
mod message;

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU16,
};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, ConnAck, Decoder, Disconnect, Packet, PacketId, ProtocolVersion, Publish, Qos, ReasonCode,
    SubAck, TopicName, UnsubAck,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub use builder::{Builder, Refused};
pub use message::{MessageExt, message};

use crate::{LIMIT, Session};

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

    /// The same, whenever it comes. Cancel safe.
    ///
    /// # Panics
    ///
    /// If it is malformed.
    pub async fn next_packet(&mut self) -> Option<Packet> {
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
}
