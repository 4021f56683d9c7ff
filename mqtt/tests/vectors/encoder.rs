//! What the encoder does apart from writing legal packets: other versions, and refusals.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, Connect, ConnectProperties, Disconnect,
    EncodeError, Message, MessageProperties, Packet, PropertyValues, ProtocolVersion, Publish, Qos,
    ReasonCode, SubAck, Subscribe, Subscription, SubscriptionOptions, TopicName, UnsubAck,
    Unsubscribe, Will, encode_publish_header, publish_size,
};

use crate::notation::packet;
use crate::*;

fn message(topic: &str, payload: &'static [u8]) -> Message {
    Message {
        topic_name: name(topic),
        payload: Bytes::from_static(payload),
        ..Message::default()
    }
}

fn rich_publish() -> Publish {
    let mut message = message("a", b"xyz");
    message.properties = MessageProperties::from(PropertyValues {
        message_expiry_interval: Some(100),
        content_type: Some(s("t")),
        correlation_data: Some(blob(&[1])),
        user_properties: pairs(&[("k", "v")]),
        ..PropertyValues::default()
    });
    Publish {
        topic_alias: NonZeroU16::new(1),
        subscription_identifiers: vec![1, 2, 300],
        message,
        ..Publish::default()
    }
}

#[track_caller]
fn fails(packet: &Packet, version: ProtocolVersion, error: EncodeError) {
    let mut buffer = BytesMut::from(&b"before"[..]);
    assert_eq!(encode(packet, version, &mut buffer), Err(error));
    assert_eq!(&buffer[..], b"before"); // A16
}

/// What MQTT 3 does not have is left out.
#[test]
fn mqtt_3_has_no_properties() {
    let properties = AckProperties {
        reason_string: Some(s("r")),
        user_properties: pairs(&[("k", "v")]),
    };
    for version in [V3, V4] {
        assert_eq!(
            encoded(&Packet::Publish(rich_publish()), version),
            packet(0x30, "'a' `xyz`")
        );
        let ack = Ack {
            reason_code: ReasonCode::QuotaExceeded,
            properties: properties.clone(),
            ..Ack::new(id(1), ReasonCode::Success)
        };
        assert_eq!(
            encoded(&Packet::PubAck(ack.clone()), version),
            packet(0x40, "0001")
        );
        assert_eq!(encoded(&Packet::PubRel(ack), version), packet(0x62, "0001"));
        let unsuback = UnsubAck {
            packet_id: id(1),
            properties: properties.clone(),
            reason_codes: vec![ReasonCode::NotAuthorized],
        };
        assert_eq!(
            encoded(&Packet::UnsubAck(unsuback), version),
            packet(0xB0, "0001")
        );
        let unsubscribe = Unsubscribe {
            packet_id: id(1),
            user_properties: pairs(&[("k", "v")]),
            filters: vec![filter("a")],
        };
        assert_eq!(
            encoded(&Packet::Unsubscribe(unsubscribe), version),
            packet(0xA2, "0001 'a'")
        );
        let options = SubscriptionOptions::from_byte(0x2D).unwrap();
        let subscribe = Subscribe {
            packet_id: id(1),
            subscription_identifier: Some(0),
            user_properties: pairs(&[("k", "v")]),
            subscriptions: vec![Subscription {
                filter: filter("a"),
                options,
            }],
        };
        assert_eq!(
            encoded(&Packet::Subscribe(subscribe), version),
            packet(0x82, "0001 'a' 01")
        );
        let disconnect = Packet::Disconnect(Disconnect::new(ReasonCode::ServerBusy));
        assert_eq!(encoded(&disconnect, version), packet(0xE0, ""));
        let auth = Auth {
            reason_code: ReasonCode::Success,
            properties: AuthProperties::default(),
        };
        fails(&Packet::Auth(auth), version, EncodeError::NotInVersion);
    }
}

