//! QoS 1 and 2 when connections break in the middle (sections 4.3, 4.4).

use harness::{Client, MessageExt as _, Session, Site, everywhere, message};
use mqtt::{Ack, Packet, PacketId, ProtocolVersion, Publish, Qos, ReasonCode};

use crate::{Raw, VERSIONS, wire};

/// A subscriber with a session that stays, and nothing acknowledged by itself.
async fn manual(site: &Site, version: ProtocolVersion, session: Session) -> Client {
    site.builder("subscriber")
        .version(version)
        .persistent(1000)
        .manual()
        .resume(session)
        .connect()
        .await
}

async fn automatic(site: &Site, version: ProtocolVersion, session: Session) -> Client {
    let builder = site.builder("subscriber").version(version).persistent(1000);
    builder.resume(session).connect().await
}

async fn publish_packet(client: &mut Client) -> Publish {
    match client.packet().await {
        Some(Packet::Publish(publish)) => publish,
        other => panic!("expected PUBLISH, got {other:?}"),
    }
}

async fn pubrel_packet(client: &mut Client) -> Ack {
    match client.packet().await {
        Some(Packet::PubRel(ack)) => ack,
        other => panic!("expected PUBREL, got {other:?}"),
    }
}

fn ack(packet_id: PacketId) -> Ack {
    Ack::new(packet_id, ReasonCode::Success)
}

