//! SUBSCRIBE and topic filters (sections 3.8, 3.9, 4.7).

use std::collections::BTreeSet;

use harness::{MessageExt as _, everywhere, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter};

fn options(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..Default::default()
    }
}

everywhere! {
    /// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-4]
    /// [MQTT-3.3.2-3] [MQTT3-3.3.2-3] [MQTT3-3.8.3-2] [MQTT3-4.7.1-2] [MQTT3-4.7.1-3]
    /// [MQTT3-4.7.3-4]
    async fn filters_match_as_specified(site) {
        let table: &[(&str, &[&str])] = &[
            ("a/b", &["a/b"]),
            ("a/+", &["a/b", "a/"]),
            ("+/b", &["A/b", "a/b", "/b"]),
            ("a/#", &["a", "a/", "a/b", "a/b/c", "a//c"]),
            ("+/+", &["/", "/b", "A/b", "a/", "a/b", "日本/é"]),
            ("#", &["/", "/b", "A/b", "a", "a/", "a//c", "a/b", "a/b/c", "a b", "日本/é"]),
            ("+", &["a", "a b"]),
            ("/+", &["/", "/b"]),
            ("a/+/c", &["a//c", "a/b/c"]),
            ("+/#", &["/", "/b", "A/b", "a", "a/", "a//c", "a/b", "a/b/c", "a b", "日本/é"]),
            ("日本/+", &["日本/é"]),
            ("+/é", &["日本/é"]),
            ("$app/#", &["$app", "$app/x"]),
            ("$app/+", &["$app/x"]),
            ("$app", &["$app"]),
            ("+/x", &[]),
            ("a b", &["a b"]),
            ("b", &[]),
        ];
        for version in crate::VERSIONS {
            let mut subscribers = Vec::new();
            for (index, (filter, _)) in table.iter().enumerate() {
                let name = format!("s{index}");
                let mut client = site.builder(&name).version(version).connect().await;
                client.subscribe(filter, Qos::AtLeastOnce).await;
                client.subscribe("end", Qos::AtLeastOnce).await;
                subscribers.push(client);
            }
            let mut publisher = site.builder("publisher").version(version).connect().await;
            let topics = [
                "/", "/b", "A/b", "a", "a/", "a//c", "a/b", "a/b/c", "a b", "日本/é", "$app", "$app/x",
            ];
            for topic in topics {
                publisher.publish(topic, topic, Qos::AtLeastOnce).await;
            }
            publisher.publish("end", "end", Qos::AtLeastOnce).await;
            for (client, (filter, expected)) in subscribers.iter_mut().zip(table) {
                let mut seen = BTreeSet::new();
                loop {
                    let text = client.recv().await.message.text();
                    if text == "end" {
                        break;
                    }
                    assert!(seen.insert(text), "{filter}");
                }
                let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
                assert_eq!(seen, expected, "{filter}");
            }
        }
    }

    /// [MQTT-4.7.2-1]
    /// [MQTT3-4.7.2-1]
    async fn a_leading_wildcard_does_not_match_dollar_topics(site) {
        for version in crate::VERSIONS {
            let mut client = site.builder("subscriber").version(version).connect().await;
            client.subscribe("#", Qos::AtLeastOnce).await;
            client.subscribe("+/x", Qos::AtLeastOnce).await;
            let mut publisher = site.client("publisher").await;
            publisher.publish("$app/x", "hidden", Qos::AtLeastOnce).await;
            client.assert_silent().await;
            client.subscribe("$app/+", Qos::AtLeastOnce).await;
            publisher.publish("$app/x", "seen", Qos::AtLeastOnce).await;
            assert_eq!(client.recv_texts(1).await, ["seen"]);
        }
    }

    /// [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] One reason code for each filter, in order.
    /// [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT3-3.8.4-4] [MQTT3-3.8.4-5] [MQTT3-3.9.3-1]
    async fn a_subscribe_with_many_filters_is_answered_in_order(site) {
        for version in crate::VERSIONS {
            let mut client = site.builder("many").version(version).connect().await;
            let qos = [Qos::ExactlyOnce, Qos::AtMostOnce, Qos::AtLeastOnce];
            let subscriptions: Vec<Subscription> = (0..30)
                .map(|number| Subscription {
                    filter: TopicFilter::new(format!("f/{number}")).unwrap(),
                    options: options(qos[number % 3]),
                })
                .collect();
            let reasons = client.subscribe_all(subscriptions, None).await;
            let granted: Vec<u8> = reasons.iter().map(|reason| reason.as_u8()).collect();
            let expected: Vec<u8> = (0..30).map(|number| qos[number % 3].as_u8()).collect();
            assert_eq!(granted, expected);
            let mut publisher = site.client("publisher").await;
            for number in 0..30 {
                publisher.publish(&format!("f/{number}"), number.to_string(), Qos::AtMostOnce).await;
            }
            let expected: Vec<String> = (0..30).map(|number| number.to_string()).collect();
            assert_eq!(client.recv_texts(30).await, expected);
        }
    }

    /// [MQTT-3.8.4-3] A second SUBSCRIBE with the same filter replaces the first.
    async fn a_repeated_subscription_replaces_the_first(site) {
        let mut client = site.client("subscriber").await;
        let mut publisher = site.client("publisher").await;
        for qos in [Qos::AtMostOnce, Qos::ExactlyOnce, Qos::AtLeastOnce] {
            client.subscribe_with("t/#", options(qos), Some(1 + u32::from(qos.as_u8()))).await;
            publisher.publish("t/x", "x", Qos::ExactlyOnce).await;
            let publish = client.recv().await;
            assert_eq!(publish.message.qos, qos);
            assert_eq!(publish.subscription_identifiers, [1 + u32::from(qos.as_u8())]);
            client.assert_silent().await;
        }
    }

    /// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] One copy with all identifiers.
    /// [MQTT-3.3.4-5]
    async fn overlapping_subscriptions_deliver_all_identifiers(site) {
        let mut publisher = site.client("publisher").await;
        let levels = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
        // Whichever of them has the highest QoS.
        for turn in 0..3 {
            let mut client = site.client("subscriber").await;
            for (index, filter) in ["a/b", "a/+", "#"].into_iter().enumerate() {
                let identifier = u32::try_from(index + 1).unwrap() * 1000;
                let options = options(levels[(index + turn) % 3]);
                client.subscribe_with(filter, options, Some(identifier)).await;
            }
            publisher.publish("a/b", "x", Qos::ExactlyOnce).await;
            let publish = client.recv().await;
            let mut identifiers = publish.subscription_identifiers;
            identifiers.sort_unstable();
            assert_eq!(identifiers, [1000, 2000, 3000]);
            assert_eq!(publish.message.qos, Qos::ExactlyOnce, "[MQTT-3.3.4-2]");
            client.assert_silent().await; // one copy
            publisher.publish("c", "x", Qos::ExactlyOnce).await;
            assert_eq!(client.recv().await.subscription_identifiers, [3000]);
        }
    }

    /// [MQTT3-3.3.5-1] MQTT 3.1.1: the highest QoS of all matching subscriptions is respected.
    async fn overlapping_subscriptions_deliver_the_highest_qos_in_mqtt_3(site) {
        for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1] {
            for (one, other) in [("a/b", "a/#"), ("a/#", "a/b")] {
                let mut client = site.builder("old").version(version).connect().await;
                client.subscribe(one, Qos::AtMostOnce).await;
                client.subscribe(other, Qos::ExactlyOnce).await;
                site.client("publisher").await.publish("a/b", "x", Qos::ExactlyOnce).await;
                assert_eq!(client.recv().await.message.qos, Qos::ExactlyOnce);
                client.assert_silent().await;
            }
        }
    }

    /// The largest identifier is 268 435 455.
    async fn a_large_subscription_identifier_comes_back(site) {
        let mut client = site.client("subscriber").await;
        client.subscribe_with("t", options(Qos::AtLeastOnce), Some(268_435_455)).await;
        site.client("publisher").await.publish("t", "x", Qos::AtLeastOnce).await;
        assert_eq!(client.recv().await.subscription_identifiers, [268_435_455]);
    }

    /// [MQTT-3.8.3-3]
    async fn no_local_keeps_own_messages_away(site) {
        let mut client = site.client("both").await;
        let no_local = SubscriptionOptions { no_local: true, ..options(Qos::AtLeastOnce) };
        client.subscribe_with("t", no_local, None).await;
        client.publish("t", "own", Qos::AtLeastOnce).await;
        client.assert_silent().await;
        site.client("other").await.publish("t", "other", Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["other"]);
        client.subscribe_with("t", options(Qos::AtLeastOnce), None).await;
        client.publish("t", "own", Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["own"]);
    }

    /// [MQTT-3.8.3-4]
    async fn no_local_on_a_shared_subscription_is_a_protocol_error(site) {
        let mut client = site.client("member").await;
        client.send_bytes(b"\x82\x10\x00\x01\x00\x00\x0a$share/g/t\x05").await;
        client.closed_with(ReasonCode::ProtocolError).await;
    }

    /// G3: whoever has the SUBACK misses nothing.
    async fn a_message_after_suback_is_never_missed(site) {
        let mut subscriber = site.client("subscriber").await;
        let mut publisher = site.client("publisher").await;
        for number in 0..100 {
            let topic = format!("fresh/{number}");
            subscriber.subscribe(&topic, Qos::AtMostOnce).await;
            publisher.publish(&topic, number.to_string(), Qos::AtMostOnce).await;
            assert_eq!(subscriber.recv_texts(1).await, [number.to_string()]);
        }
    }

    /// [MQTT-4.7.3-3] Long topics and many levels.
    /// [MQTT3-4.7.3-3]
    async fn long_and_deep_topics_work(site) {
        let long = "x".repeat(65_535);
        let deep = vec!["l"; 100].join("/");
        for version in crate::VERSIONS {
            let mut subscriber = site.builder("subscriber").version(version).connect().await;
            subscriber.subscribe(&long, Qos::AtLeastOnce).await;
            subscriber.subscribe(&deep, Qos::AtLeastOnce).await;
            let mut publisher = site.builder("publisher").version(version).connect().await;
            for topic in [&long, &deep] {
                publisher.publish(topic, "x", Qos::AtLeastOnce).await;
                assert_eq!(subscriber.recv().await.message.topic_name, **topic);
            }
            subscriber.disconnect().await;
        }
    }

    /// A message that expires and one with a format indicator reach an MQTT 3 client, too.
    async fn mqtt_3_clients_hear_messages_with_properties(site) {
        let mut old = site.builder("old").version(ProtocolVersion::V3_1).connect().await;
        old.subscribe("t", Qos::AtLeastOnce).await;
        let sent = message("t", "x", Qos::AtLeastOnce).expiring(100);
        site.client("publisher").await.publish_message(sent).await;
        assert_eq!(old.recv_texts(1).await, ["x"]);
    }

    /// [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.10.4-5] [MQTT3-2.3.1-7] [MQTT3-3.8.4-1]
    /// [MQTT3-3.8.4-2] [MQTT3-3.10.4-5]
    async fn suback_and_unsuback_have_the_identifier_of_their_packet(site) {
        for version in crate::VERSIONS {
            let mut client = site.builder("client").version(version).connect().await;
            for number in [65_535, 1, 300] {
                let packet_id = mqtt::PacketId::new(number).unwrap();
                let filter = TopicFilter::new("t").unwrap();
                let subscription = Subscription { filter: filter.clone(), options: options(Qos::AtMostOnce) };
                client.send(&mqtt::Packet::Subscribe(mqtt::Subscribe {
                    packet_id,
                    subscription_identifier: None,
                    user_properties: vec![],
                    subscriptions: vec![subscription],
                })).await;
                match client.packet().await {
                    Some(mqtt::Packet::SubAck(ack)) => assert_eq!(ack.packet_id, packet_id),
                    other => panic!("expected SUBACK, got {other:?}"),
                }
                // Once with and once without anything to delete.
                for _ in 0..2 {
                    client.send(&mqtt::Packet::Unsubscribe(mqtt::Unsubscribe {
                        packet_id,
                        user_properties: vec![],
                        filters: vec![filter.clone()],
                    })).await;
                    match client.packet().await {
                        Some(mqtt::Packet::UnsubAck(ack)) => assert_eq!(ack.packet_id, packet_id),
                        other => panic!("expected UNSUBACK, got {other:?}"),
                    }
                }
            }
            client.disconnect().await;
        }
    }

    /// Messages that come while a subscription is replaced are neither lost nor doubled.
    /// [MQTT-3.8.4-4] [MQTT3-3.8.4-3]
    async fn replacing_a_subscription_does_not_interrupt_the_flow(site) {
        for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
            let mut client = site.builder("client").version(version).connect().await;
            client.subscribe("t", Qos::ExactlyOnce).await;
            let mut publisher = site.client("publisher").await;
            for round in 0..20 {
                for number in 0..10 {
                    let text = (round * 10 + number).to_string();
                    publisher.start(message("t", text, Qos::ExactlyOnce)).await;
                }
                client.subscribe("t", Qos::ExactlyOnce).await;
            }
            publisher.settle().await;
            let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
            assert_eq!(client.recv_texts(200).await, expected);
            client.assert_silent().await;
            client.disconnect().await;
        }
    }
}