/// [MQTT3-3.9.3-2] [MQTT3-3.2.2-4] [MQTT3-3.2.2-6] [MQTT-3.2.2-6]
#[test]
fn mqtt_3_knows_few_failures() {
    for version in [V3, V4] {
        let suback = SubAck {
            packet_id: id(1),
            properties: AckProperties::default(),
            reason_codes: vec![
                ReasonCode::GrantedQos2,
                ReasonCode::NotAuthorized,
                ReasonCode::TopicFilterInvalid,
            ],
        };
        assert_eq!(
            encoded(&Packet::SubAck(suback), version),
            packet(0x90, "0001 02 80 80")
        );
        for code in ReasonCode::ALL {
            let written = encoded(&Packet::ConnAck(ConnAck::new(true, code)), version);
            let session_present = code == ReasonCode::Success && version == V4;
            assert_eq!(written[..3], [0x20, 2, u8::from(session_present)], "{code}");
            assert!(
                written[3] <= 5 && (written[3] != 0) == code.is_error(),
                "{code}"
            );
        }
        for (code, number) in [
            (ReasonCode::UnsupportedProtocolVersion, 1),
            (ReasonCode::ClientIdentifierNotValid, 2),
            (ReasonCode::ServerUnavailable, 3),
            (ReasonCode::ServerBusy, 3),
            (ReasonCode::QuotaExceeded, 3),
            (ReasonCode::UseAnotherServer, 3),
            (ReasonCode::BadUserNameOrPassword, 4),
            (ReasonCode::NotAuthorized, 5),
            (ReasonCode::Banned, 5),
        ] {
            let written = encoded(&Packet::ConnAck(ConnAck::new(false, code)), version);
            assert_eq!(written[3], number, "{code}");
        }
    }
    let written = encoded(
        &Packet::ConnAck(ConnAck::new(true, ReasonCode::ServerBusy)),
        V5,
    );
    assert_eq!(written, packet(0x20, "00 89 {}"));
}

/// [MQTT-3.3.1-2] [MQTT-2.2.1-2] [MQTT-2.2.1-4]
/// [MQTT-2.2.2-1] [MQTT3-2.3.1-5] [MQTT3-3.3.1-2]
#[test]
fn a_packet_identifier_belongs_to_qos_1_and_2() {
    let mut publish = Publish {
        dup: true,
        packet_id: Some(id(9)),
        message: message("a", b"x"),
        ..Publish::default()
    };
    for version in ALL {
        let properties = if version == V5 { "{}" } else { "" };
        publish.message.qos = Qos::AtMostOnce;
        let written = encoded(&Packet::Publish(publish.clone()), version);
        assert_eq!(written, packet(0x30, &format!("'a' {properties} `x`")));
        publish.message.qos = Qos::AtLeastOnce;
        let written = encoded(&Packet::Publish(publish.clone()), version);
        assert_eq!(written, packet(0x3A, &format!("'a' 0009 {properties} `x`")));
        let without = Publish {
            packet_id: None,
            ..publish.clone()
        };
        fails(&Packet::Publish(without), version, EncodeError::NoPacketId);
    }
}

