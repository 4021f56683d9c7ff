//! A connection that another one of the same client has replaced, and that goes on all the same.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use history::{Happened, MessageId, Retain, Side};
use mqtt::{Message, Packet, PacketId, Publish, Qos, TopicName};
use tokio::time::{Instant, sleep_until};

use super::{
    Stage, Status,
    part::Part,
    wire::{Ended, Wire},
};

/// How long it goes on, unless the server closes it.
const LIFE: Duration = Duration::from_secs(3);
/// Between two PINGREQ of it.
const PING: Duration = Duration::from_millis(100);
/// So many PINGREQ come with a PUBLISH each.
const PUBLISHES: usize = 2;

/// It pings and publishes as if nothing had happened. Nothing of it must be acknowledged.
#[derive(Debug)]
pub struct Ghost {
    pub stage: Arc<Stage>,
    pub part: Arc<Part>,
    pub status: Arc<Status>,
    pub wire: Wire,
    pub number: u32,
}

impl Ghost {
    /// Goes on until the server closes it.
    pub async fn haunt(mut self) {
        let end = Instant::now() + LIFE;
        let mut next = Instant::now();
        let mut published = Vec::new();
        let (by, reason) = loop {
            tokio::select! {
                packet = self.wire.next() => match packet {
                    Ok(Packet::Disconnect(disconnect)) => {
                        break (Side::Server, Some(disconnect.reason_code.as_u8()));
                    }
                    Ok(packet) => self.take(&packet, &published),
                    Err(Ended::Closed) => break (Side::Server, None),
                    Err(Ended::Nonsense(text)) => {
                        self.stage.nonsense(&self.part, self.number, &text);
                        break (Side::ClientAbruptly, None);
                    }
                },
                () = sleep_until(next) => {
                    if next > end {
                        break (Side::ClientAbruptly, None);
                    }
                    next += PING;
                    if published.len() < PUBLISHES {
                        published.push(self.publish());
                    }
                    self.note(Happened::Ping);
                    self.wire.queue(&Packet::PingReq);
                }
            }
        };
        self.note(Happened::Closed { by, reason });
    }

    fn note(&self, what: Happened) {
        self.stage.note(&self.part, self.number, what);
    }

    /// The session is elsewhere: whatever else comes will come again there.
    fn take(&self, packet: &Packet, published: &[(PacketId, MessageId)]) {
        match packet {
            Packet::PingResp => self.note(Happened::Pong),
            Packet::PubAck(ack) => {
                let mut published = published.iter();
                let message = published.find(|(packet_id, _)| *packet_id == ack.packet_id);
                if let Some((_, message)) = message {
                    self.note(Happened::Acknowledged {
                        message: message.clone(),
                        reason: ack.reason_code.as_u8(),
                    });
                }
            }
            _ => {}
        }
    }

    /// Publishes in a name of its own, with packet identifiers that the client does not use.
    fn publish(&mut self) -> (PacketId, MessageId) {
        let number = self.status.haunted.fetch_add(1, Ordering::SeqCst) + 1;
        let client_id = &self.part.client_id;
        let message = MessageId {
            publisher: format!("ghost/{client_id}"),
            number,
        };
        let topic = format!("load/{client_id}/ghost");
        let packet_id = PacketId::new(u16::MAX - (number % 1000) as u16).unwrap_or(PacketId::MAX);
        let publish = Publish {
            packet_id: Some(packet_id),
            message: Message {
                topic_name: TopicName::new(&topic).expect("a topic name"),
                payload: format!("ghost/{client_id}:{number} ").into(),
                qos: Qos::AtLeastOnce,
                ..Message::default()
            },
            ..Publish::default()
        };
        self.note(Happened::Publish {
            message: message.clone(),
            topic,
            qos: 1,
            retain: Retain::No,
            is_repeated: false,
        });
        self.wire.queue(&Packet::Publish(publish));
        (packet_id, message)
    }
}
