//! PUBACK, PUBREC, PUBREL and PUBCOMP, packet by packet (sections 2.2.1, 4.3, 4.4, 4.6).

use std::collections::BTreeSet;

use harness::{Client, MessageExt as _, everywhere, message};
use mqtt::{Ack, Packet, PacketId, Publish, Qos, ReasonCode};

use crate::VERSIONS;

fn ack(packet_id: PacketId) -> Ack {
    Ack::new(packet_id, ReasonCode::Success)
}

/// Packet identifiers in no order.
fn packet_ids(count: u32) -> Vec<PacketId> {
    (0..count)
        .map(|number| PacketId::new(u16::try_from(number * 7919 % 65_521 + 1).unwrap()).unwrap())
        .collect()
}

fn publish(packet_id: PacketId, topic: &str, text: String, qos: Qos) -> Publish {
    Publish {
        packet_id: Some(packet_id),
        message: message(topic, text, qos),
        ..Publish::default()
    }
}

async fn next(client: &mut Client) -> Publish {
    match client.packet().await {
        Some(Packet::Publish(publish)) => publish,
        other => panic!("expected PUBLISH, got {other:?}"),
    }
}

everywhere! {
    /// [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8]
    /// [MQTT-4.3.3-11] [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT3-2.3.1-2] [MQTT3-2.3.1-6]
    /// [MQTT3-3.3.4-1] [MQTT3-4.3.2-2] [MQTT3-4.6.0-2] [MQTT3-4.6.0-3]
    async fn every_publish_is_acknowledged_by_its_identifier_in_order(site) {
        for version in VERSIONS {
            let mut client = site.builder("client").version(version).connect().await;
            let ids = packet_ids(60);
            for (packet_id, qos) in ids.iter().zip([Qos::AtLeastOnce, Qos::ExactlyOnce].iter().cycle()) {
                let publish = publish(*packet_id, "t", "x".to_owned(), *qos);
                client.send(&Packet::Publish(publish)).await;
            }
            for pair in ids.chunks(2) {
                let got = (client.packet().await, client.packet().await);
                let (Some(Packet::PubAck(one)), Some(Packet::PubRec(two))) = got else {
                    panic!("expected PUBACK and PUBREC, got {got:?}")
                };
                assert_eq!([one.packet_id, two.packet_id], *pair);
                assert!(!one.reason_code.is_error() && !two.reason_code.is_error());
            }
            let released: Vec<PacketId> = ids.iter().skip(1).step_by(2).copied().collect();
            for packet_id in &released {
                client.send(&Packet::PubRel(ack(*packet_id))).await;
            }
            for packet_id in released {
                assert_eq!(client.packet().await, Some(Packet::PubComp(ack(packet_id))));
            }
            client.disconnect().await;
        }
    }

    /// Whatever DUP says: once acknowledged, the identifier means another message.
    /// [MQTT-3.3.1-3] [MQTT-4.3.2-5] [MQTT-4.3.3-12] [MQTT3-3.3.1-3] [MQTT3-4.3.2-2]
    /// [MQTT3-4.3.3-2]
    async fn a_publish_after_its_acknowledgement_is_a_new_message(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("t", Qos::ExactlyOnce).await;
        let id = PacketId::new(7).unwrap();
        for version in VERSIONS {
            let mut client = site.builder("client").version(version).connect().await;
            for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                for number in 0..3 {
                    let mut packet = publish(id, "t", number.to_string(), qos);
                    packet.dup = true;
                    client.send(&Packet::Publish(packet)).await;
                    let answer = client.packet().await;
                    match qos {
                        Qos::ExactlyOnce => {
                            assert!(matches!(answer, Some(Packet::PubRec(_))), "{answer:?}");
                            client.send(&Packet::PubRel(ack(id))).await;
                            assert_eq!(client.packet().await, Some(Packet::PubComp(ack(id))));
                        }
                        _ => assert!(matches!(answer, Some(Packet::PubAck(_))), "{answer:?}"),
                    }
                    let got = subscriber.recv().await;
                    assert_eq!(got.message.text(), number.to_string());
                    assert!(!got.dup, "DUP of the publisher is passed on");
                }
            }
            client.disconnect().await;
        }
        subscriber.assert_silent().await;
    }

    /// With an error in PUBREC the handshake is over: what comes next under its identifier is new.
    /// [MQTT-4.3.3-9]
    async fn a_publish_after_a_refusal_is_a_new_message(site, "mqtt.max_retained_messages=1") {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("t/#", Qos::ExactlyOnce).await;
        let mut client = site.client("client").await;
        let id = PacketId::new(7).unwrap();
        let send = |topic: &str, text: &str, retain, dup| {
            let mut packet = publish(id, topic, text.to_owned(), Qos::ExactlyOnce);
            packet.message.retain = retain;
            packet.dup = dup;
            Packet::Publish(packet)
        };
        client.publish_message(message("t/1", "kept", Qos::AtLeastOnce).retained()).await;
        for _ in 0..2 {
            client.send(&send("t/2", "refused", true, false)).await;
            let refused = Ack::new(id, ReasonCode::QuotaExceeded);
            assert_eq!(client.packet().await, Some(Packet::PubRec(refused)));
        }
        client.send(&send("t/3", "new", false, true)).await;
        assert_eq!(client.packet().await, Some(Packet::PubRec(ack(id))));
        client.send(&Packet::PubRel(ack(id))).await;
        assert_eq!(client.packet().await, Some(Packet::PubComp(ack(id))));
        assert_eq!(subscriber.recv_texts(2).await, ["kept", "new"]);
        subscriber.assert_silent().await;
    }

    /// The server never has one identifier for two messages that are not acknowledged.
    /// [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT3-2.3.1-4]
    /// [MQTT3-4.3.2-1] [MQTT3-4.3.3-1]
    async fn packet_identifiers_of_the_server_are_free(site) {
        for version in VERSIONS {
            let builder = site.builder("reader").version(version).manual();
            let mut reader = builder.connect().await;
            reader.subscribe("t", Qos::ExactlyOnce).await;
            let mut publisher = site.client("publisher").await;
            let mut in_use = BTreeSet::new();
            for round in 0..40 {
                for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                    publisher.publish("t", "x", qos).await;
                    let got = next(&mut reader).await;
                    let packet_id = got.packet_id.unwrap();
                    assert!(!got.dup);
                    assert!(in_use.insert(packet_id), "{packet_id:?} is in use");
                    // Some are completed at once, in the middle of the others.
                    if qos == Qos::AtLeastOnce && round % 3 == 0 {
                        reader.send(&Packet::PubAck(ack(packet_id))).await;
                        in_use.remove(&packet_id);
                    }
                    // PUBREC alone does not set it free.
                    if qos == Qos::ExactlyOnce && round % 3 == 1 {
                        reader.send(&Packet::PubRec(ack(packet_id))).await;
                        let answer = reader.packet().await;
                        assert_eq!(answer, Some(Packet::PubRel(ack(packet_id))));
                    }
                }
            }
            reader.disconnect().await;
        }
    }

    /// [MQTT-4.4.0-1]
    async fn nothing_is_repeated_while_the_connection_lasts(site) {
        let mut reader = site.builder("reader").persistent(100).manual().connect().await;
        reader.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        publisher.publish("t", "one", Qos::AtLeastOnce).await;
        publisher.publish("t", "two", Qos::ExactlyOnce).await;
        next(&mut reader).await;
        next(&mut reader).await;
        for _ in 0..8 {
            reader.assert_silent().await;
        }
    }

    /// [MQTT-4.3.3-4] [MQTT-4.6.0-4] [MQTT3-2.3.1-6] [MQTT3-4.6.0-4]
    async fn pubrel_comes_in_the_order_of_pubrec(site) {
        for version in VERSIONS {
            let builder = site.builder("reader").version(version).persistent(100).manual();
            let mut reader = builder.connect().await;
            reader.subscribe("t", Qos::ExactlyOnce).await;
            let mut publisher = site.client("publisher").await;
            let mut ids = Vec::new();
            for number in 0..10 {
                publisher.publish("t", number.to_string(), Qos::ExactlyOnce).await;
                ids.push(next(&mut reader).await.packet_id.unwrap());
            }
            for packet_id in &ids {
                reader.send(&Packet::PubRec(ack(*packet_id))).await;
            }
            for packet_id in &ids {
                assert_eq!(reader.packet().await, Some(Packet::PubRel(ack(*packet_id))));
                reader.send(&Packet::PubComp(ack(*packet_id))).await;
            }
            reader.unsubscribe("t").await;
            reader.disconnect().await;
        }
    }

    /// An error of the receiver is an answer: the message is not sent again.
    /// [MQTT-4.4.0-2]
    async fn a_message_that_the_client_refuses_is_not_sent_again(site) {
        let builder = || site.builder("picky").persistent(100);
        let mut picky = builder().manual().connect().await;
        picky.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            publisher.publish("t", "refused", qos).await;
            let packet_id = next(&mut picky).await.packet_id.unwrap();
            let no = Ack::new(packet_id, ReasonCode::QuotaExceeded);
            picky.send(&match qos {
                Qos::ExactlyOnce => Packet::PubRec(no),
                _ => Packet::PubAck(no),
            }).await;
        }
        picky.ping().await;
        picky.vanish().await;
        let mut picky = builder().connect().await;
        assert!(picky.session_present());
        picky.assert_silent().await;
        publisher.publish("t", "wanted", Qos::ExactlyOnce).await;
        assert_eq!(picky.recv_texts(1).await, ["wanted"]);
    }
}
