//! What a client makes of what comes.

use history::{Happened, MessageId, Retain};
use mqtt::{Ack, Packet, PacketId, ProtocolVersion, Publish, Qos, ReasonCode};
use tokio::time::Instant;

use super::{AGAIN, Client, Closing, Line};

/// The message that a payload begins with.
fn message_id(payload: &[u8]) -> Option<MessageId> {
    let text = std::str::from_utf8(payload).ok()?;
    let id = text.split(' ').next()?;
    let (publisher, number) = id.rsplit_once(':')?;
    Some(MessageId {
        publisher: publisher.to_owned(),
        number: number.parse().ok()?,
    })
}

impl Client {
    /// Handles one packet.
    pub(super) fn take(&mut self, line: &mut Line, packet: Packet) -> Result<(), Closing> {
        match packet {
            Packet::Publish(publish) => self.take_publish(line, &publish),
            Packet::PubRel(ack) => {
                let is_known = self.session.incoming.remove(&ack.packet_id).is_some();
                let reason = match self.part.version {
                    ProtocolVersion::V5 if !is_known => ReasonCode::PacketIdentifierNotFound,
                    _ => ReasonCode::Success,
                };
                let answer = Ack::new(ack.packet_id, reason);
                line.wire.queue(&Packet::PubComp(answer));
            }
            Packet::PubAck(ack) => self.acknowledged(line, &ack, Qos::AtLeastOnce),
            Packet::PubRec(ack) => self.acknowledged(line, &ack, Qos::ExactlyOnce),
            Packet::PubComp(ack) => self.completed(line, ack.packet_id),
            Packet::SubAck(ack) => {
                let reason = ack.reason_codes.first();
                let reason = reason.map_or(0xFF, |reason| reason.as_u8());
                self.answered(line, ack.packet_id, reason, true);
            }
            Packet::UnsubAck(ack) => {
                // MQTT 3 gives no reason.
                let reason = ack.reason_codes.first();
                let reason = reason.map_or(0, |reason| reason.as_u8());
                self.answered(line, ack.packet_id, reason, false);
            }
            Packet::PingResp => {
                line.pinged = None;
                self.note(line.number, Happened::Pong);
            }
            Packet::Disconnect(disconnect) => {
                return Err(Closing::ByServer(Some(disconnect.reason_code.as_u8())));
            }
            other => {
                let kind = other.packet_type();
                self.nonsense(line, &format!("{kind} in the middle of a connection"));
                return Err(Closing::Vanish);
            }
        }
        Ok(())
    }

    fn nonsense(&self, line: &Line, text: &str) {
        self.stage.nonsense(&self.part, line.number, text);
    }

    fn take_publish(&mut self, line: &mut Line, publish: &Publish) {
        let Some(message) = message_id(&publish.message.payload) else {
            self.nonsense(line, &format!("a payload of nobody: {publish:?}"));
            return;
        };
        let qos = publish.message.qos;
        if let Some(packet_id) = publish.packet_id {
            let ack = Ack::new(packet_id, ReasonCode::Success);
            if qos == Qos::ExactlyOnce {
                line.wire.queue(&Packet::PubRec(ack));
                if !self.is_new(line, packet_id, &message) {
                    return;
                }
            } else {
                line.wire.queue(&Packet::PubAck(ack));
            }
        }
        self.stage.delivered();
        let retain = if publish.message.retain {
            Retain::Yes
        } else {
            Retain::No
        };
        let what = Happened::Received {
            message,
            topic: publish.message.topic_name.as_str().to_owned(),
            qos: qos.as_u8(),
            dup: publish.dup,
            retain,
        };
        self.note(line.number, what);
    }

    /// Whether a QoS 2 message is not one that has come under this identifier.
    fn is_new(&mut self, line: &Line, packet_id: PacketId, message: &MessageId) -> bool {
        let Some(before) = self.session.incoming.get(&packet_id) else {
            self.session.incoming.insert(packet_id, message.clone());
            return true;
        };
        if before != message {
            let text = format!(
                "packet identifier {packet_id:?} is used for {message:?} while {before:?} is not released"
            );
            self.nonsense(line, &text);
        }
        false
    }

    /// PUBACK or PUBREC.
    fn acknowledged(&mut self, line: &mut Line, ack: &Ack, qos: Qos) {
        let outgoing = &mut self.session.outgoing;
        let index = outgoing
            .iter()
            .position(|one| one.packet_id == ack.packet_id && one.qos == qos && !one.is_released);
        let Some(index) = index else {
            let packet_id = ack.packet_id;
            let text = format!("an acknowledgement of {packet_id:?}, which is not under way");
            self.nonsense(line, &text);
            return;
        };
        let message = outgoing[index].message.clone();
        let is_over = qos == Qos::AtLeastOnce || ack.reason_code.is_error();
        if is_over {
            outgoing.remove(index);
        } else {
            outgoing[index].is_released = true;
            let answer = Ack::new(ack.packet_id, ReasonCode::Success);
            line.wire.queue(&Packet::PubRel(answer));
        }
        let reason = ack.reason_code.as_u8();
        self.note(line.number, Happened::Acknowledged { message, reason });
        self.count_unacknowledged();
    }

    /// PUBCOMP. One that does not know the identifier answers a PUBREL that was sent again.
    fn completed(&mut self, line: &Line, packet_id: PacketId) {
        let outgoing = &mut self.session.outgoing;
        let index = outgoing
            .iter()
            .position(|one| one.packet_id == packet_id && one.is_released);
        let Some(index) = index else {
            let text = format!("PUBCOMP of {packet_id:?}, which is not under way");
            self.nonsense(line, &text);
            return;
        };
        let message = outgoing.remove(index).message;
        self.note(line.number, Happened::Completed { message });
        self.count_unacknowledged();
    }

    /// SUBACK or UNSUBACK.
    fn answered(&mut self, line: &mut Line, packet_id: PacketId, reason: u8, subscribes: bool) {
        let request = self.session.requests.remove(&packet_id);
        let Some(request) = request.filter(|request| request.subscribes == subscribes) else {
            let text = format!("an answer to request {packet_id:?}, which was not made");
            self.nonsense(line, &text);
            return;
        };
        let filter = request.filter;
        if reason < 0x80 {
            self.session.confirmed.insert(filter.clone(), subscribes);
        } else {
            line.next_request = Instant::now() + AGAIN;
        }
        if subscribes {
            self.note(line.number, Happened::Subscribed { filter, reason });
        } else if reason < 0x80 {
            self.note(line.number, Happened::Unsubscribed { filter });
        }
        self.tell_subscribed();
    }
}