/// A15
#[test]
fn what_cannot_be_written_is_refused() {
    for version in ALL {
        let mut publish = Publish {
            message: message("a", b"x"),
            ..Publish::default()
        };
        publish.message.topic_name = TopicName::empty();
        publish.topic_alias = (version != V5).then_some(NonZeroU16::MIN);
        fails(&Packet::Publish(publish), version, EncodeError::NoTopic);

        let long = "x".repeat(65_536);
        let publish = Publish {
            message: message("a", b"x"),
            ..Publish::default()
        };
        let mut header = publish.header();
        header.topic_name = &long;
        let mut buffer = BytesMut::new();
        let result = encode_publish_header(&header, version, &mut buffer);
        assert_eq!(result, Err(EncodeError::FieldTooLong));

        let mut header = publish.header();
        header.payload_bytes = 268_435_456;
        let result = encode_publish_header(&header, version, &mut buffer);
        assert_eq!(result, Err(EncodeError::TooLarge));
        assert!(buffer.is_empty());

        let subscribe = Subscribe {
            packet_id: id(1),
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: Vec::new(),
        };
        fails(&Packet::Subscribe(subscribe), version, EncodeError::Empty);
        let suback = SubAck {
            packet_id: id(1),
            properties: AckProperties::default(),
            reason_codes: Vec::new(),
        };
        fails(&Packet::SubAck(suback), version, EncodeError::Empty);
        let unsubscribe = Unsubscribe {
            packet_id: id(1),
            user_properties: Vec::new(),
            filters: Vec::new(),
        };
        fails(
            &Packet::Unsubscribe(unsubscribe),
            version,
            EncodeError::Empty,
        );
    }
    let unsuback = UnsubAck {
        packet_id: id(1),
        properties: AckProperties::default(),
        reason_codes: Vec::new(),
    };
    fails(&Packet::UnsubAck(unsuback), V5, EncodeError::Empty);
    let mut publish = rich_publish();
    publish.message.properties.correlation_data = Some(vec![0; 65_536].into());
    fails(
        &Packet::Publish(publish.clone()),
        V5,
        EncodeError::FieldTooLong,
    );
    publish.message.properties.correlation_data = None;
    for wrong in [0, 268_435_456, u32::MAX] {
        publish.subscription_identifiers = vec![1, wrong];
        fails(
            &Packet::Publish(publish.clone()),
            V5,
            EncodeError::SubscriptionIdentifier,
        );
        let subscribe = Subscribe {
            packet_id: id(1),
            subscription_identifier: Some(wrong),
            user_properties: Vec::new(),
            subscriptions: vec![Subscription {
                filter: filter("a"),
                options: SubscriptionOptions::default(),
            }],
        };
        fails(
            &Packet::Subscribe(subscribe),
            V5,
            EncodeError::SubscriptionIdentifier,
        );
    }
}

#[test]
fn a_connect_that_cannot_be_written_is_refused() {
    let mut connect = Connect {
        version: V4,
        client_id: s("c"),
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: Some(blob(b"pw")),
        will: None,
        properties: ConnectProperties::default(),
    };
    let wrap = |connect: &Connect| Packet::Connect(Box::new(connect.clone()));
    fails(&wrap(&connect), V4, EncodeError::PasswordWithoutUserName);
    // A CONNECT says its own version.
    connect.version = V5;
    assert_eq!(
        encoded(&wrap(&connect), V4),
        packet(0x10, "'MQTT' 05 42 0000 {} 'c' 'pw'")
    );
    connect.password = Some(vec![0; 65_536].into());
    fails(&wrap(&connect), V5, EncodeError::FieldTooLong);
    connect.password = None;
    connect.will = Some(Box::default());
    fails(&wrap(&connect), V5, EncodeError::NoTopic);
    let mut message = message("w", b"");
    message.payload = vec![0; 65_536].into();
    connect.will = Some(Box::new(Will {
        delay_interval: 0,
        message,
    }));
    fails(&wrap(&connect), V5, EncodeError::FieldTooLong);
}

/// [MQTT-3.3.2-6] The time that a message waited is taken off its lifetime.
#[test]
fn a_header_replaces_the_message_expiry_interval() {
    let publish = rich_publish();
    let mut header = publish.header();
    header.message_expiry_interval = Some(7);
    header.subscription_identifiers = &[];
    header.topic_alias = None;
    let mut buffer = BytesMut::new();
    encode_publish_header(&header, V5, &mut buffer).unwrap();
    let whole = packet(0x30, "'a' {0200000007 03't' 09000101 26'k''v'} `xyz`");
    assert_eq!(buffer[..], whole[..whole.len() - 3]);
    assert_eq!(publish_size(&header, V5), whole.len());
}

/// [MQTT-3.1.2-24]
#[test]
fn the_size_of_a_publish_is_known_before_it_is_written() {
    for vector in corpus() {
        if let Packet::Publish(publish) = &vector.packet {
            for version in ALL {
                if publish.message.topic_name.is_empty() && version != V5 {
                    continue;
                }
                let written = encoded(&vector.packet, version);
                assert_eq!(publish_size(&publish.header(), version), written.len());
            }
        }
    }
    let payload = vec![0; 20_000];
    for length in (0..300).chain(16_300..16_500) {
        let mut publish = rich_publish();
        publish.message.payload = Bytes::copy_from_slice(&payload[..length]);
        let size = publish_size(&publish.header(), V5);
        assert_eq!(size, encoded(&Packet::Publish(publish), V5).len());
    }
}