everywhere! {
    /// [MQTT-4.4.0-1] [MQTT-3.3.1-1]
    /// [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT3-2.3.1-4] [MQTT3-3.3.1-1] [MQTT3-4.3.2-1]
    /// [MQTT3-4.4.0-1] [MQTT3-4.5.0-2]
    async fn an_unacknowledged_message_is_repeated_with_dup_and_its_packet_id(site) {
        for version in VERSIONS {
            for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let mut subscriber = manual(site, version, Session::default()).await;
                subscriber.subscribe("r", qos).await;
                site.client("publisher").await.publish("r", "once", qos).await;
                let first = publish_packet(&mut subscriber).await;
                assert!(!first.dup);
                subscriber.vanish().await;

                let mut subscriber = manual(site, version, Session::default()).await;
                let second = publish_packet(&mut subscriber).await;
                assert!(second.dup, "[MQTT-3.3.1-1]");
                assert_eq!(second.packet_id, first.packet_id);
                assert_eq!(second.message, first.message);
                subscriber.vanish().await;

                let mut subscriber = automatic(site, version, Session::default()).await;
                let third = subscriber.recv().await;
                assert_eq!((third.dup, third.packet_id), (true, first.packet_id));
                subscriber.ping().await;
                subscriber.assert_silent().await;
                subscriber.vanish().await;

                let mut subscriber = automatic(site, version, Session::default()).await;
                subscriber.assert_silent().await;
                subscriber.unsubscribe("r").await;
                subscriber.disconnect().await;
            }
        }
    }

    /// What was in flight comes first and in its order, then what was queued meanwhile.
    /// [MQTT-4.6.0-1] [MQTT3-4.6.0-1] [MQTT3-4.6.0-6]
    async fn repeated_messages_keep_their_order(site) {
        for version in [ProtocolVersion::V5, ProtocolVersion::V3_1_1] {
            let mut subscriber = manual(site, version, Session::default()).await;
            subscriber.subscribe("r", Qos::ExactlyOnce).await;
            let mut publisher = site.client("publisher").await;
            let mut sent = Vec::new();
            for number in 0..10 {
                let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][number % 2];
                publisher.publish("r", number.to_string(), qos).await;
                sent.push(publish_packet(&mut subscriber).await);
            }
            subscriber.vanish().await;
            for number in 10..20 {
                publisher.publish("r", number.to_string(), Qos::AtLeastOnce).await;
            }
            let mut subscriber = automatic(site, version, Session::default()).await;
            for number in 0..20 {
                let publish = subscriber.recv().await;
                assert_eq!(publish.message.text(), number.to_string());
                if let Some(first) = sent.get(number) {
                    assert_eq!((publish.dup, publish.packet_id), (true, first.packet_id));
                }
            }
            subscriber.assert_silent().await;
            subscriber.unsubscribe("r").await;
            subscriber.disconnect().await;
        }
    }

    /// [MQTT-4.3.3-10] A PUBLISH repeated before PUBREL is acknowledged, but not routed again.
    async fn a_repeated_qos_2_publish_is_routed_once(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("r", Qos::ExactlyOnce).await;
        let mut publisher = site.builder("publisher").manual().connect().await;
        let mut publish = publisher.make_publish(message("r", "once", Qos::ExactlyOnce));
        let packet_id = publish.packet_id.unwrap();
        for _ in 0..3 {
            publisher.send(&Packet::Publish(publish.clone())).await;
            match publisher.packet().await {
                Some(Packet::PubRec(ack)) => assert_eq!(ack.packet_id, packet_id),
                other => panic!("expected PUBREC, got {other:?}"),
            }
            publish.dup = true;
        }
        publisher.send(&Packet::PubRel(ack(packet_id))).await;
        assert_eq!(publisher.packet().await, Some(Packet::PubComp(ack(packet_id))));
        assert_eq!(subscriber.recv().await.message.text(), "once");
        subscriber.assert_silent().await;

        // After PUBCOMP the identifier is free for another message [MQTT-4.3.3-12].
        publish.dup = false;
        publisher.send(&Packet::Publish(publish)).await;
        assert!(matches!(publisher.packet().await, Some(Packet::PubRec(_))));
        publisher.send(&Packet::PubRel(ack(packet_id))).await;
        assert_eq!(subscriber.recv().await.message.text(), "once");
    }

    /// What is stored already is acknowledged at once, also behind what was never to be stored.
    /// [MQTT-4.3.3-10] [MQTT-4.6.0-2]
    async fn a_repeated_qos_2_publish_behind_one_of_qos_1_is_acknowledged(site) {
        let version = ProtocolVersion::V3_1_1;
        let topic = wire::field(b"nobody");
        let publish = |first_byte: u8, packet_id: u8| {
            wire::frame(first_byte, &[&topic, &[0, packet_id], b"x"])
        };
        let mut raw = Raw::connect(site.address()).await;
        raw.send(&wire::connect(version, 0, &wire::field(b"publisher"))).await;
        assert_eq!(raw.packet().await[0], 0x20);
        for _ in 0..3 {
            raw.send(&publish(0x34, 1)).await;
            assert_eq!(raw.packet().await, [0x50, 2, 0, 1]);
            raw.send(&[publish(0x32, 2), publish(0x3c, 1)].concat()).await;
            assert_eq!(raw.packet().await, [0x40, 2, 0, 2]);
            assert_eq!(raw.packet().await, [0x50, 2, 0, 1]);
        }
    }

    /// The same over a reconnect: the server remembers the identifier with the session.
    /// [MQTT-4.3.3-10] [MQTT3-2.3.1-3] [MQTT3-4.3.3-2]
    async fn a_qos_2_publish_repeated_after_a_reconnect_is_routed_once(site) {
        for version in VERSIONS {
            let mut subscriber = site.client("subscriber").await;
            subscriber.subscribe("r", Qos::ExactlyOnce).await;
            let publisher = || site.builder("publisher").version(version).persistent(1000).manual();
            let mut client = publisher().connect().await;
            let mut publish = client.make_publish(message("r", "once", Qos::ExactlyOnce));
            let packet_id = publish.packet_id.unwrap();
            client.send(&Packet::Publish(publish.clone())).await;
            assert!(matches!(client.packet().await, Some(Packet::PubRec(_))));
            client.vanish().await;

            // PUBREC was lost: the PUBLISH comes again.
            publish.dup = true;
            let mut client = publisher().connect().await;
            client.send(&Packet::Publish(publish.clone())).await;
            assert!(matches!(client.packet().await, Some(Packet::PubRec(_))));
            client.vanish().await;

            // PUBREL is sent on a third connection, and again on a fourth.
            for _ in 0..2 {
                let mut client = publisher().connect().await;
                client.send(&Packet::PubRel(ack(packet_id))).await;
                match client.packet().await {
                    Some(Packet::PubComp(ack)) => assert_eq!(ack.packet_id, packet_id),
                    other => panic!("expected PUBCOMP, got {other:?}"),
                }
                client.vanish().await;
            }
            assert_eq!(subscriber.recv().await.message.text(), "once");
            subscriber.assert_silent().await;
        }
    }

    /// A publisher that is cut off after each step, and resumes elsewhere.
    async fn a_publisher_that_is_cut_off_at_any_step_loses_and_doubles_nothing(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("r", Qos::ExactlyOnce).await;
        let mut session = Session::default();
        for number in 0..12 {
            let publisher = site.builder("publisher").persistent(1000).resume(session);
            let mut publisher = publisher.connect().await;
            assert_eq!(publisher.session_present(), number > 0);
            let text = number.to_string();
            publisher.start(message("r", text.clone(), Qos::ExactlyOnce)).await;
            // 0: PUBREC not seen; 1: seen, PUBREL sent; 2: complete.
            for _ in 0..number % 3 {
                publisher.event().await;
            }
            session = publisher.vanish().await;
        }
        let publisher = site.builder("publisher").persistent(1000).resume(session);
        publisher.connect().await.settle().await;
        let expected: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        assert_eq!(subscriber.recv_texts(12).await, expected);
        subscriber.assert_silent().await;
    }

    /// [MQTT-4.4.0-1] After PUBREC the server owes PUBREL, not the PUBLISH.
    /// [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT3-4.3.3-1] [MQTT3-4.4.0-1]
    async fn a_subscriber_that_sent_pubrec_gets_pubrel_after_a_reconnect(site) {
        for version in VERSIONS {
            let mut subscriber = manual(site, version, Session::default()).await;
            subscriber.subscribe("r", Qos::ExactlyOnce).await;
            site.client("publisher").await.publish("r", "once", Qos::ExactlyOnce).await;
            let publish = publish_packet(&mut subscriber).await;
            let packet_id = publish.packet_id.unwrap();
            subscriber.send(&Packet::PubRec(ack(packet_id))).await;
            assert_eq!(pubrel_packet(&mut subscriber).await.packet_id, packet_id);
            subscriber.vanish().await;

            for _ in 0..2 {
                let mut subscriber = manual(site, version, Session::default()).await;
                assert_eq!(pubrel_packet(&mut subscriber).await.packet_id, packet_id);
                subscriber.vanish().await;
            }

            let mut subscriber = manual(site, version, Session::default()).await;
            assert_eq!(pubrel_packet(&mut subscriber).await.packet_id, packet_id);
            subscriber.send(&Packet::PubComp(ack(packet_id))).await;
            subscriber.ping().await;
            subscriber.vanish().await;

            let mut subscriber = automatic(site, version, Session::default()).await;
            subscriber.assert_silent().await;
            subscriber.unsubscribe("r").await;
            subscriber.disconnect().await;
        }
    }

    /// A subscriber that is cut off after each step, and resumes elsewhere: it sees each message
    /// exactly once.
    async fn a_subscriber_that_is_cut_off_at_any_step_sees_each_message_once(site) {
        let version = ProtocolVersion::V5;
        let mut subscriber = automatic(site, version, Session::default()).await;
        subscriber.subscribe("r", Qos::ExactlyOnce).await;
        let mut session = subscriber.vanish().await;
        let mut publisher = site.client("publisher").await;
        let mut seen = Vec::new();
        for number in 0..16 {
            publisher.publish("r", number.to_string(), Qos::ExactlyOnce).await;
            let mut subscriber = automatic(site, version, session).await;
            assert!(subscriber.session_present());
            for _ in 0..number % 4 {
                let event = tokio::time::timeout(harness::SILENCE, subscriber.event()).await;
                if let Ok(harness::Event::Message(publish)) = event {
                    seen.push(publish.message.text());
                }
            }
            session = subscriber.vanish().await;
        }
        let mut subscriber = automatic(site, version, session).await;
        while let Some(publish) = subscriber.recv_within(harness::SILENCE).await {
            seen.push(publish.message.text());
        }
        let expected: Vec<String> = (0..16).map(|number| number.to_string()).collect();
        assert_eq!(seen, expected);
    }

    /// [MQTT-4.3.3-11] PUBREL is always answered.
    /// [MQTT-3.7.2-1]
    async fn a_pubrel_without_publish_is_answered(site) {
        let packet_id = PacketId::new(77).unwrap();
        let mut client = site.client("stray").await;
        client.send(&Packet::PubRel(ack(packet_id))).await;
        let expected = Ack::new(packet_id, ReasonCode::PacketIdentifierNotFound);
        assert_eq!(client.packet().await, Some(Packet::PubComp(expected)));
        let mut old = site.builder("old").version(ProtocolVersion::V3_1_1).connect().await;
        old.send(&Packet::PubRel(ack(packet_id))).await;
        assert_eq!(old.packet().await, Some(Packet::PubComp(ack(packet_id))));
    }

    /// Acknowledgements of what was never sent do no harm.
    async fn stray_acknowledgements_are_harmless(site) {
        let packet_id = PacketId::new(500).unwrap();
        let mut client = site.builder("stray").version(ProtocolVersion::V3_1_1).connect().await;
        client.send(&Packet::PubAck(ack(packet_id))).await;
        client.send(&Packet::PubComp(ack(packet_id))).await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.publish("a", "x", Qos::AtLeastOnce).await;
        assert_eq!(client.recv().await.message.text(), "x");
    }

    /// Section 4.3.3: A PUBREC with an error ends the handshake.
    async fn a_refused_qos_2_message_is_not_released(site) {
        let mut subscriber = manual(site, ProtocolVersion::V5, Session::default()).await;
        subscriber.subscribe("r", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        publisher.publish("r", "first", Qos::ExactlyOnce).await;
        let publish = publish_packet(&mut subscriber).await;
        let refusal = Ack::new(publish.packet_id.unwrap(), ReasonCode::QuotaExceeded);
        subscriber.send(&Packet::PubRec(refusal)).await;
        publisher.publish("r", "second", Qos::ExactlyOnce).await;
        assert_eq!(publish_packet(&mut subscriber).await.message.text(), "second");
    }

    /// A client that has become smaller still owes PUBCOMP for what it has received.
    async fn pubrel_is_owed_whatever_the_size_of_its_message(site) {
        let mut large = manual(site, ProtocolVersion::V5, Session::default()).await;
        large.subscribe("r", Qos::ExactlyOnce).await;
        site.client("publisher").await.publish("r", vec![b'x'; 500], Qos::ExactlyOnce).await;
        let packet_id = publish_packet(&mut large).await.packet_id.unwrap();
        large.send(&Packet::PubRec(ack(packet_id))).await;
        assert_eq!(pubrel_packet(&mut large).await.packet_id, packet_id);
        large.vanish().await;
        let builder = site.builder("subscriber").persistent(1000).manual();
        let mut small = builder.maximum_packet_size(100).connect().await;
        assert_eq!(pubrel_packet(&mut small).await.packet_id, packet_id);
    }
}
