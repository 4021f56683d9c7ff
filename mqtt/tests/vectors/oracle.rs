//! Another codec reads what we write, and finds the same values in it.
//!
//! Left out is what `mqttbytes` cannot do: MQTT 3.1, AUTH, passwords that are not text,
//! absent as opposed to empty user names and passwords, the short forms of the DISCONNECT
//! of MQTT 5, more than two subscription identifiers, and UNSUBSCRIBE of MQTT 5, which it
//! prints to the standard error output.

use bytes::{Bytes, BytesMut};
use mqtt::{AckProperties, Packet, ProtocolVersion, Qos, ReasonCode, Side, Str};
use mqttbytes::{QoS, v4, v5};

use crate::random::Random;
use crate::*;

fn level(qos: Qos) -> QoS {
    mqttbytes::qos(qos.as_u8()).unwrap()
}

fn text(text: &Option<Str>) -> Option<String> {
    text.as_ref().map(|text| text.to_string())
}

fn texts(pairs: &[(Str, Str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn number(packet_id: Option<PacketId>) -> u16 {
    packet_id.map_or(0, PacketId::get)
}

/// None for a password that is not text.
fn login(connect: &mqtt::Connect) -> Option<(String, String)> {
    let username = connect.username.as_ref().map_or("", |name| name.as_str());
    let password = std::str::from_utf8(connect.password.as_deref().unwrap_or_default()).ok()?;
    (!password.contains('\0')).then(|| (username.to_owned(), password.to_owned()))
}

fn expected_v4(packet: &Packet) -> Option<v4::Packet> {
    Some(match packet {
        Packet::Connect(connect) => {
            let (username, password) = login(connect)?;
            let has_login = !username.is_empty() || !password.is_empty();
            v4::Packet::Connect(v4::Connect {
                protocol: mqttbytes::Protocol::V4,
                keep_alive: connect.keep_alive,
                client_id: connect.client_id.to_string(),
                clean_session: connect.clean_start,
                last_will: connect.will.as_ref().map(|will| v4::LastWill {
                    topic: will.message.topic_name.to_string(),
                    message: will.message.payload.clone(),
                    qos: level(will.message.qos),
                    retain: will.message.retain,
                }),
                login: has_login.then_some(v4::Login { username, password }),
            })
        }
        Packet::ConnAck(connack) => {
            use v4::ConnectReturnCode::*;
            let code = match connack.reason_code {
                ReasonCode::Success => Success,
                ReasonCode::UnsupportedProtocolVersion => RefusedProtocolVersion,
                ReasonCode::BadUserNameOrPassword => BadUserNamePassword,
                _ => NotAuthorized,
            };
            v4::Packet::ConnAck(v4::ConnAck {
                session_present: connack.session_present,
                code,
            })
        }
        Packet::Publish(publish) => v4::Packet::Publish(v4::Publish {
            dup: publish.dup,
            qos: level(publish.message.qos),
            retain: publish.message.retain,
            topic: publish.message.topic_name.to_string(),
            pkid: number(publish.packet_id),
            payload: publish.message.payload.clone(),
        }),
        Packet::PubAck(ack) => v4::Packet::PubAck(v4::PubAck {
            pkid: ack.packet_id.get(),
        }),
        Packet::PubRec(ack) => v4::Packet::PubRec(v4::PubRec {
            pkid: ack.packet_id.get(),
        }),
        Packet::PubRel(ack) => v4::Packet::PubRel(v4::PubRel {
            pkid: ack.packet_id.get(),
        }),
        Packet::PubComp(ack) => v4::Packet::PubComp(v4::PubComp {
            pkid: ack.packet_id.get(),
        }),
        Packet::Subscribe(subscribe) => v4::Packet::Subscribe(v4::Subscribe {
            pkid: subscribe.packet_id.get(),
            filters: subscribe
                .subscriptions
                .iter()
                .map(|one| v4::SubscribeFilter {
                    path: one.filter.to_string(),
                    qos: level(one.options.qos),
                })
                .collect(),
        }),
        Packet::SubAck(suback) => v4::Packet::SubAck(v4::SubAck {
            pkid: suback.packet_id.get(),
            return_codes: suback
                .reason_codes
                .iter()
                .map(|code| match code.as_u8() {
                    qos @ 0..=2 => v4::SubscribeReasonCode::Success(mqttbytes::qos(qos).unwrap()),
                    _ => v4::SubscribeReasonCode::Failure,
                })
                .collect(),
        }),
        Packet::Unsubscribe(unsubscribe) => v4::Packet::Unsubscribe(v4::Unsubscribe {
            pkid: unsubscribe.packet_id.get(),
            topics: unsubscribe
                .filters
                .iter()
                .map(|filter| filter.to_string())
                .collect(),
        }),
        Packet::UnsubAck(unsuback) => v4::Packet::UnsubAck(v4::UnsubAck {
            pkid: unsuback.packet_id.get(),
        }),
        Packet::PingReq => v4::Packet::PingReq,
        Packet::PingResp => v4::Packet::PingResp,
        Packet::Disconnect(_) => v4::Packet::Disconnect,
        Packet::Auth(_) => return None,
    })
}

#[test]
fn mqtt_3_1_1_is_read_by_another_codec() {
    let mut compared = 0;
    each(V4, |packet, bytes| {
        if let Some(expected) = expected_v4(packet) {
            let mut buffer = BytesMut::from(bytes);
            assert_eq!(
                v4::read(&mut buffer, usize::MAX),
                Ok(expected),
                "{bytes:02x?}"
            );
            assert!(buffer.is_empty());
            compared += 1;
        }
    });
    assert!(compared > 3_000);
}

fn each(version: ProtocolVersion, mut compare: impl FnMut(&Packet, &[u8])) {
    let mut random = Random(0x5851_F42D_4C95_7F2D);
    for _ in 0..2_500 {
        for side in [Side::Server, Side::Client] {
            let packet = random.packet(side, version);
            compare(&packet, &encoded(&packet, version));
        }
    }
}

macro_rules! ack {
    ($ack:expr, $variant:ident, $properties:ident) => {{
        let AckProperties {
            reason_string,
            user_properties,
        } = &$ack.properties;
        let properties = v5::$properties {
            reason_string: text(reason_string),
            user_properties: texts(user_properties),
        };
        let mut read = v5::$variant::new($ack.packet_id.get());
        read.properties = (!$ack.properties.is_empty()).then_some(properties);
        read
    }};
}

/// The values of acknowledgements, with the reason as a number.
fn ack_v5(packet: &Packet, read: &v5::Packet) -> bool {
    match (packet, read) {
        (Packet::PubAck(ack), v5::Packet::PubAck(read)) => {
            let mut expected = ack!(ack, PubAck, PubAckProperties);
            expected.reason = read.reason;
            *read == expected && read.reason as u8 == ack.reason_code.as_u8()
        }
        (Packet::PubRec(ack), v5::Packet::PubRec(read)) => {
            let mut expected = ack!(ack, PubRec, PubRecProperties);
            expected.reason = read.reason;
            *read == expected && read.reason as u8 == ack.reason_code.as_u8()
        }
        (Packet::PubRel(ack), v5::Packet::PubRel(read)) => {
            let mut expected = ack!(ack, PubRel, PubRelProperties);
            expected.reason = read.reason;
            *read == expected && read.reason as u8 == ack.reason_code.as_u8()
        }
        (Packet::PubComp(ack), v5::Packet::PubComp(read)) => {
            let mut expected = ack!(ack, PubComp, PubCompProperties);
            expected.reason = read.reason;
            *read == expected && read.reason as u8 == ack.reason_code.as_u8()
        }
        (Packet::SubAck(suback), v5::Packet::SubAck(read)) => {
            read.pkid == suback.packet_id.get()
                && read
                    .return_codes
                    .iter()
                    .map(|code| *code as u8)
                    .eq(suback.reason_codes.iter().map(|code| code.as_u8()))
                && match &read.properties {
                    None => suback.properties.is_empty(),
                    Some(properties) => {
                        properties.reason_string == text(&suback.properties.reason_string)
                            && properties.user_properties
                                == texts(&suback.properties.user_properties)
                    }
                }
        }
        (Packet::UnsubAck(unsuback), v5::Packet::UnsubAck(read)) => {
            read.pkid == unsuback.packet_id.get()
                && read
                    .reasons
                    .iter()
                    .map(|code| *code as u8)
                    .eq(unsuback.reason_codes.iter().map(|code| code.as_u8()))
        }
        _ => false,
    }
}

fn publish_v5(publish: &mqtt::Publish) -> v5::Publish {
    let properties = &publish.message.properties;
    let has_any = !properties.is_empty()
        || publish.topic_alias.is_some()
        || !publish.subscription_identifiers.is_empty();
    v5::Publish {
        dup: publish.dup,
        qos: level(publish.message.qos),
        retain: publish.message.retain,
        topic: publish.message.topic_name.to_string(),
        pkid: number(publish.packet_id),
        properties: has_any.then(|| v5::PublishProperties {
            payload_format_indicator: properties.payload_format_indicator.map(u8::from),
            message_expiry_interval: properties.message_expiry_interval,
            topic_alias: publish.topic_alias.map(|alias| alias.get()),
            response_topic: properties
                .response_topic
                .as_ref()
                .map(|topic| topic.to_string()),
            correlation_data: properties.correlation_data.clone(),
            user_properties: texts(&properties.user_properties),
            subscription_identifiers: publish
                .subscription_identifiers
                .iter()
                .map(|id| *id as usize)
                .collect(),
            content_type: text(&properties.content_type),
        }),
        payload: publish.message.payload.clone(),
    }
}

fn will_v5(will: &mqtt::Will) -> v5::LastWill {
    let properties = &will.message.properties;
    let has_any = !properties.is_empty() || will.delay_interval != 0;
    v5::LastWill {
        topic: will.message.topic_name.to_string(),
        message: will.message.payload.clone(),
        qos: level(will.message.qos),
        retain: will.message.retain,
        properties: has_any.then(|| v5::WillProperties {
            delay_interval: Some(will.delay_interval).filter(|seconds| *seconds != 0),
            payload_format_indicator: properties.payload_format_indicator.map(u8::from),
            message_expiry_interval: properties.message_expiry_interval,
            content_type: text(&properties.content_type),
            response_topic: properties
                .response_topic
                .as_ref()
                .map(|topic| topic.to_string()),
            correlation_data: properties.correlation_data.clone(),
            user_properties: texts(&properties.user_properties),
        }),
    }
}

fn connect_v5(connect: &mqtt::Connect) -> Option<v5::Connect> {
    let (username, password) = login(connect)?;
    let has_login = !username.is_empty() || !password.is_empty();
    let p = &connect.properties;
    Some(v5::Connect {
        protocol: mqttbytes::Protocol::V5,
        keep_alive: connect.keep_alive,
        client_id: connect.client_id.to_string(),
        clean_session: connect.clean_start,
        last_will: connect.will.as_deref().map(will_v5),
        login: has_login.then_some(v5::Login { username, password }),
        properties: (*p != mqtt::ConnectProperties::default()).then(|| v5::ConnectProperties {
            session_expiry_interval: p.session_expiry_interval,
            receive_maximum: p.receive_maximum.map(|value| value.get()),
            max_packet_size: p.maximum_packet_size.map(|value| value.get()),
            topic_alias_max: p.topic_alias_maximum,
            request_response_info: p.request_response_information.map(u8::from),
            request_problem_info: p.request_problem_information.map(u8::from),
            user_properties: texts(&p.user_properties),
            authentication_method: text(&p.authentication_method),
            authentication_data: p.authentication_data.clone(),
        }),
    })
}

fn connack_v5(p: &mqtt::ConnAckProperties) -> v5::ConnAckProperties {
    v5::ConnAckProperties {
        session_expiry_interval: p.session_expiry_interval,
        receive_max: p.receive_maximum.map(|value| value.get()),
        max_qos: p.maximum_qos.map(Qos::as_u8),
        retain_available: p.retain_available.map(u8::from),
        max_packet_size: p.maximum_packet_size.map(|value| value.get()),
        assigned_client_identifier: text(&p.assigned_client_identifier),
        topic_alias_max: p.topic_alias_maximum,
        reason_string: text(&p.reason_string),
        user_properties: texts(&p.user_properties),
        wildcard_subscription_available: p.wildcard_subscription_available.map(u8::from),
        subscription_identifiers_available: p.subscription_identifiers_available.map(u8::from),
        shared_subscription_available: p.shared_subscription_available.map(u8::from),
        server_keep_alive: p.server_keep_alive,
        response_information: text(&p.response_information),
        server_reference: text(&p.server_reference),
        authentication_method: text(&p.authentication_method),
        authentication_data: p.authentication_data.clone(),
    }
}

fn subscribe_v5(subscribe: &mqtt::Subscribe, read: &v5::Subscribe) {
    assert_eq!(read.pkid, subscribe.packet_id.get());
    let (id, pairs) = read
        .properties
        .clone()
        .map_or((None, Vec::new()), |p| (p.id, p.user_properties));
    assert_eq!(id, subscribe.subscription_identifier.map(|id| id as usize));
    assert_eq!(pairs, texts(&subscribe.user_properties));
    assert_eq!(read.filters.len(), subscribe.subscriptions.len());
    for (theirs, ours) in read.filters.iter().zip(&subscribe.subscriptions) {
        assert_eq!(theirs.path, ours.filter.as_str());
        assert_eq!(theirs.qos, level(ours.options.qos));
        assert_eq!(theirs.nolocal, ours.options.no_local);
        assert_eq!(theirs.preserve_retain, ours.options.retain_as_published);
        assert_eq!(
            theirs.retain_forward_rule.clone() as u8,
            ours.options.retain_handling as u8
        );
    }
}

fn is_beyond_the_oracle(packet: &Packet) -> bool {
    match packet {
        Packet::Auth(_) | Packet::Unsubscribe(_) => true,
        Packet::Disconnect(disconnect) => disconnect.properties.is_empty(),
        Packet::Publish(publish) => publish.subscription_identifiers.len() > 1,
        Packet::Connect(connect) => login(connect).is_none(),
        _ => false,
    }
}

#[test]
fn mqtt_5_is_read_by_another_codec() {
    let mut compared = 0;
    each(V5, |packet, bytes| {
        if is_beyond_the_oracle(packet) {
            return;
        }
        compared += 1;
        let mut buffer = BytesMut::from(bytes);
        let read =
            v5::read(&mut buffer, usize::MAX).unwrap_or_else(|e| panic!("{e:?}: {packet:?}"));
        assert!(buffer.is_empty());
        match (packet, &read) {
            (Packet::Publish(publish), v5::Packet::Publish(read)) => {
                assert_eq!(*read, publish_v5(publish))
            }
            (Packet::Connect(connect), v5::Packet::Connect(read)) => {
                assert_eq!(Some(read), connect_v5(connect).as_ref());
            }
            (Packet::ConnAck(connack), v5::Packet::ConnAck(read)) => {
                assert_eq!(read.session_present, connack.session_present);
                assert_eq!(read.code as u8, connack.reason_code.as_u8());
                let ours = connack_v5(&connack.properties);
                let none = connack_v5(&mqtt::ConnAckProperties::default());
                assert_eq!(read.properties.clone().unwrap_or(none), ours);
            }
            (Packet::Subscribe(subscribe), v5::Packet::Subscribe(read)) => {
                subscribe_v5(subscribe, read)
            }
            (Packet::Disconnect(disconnect), v5::Packet::Disconnect(read)) => {
                assert_eq!(read.reason_code as u8, disconnect.reason_code.as_u8());
                let theirs = read.properties.clone().unwrap();
                assert_eq!(
                    theirs.session_expiry_interval,
                    disconnect.properties.session_expiry_interval
                );
                assert_eq!(
                    theirs.reason_string,
                    text(&disconnect.properties.reason_string)
                );
                assert_eq!(
                    theirs.user_properties,
                    texts(&disconnect.properties.user_properties)
                );
                assert_eq!(
                    theirs.server_reference,
                    text(&disconnect.properties.server_reference)
                );
            }
            (Packet::PingReq, v5::Packet::PingReq) | (Packet::PingResp, v5::Packet::PingResp) => {}
            _ => assert!(ack_v5(packet, &read), "{packet:?} {read:?}"),
        }
    });
    assert!(compared > 2_500);
}

/// What they write, we read: the packets that a client sends in MQTT 3.1.1 and 5.
#[test]
fn what_another_codec_writes_is_read() {
    let mut random = Random(0x1405_7B7E_F767_814F);
    for _ in 0..2_000 {
        let packet = random.packet(Side::Server, V5);
        let mut buffer = BytesMut::new();
        match &packet {
            Packet::Publish(publish) if !publish.message.topic_name.is_empty() => {
                publish_v5(publish).write(&mut buffer).unwrap();
            }
            Packet::Connect(connect) if has_texts(connect) => {
                let Some(theirs) = connect_v5(connect) else {
                    continue;
                };
                theirs.write(&mut buffer).unwrap();
            }
            _ => continue,
        }
        assert_eq!(decode(Side::Server, V5, &buffer), Ok(Some(packet)));
    }
}

/// They write neither an empty user name nor an empty password.
fn has_texts(connect: &mqtt::Connect) -> bool {
    connect
        .username
        .as_ref()
        .is_none_or(|name| !name.is_empty())
        && connect
            .password
            .as_ref()
            .is_none_or(|password: &Bytes| !password.is_empty())
}
