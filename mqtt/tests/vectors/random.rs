//! Packets made at random, always the same ones.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqtt::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect,
    ConnectProperties, Disconnect, DisconnectProperties, Message, MessageProperties, Packet,
    PacketId, PropertyValues, ProtocolVersion, Publish, Qos, ReasonCode, Side, Str, SubAck,
    Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    Will,
};

use crate::*;

/// Marsaglia's xorshift with 64 bits.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }

    fn bool(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| make(self))
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn u16(&mut self) -> u16 {
        self.next() as u16
    }

    fn u32(&mut self) -> u32 {
        self.next() as u32 >> self.below(32)
    }

    fn packet_id(&mut self) -> PacketId {
        PacketId::new(self.u16().max(1)).unwrap()
    }

    fn text(&mut self) -> Str {
        let length = *self.pick(&[0, 1, 3, 20, 150]);
        let letters = ['a', 'Z', ' ', 'é', '水', '\u{1F600}', '"'];
        s(&(0..length)
            .map(|_| *self.pick(&letters))
            .collect::<String>())
    }

    fn bytes(&mut self) -> Bytes {
        let length = *self.pick(&[0, 1, 5, 100, 130, 300]);
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn pairs(&mut self) -> Vec<(Str, Str)> {
        (0..self.below(3))
            .map(|_| (self.text(), self.text()))
            .collect()
    }

    fn topic(&mut self) -> TopicName {
        name(self.pick::<&str>(&["a", "/", "plant/7/temp", "$SYS/x", "été/水", "a//b"]))
    }

    fn filter(&mut self) -> TopicFilter {
        filter(self.pick::<&str>(&[
            "a",
            "#",
            "+/b/#",
            "plant/+/temp",
            "$SYS/#",
            "$share/g/+/x",
            "été/+",
        ]))
    }

    fn qos(&mut self) -> Qos {
        *self.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
    }

    fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..1 + self.below(4)).map(|_| make(self)).collect()
    }

    fn message(&mut self, version: ProtocolVersion) -> Message {
        let mut properties = MessageProperties::default();
        if version == V5 {
            properties = MessageProperties::from(PropertyValues {
                payload_format_indicator: self.maybe(Self::bool),
                message_expiry_interval: self.maybe(Self::u32),
                content_type: self.maybe(Self::text),
                response_topic: self.maybe(Self::topic),
                correlation_data: self.maybe(Self::bytes),
                user_properties: self.pairs(),
            });
        }
        Message {
            topic_name: self.topic(),
            payload: self.bytes(),
            qos: self.qos(),
            retain: self.bool(),
            properties,
        }
    }

    fn connect(&mut self, version: ProtocolVersion) -> Packet {
        let mut properties = ConnectProperties::default();
        if version == V5 {
            let method = self.maybe(Self::text);
            properties = ConnectProperties {
                session_expiry_interval: self.maybe(Self::u32),
                receive_maximum: NonZeroU16::new(self.u16() & 3),
                maximum_packet_size: NonZeroU32::new(self.u32() & 3),
                topic_alias_maximum: self.maybe(Self::u16),
                request_response_information: self.maybe(Self::bool),
                request_problem_information: self.maybe(Self::bool),
                user_properties: self.pairs(),
                authentication_data: self.maybe(Self::bytes).filter(|_| method.is_some()),
                authentication_method: method,
            };
        }
        let username = self.maybe(Self::text);
        let may_have_password = version == V5 || username.is_some();
        Packet::Connect(Box::new(Connect {
            version,
            client_id: s(&format!("client-{}", self.u16())),
            clean_start: self.bool(),
            keep_alive: self.u16(),
            username,
            password: self.maybe(Self::bytes).filter(|_| may_have_password),
            will: self.maybe(|random| {
                let delay_interval = if version == V5 { random.u32() } else { 0 };
                let message = random.message(version);
                Box::new(Will {
                    delay_interval,
                    message,
                })
            }),
            properties,
        }))
    }

    fn publish(&mut self, side: Side, version: ProtocolVersion) -> Packet {
        let message = self.message(version);
        let is_acknowledged = message.qos != Qos::AtMostOnce;
        let mut publish = Publish {
            dup: is_acknowledged && self.bool(),
            packet_id: is_acknowledged.then(|| self.packet_id()),
            message,
            ..Publish::default()
        };
        if version == V5 {
            publish.topic_alias = NonZeroU16::new(self.u16() & 1);
            if side == Side::Client && self.bool() {
                let identifier = |random: &mut Self| random.u32() % 268_435_455 + 1;
                publish.subscription_identifiers = self.list(identifier);
            }
        }
        Packet::Publish(publish)
    }

    fn ack_properties(&mut self, version: ProtocolVersion) -> AckProperties {
        if version != V5 {
            return AckProperties::default();
        }
        AckProperties {
            reason_string: self.maybe(Self::text),
            user_properties: self.pairs(),
        }
    }

    fn ack(&mut self, version: ProtocolVersion, codes: &[ReasonCode]) -> Ack {
        let reason_code = if version == V5 {
            *self.pick(codes)
        } else {
            ReasonCode::Success
        };
        Ack {
            packet_id: self.packet_id(),
            reason_code,
            properties: self.ack_properties(version),
        }
    }

    fn connack(&mut self, version: ProtocolVersion) -> Packet {
        use ReasonCode::*;
        let code = *self.pick(&[
            Success,
            UnsupportedProtocolVersion,
            BadUserNameOrPassword,
            NotAuthorized,
        ]);
        let mut connack = ConnAck::new(version != V3 && code == Success && self.bool(), code);
        if version == V5 {
            *connack.properties = ConnAckProperties {
                session_expiry_interval: self.maybe(Self::u32),
                receive_maximum: NonZeroU16::new(self.u16() & 3),
                maximum_qos: self
                    .maybe(|random| *random.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce])),
                retain_available: self.maybe(Self::bool),
                maximum_packet_size: NonZeroU32::new(self.u32() & 3),
                assigned_client_identifier: self.maybe(Self::text),
                topic_alias_maximum: self.maybe(Self::u16),
                reason_string: self.maybe(Self::text),
                user_properties: self.pairs(),
                wildcard_subscription_available: self.maybe(Self::bool),
                subscription_identifiers_available: self.maybe(Self::bool),
                shared_subscription_available: self.maybe(Self::bool),
                server_keep_alive: self.maybe(Self::u16),
                response_information: self.maybe(Self::text),
                server_reference: self.maybe(Self::text),
                authentication_method: self.maybe(Self::text),
                authentication_data: self.maybe(Self::bytes),
            };
        }
        Packet::ConnAck(connack)
    }

    fn subscribe(&mut self, version: ProtocolVersion) -> Packet {
        let is_5 = version == V5;
        Packet::Subscribe(Subscribe {
            packet_id: self.packet_id(),
            subscription_identifier: self
                .maybe(|random| random.u32() % 268_435_455 + 1)
                .filter(|_| is_5),
            user_properties: if is_5 { self.pairs() } else { Vec::new() },
            subscriptions: self.list(|random| {
                let filter = random.filter();
                let mask = if is_5 { 0x3F } else { 0x03 };
                let byte = std::iter::repeat_with(|| random.next() as u8 & mask);
                let mut options = { byte }.find_map(SubscriptionOptions::from_byte).unwrap();
                options.no_local &= filter.share().is_none();
                Subscription { filter, options }
            }),
        })
    }

    fn answers(&mut self, side: Side, version: ProtocolVersion) -> Packet {
        use ReasonCode::*;
        match self.below(6) {
            0 => Packet::SubAck(SubAck {
                packet_id: self.packet_id(),
                properties: self.ack_properties(version),
                reason_codes: self.list(|random| {
                    *random.pick(&[Success, GrantedQos1, GrantedQos2, UnspecifiedError])
                }),
            }),
            1 => Packet::UnsubAck(UnsubAck {
                packet_id: self.packet_id(),
                properties: self.ack_properties(version),
                reason_codes: match version {
                    V5 => self.list(|random| {
                        *random.pick(&[Success, NoSubscriptionExisted, NotAuthorized])
                    }),
                    _ => Vec::new(),
                },
            }),
            2 => Packet::PingResp,
            3 => self.connack(version),
            _ => self.both_sides(side, version),
        }
    }

    fn both_sides(&mut self, side: Side, version: ProtocolVersion) -> Packet {
        use ReasonCode::*;
        match self.below(5) {
            0 => Packet::PubAck(self.ack(version, &[Success, NotAuthorized, QuotaExceeded])),
            1 => Packet::PubRec(self.ack(version, &[Success, NoMatchingSubscribers])),
            2 => Packet::PubRel(self.ack(version, &[Success, PacketIdentifierNotFound])),
            3 => Packet::PubComp(self.ack(version, &[Success, PacketIdentifierNotFound])),
            _ => self.publish(side, version),
        }
    }

    /// A packet that `side` may receive in this version.
    pub fn packet(&mut self, side: Side, version: ProtocolVersion) -> Packet {
        let is_server = side == Side::Server;
        match self.below(8) {
            0 if is_server => self.connect(version),
            1 if is_server => self.subscribe(version),
            2 if is_server => Packet::Unsubscribe(Unsubscribe {
                packet_id: self.packet_id(),
                user_properties: if version == V5 {
                    self.pairs()
                } else {
                    Vec::new()
                },
                filters: self.list(Self::filter),
            }),
            3 if is_server => Packet::PingReq,
            4 if is_server && version != V5 => {
                Packet::Disconnect(Disconnect::new(ReasonCode::Success))
            }
            4 if version == V5 => Packet::Disconnect(Disconnect {
                reason_code: *self.pick(&[ReasonCode::Success, ReasonCode::ProtocolError]),
                properties: DisconnectProperties {
                    session_expiry_interval: self.maybe(Self::u32).filter(|_| is_server),
                    reason_string: self.maybe(Self::text),
                    user_properties: self.pairs(),
                    server_reference: self.maybe(Self::text),
                },
            }),
            5 if version == V5 => Packet::Auth(Auth {
                reason_code: ReasonCode::ContinueAuthentication,
                properties: AuthProperties {
                    authentication_method: Some(self.text()),
                    authentication_data: self.maybe(Self::bytes),
                    reason_string: self.maybe(Self::text),
                    user_properties: self.pairs(),
                },
            }),
            _ if is_server => self.both_sides(side, version),
            _ => self.answers(side, version),
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..12_000 {
        let version = *random.pick(&ALL);
        let side = *random.pick(&[Side::Server, Side::Client]);
        let packet = random.packet(side, version);
        let bytes = encoded(&packet, version);
        assert_eq!(
            decode(side, version, &bytes),
            Ok(Some(packet)),
            "{round} {bytes:02x?}"
        );
        assert_eq!(decode(side, version, &bytes[..bytes.len() - 1]), Ok(None));
    }
}
