//! Sessions that outlive their connection (sections 3.1.2.4, 3.1.2.11.2, 4.1).

use std::time::Duration;

use harness::{Client, MessageExt as _, Site, everywhere, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode};

use crate::VERSIONS;

async fn subscriber(site: &Site, expiry_interval: u32) -> Client {
    site.builder("subscriber")
        .persistent(expiry_interval)
        .connect()
        .await
}

everywhere! {
    /// [MQTT-3.1.2-5] [MQTT-3.2.2-3] Subscriptions and messages wait, in order.
    /// [MQTT-3.1.2-6] [MQTT-4.5.0-1] [MQTT3-3.1.2-4] [MQTT3-3.1.2-5] [MQTT3-4.1.0-1]
    /// [MQTT3-4.5.0-1]
    async fn messages_wait_for_an_absent_subscriber_in_order(site) {
        for version in VERSIONS {
            let id = format!("subscriber-{}", version.level());
            let connect = || site.builder(&id).version(version).persistent(1000);
            let mut subscriber = connect().connect().await;
            assert!(!subscriber.session_present());
            subscriber.subscribe("one", Qos::AtLeastOnce).await;
            subscriber.subscribe("two", Qos::ExactlyOnce).await;
            subscriber.disconnect().await;
            let mut publisher = site.client("publisher").await;
            for number in 0..100 {
                publisher.start(message("one", number.to_string(), Qos::AtLeastOnce)).await;
            }
            for number in 100..200 {
                publisher.start(message("two", number.to_string(), Qos::ExactlyOnce)).await;
            }
            publisher.settle().await;
            let mut subscriber = connect().connect().await;
            // MQTT 3.1 has no such flag.
            assert_eq!(subscriber.session_present(), version != ProtocolVersion::V3_1);
            let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
            let mut texts = subscriber.recv_texts(200).await;
            let (one, two) = (expected[..100].to_vec(), expected[100..].to_vec());
            let of = |texts: &[String], from: usize| -> Vec<String> {
                let is_of = |text: &&String| (text.parse::<usize>().unwrap() < 100) == (from == 0);
                texts.iter().filter(is_of).cloned().collect()
            };
            assert_eq!((of(&texts, 0), of(&texts, 1)), (one, two), "[MQTT-4.6.0-5]");
            // And the subscriptions are alive.
            publisher.publish("one", "live", Qos::AtLeastOnce).await;
            texts = subscriber.recv_texts(1).await;
            assert_eq!(texts, ["live"]);
            subscriber.assert_silent().await;
            subscriber.disconnect().await;
        }
    }

    /// What was queued before and what comes meanwhile keep their order over the resumption.
    async fn a_resumed_session_goes_over_to_live_messages_in_order(site) {
        let mut client = subscriber(site, 1000).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        let mut session = client.vanish().await;
        let mut publisher = site.client("publisher").await;
        let mut next = 0;
        let mut seen = Vec::new();
        for _ in 0..6 {
            for _ in 0..50 {
                publisher.start(message("t", next.to_string(), Qos::AtLeastOnce)).await;
                next += 1;
            }
            let builder = site.builder("subscriber").persistent(1000).resume(session);
            let mut client = builder.connect().await;
            for _ in 0..20 {
                publisher.start(message("t", next.to_string(), Qos::AtLeastOnce)).await;
                next += 1;
            }
            publisher.settle().await;
            for _ in 0..40 {
                let publish = client.recv().await;
                seen.push(publish.message.text().parse::<u32>().unwrap());
            }
            seen.extend(client.take_inbox().iter().map(|p| p.message.text().parse::<u32>().unwrap()));
            session = client.vanish().await;
        }
        let builder = site.builder("subscriber").persistent(1000).resume(session);
        let mut client = builder.connect().await;
        while let Some(publish) = client.recv_within(harness::SILENCE).await {
            seen.push(publish.message.text().parse().unwrap());
        }
        // At least once: a number may come again, but never one is left out.
        let mut expected = 0;
        for number in &seen {
            assert!(*number <= expected, "{number} came before {expected}");
            expected = expected.max(number + 1);
        }
        assert_eq!(expected, next, "all have come");
    }

    /// [MQTT-3.1.2-4] [MQTT-3.2.2-2]
    /// [MQTT-3.1.4-4]
    async fn clean_start_discards_the_session(site) {
        let mut client = subscriber(site, 1000).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.disconnect().await;
        let mut publisher = site.client("publisher").await;
        publisher.publish("t", "lost", Qos::AtLeastOnce).await;
        let mut client = site.client("subscriber").await;
        assert!(!client.session_present());
        publisher.publish("t", "unheard", Qos::AtLeastOnce).await;
        client.assert_silent().await;
        client.disconnect().await;
        assert!(!subscriber(site, 1000).await.session_present());
    }

    /// [MQTT-3.1.2-23]
    async fn a_session_without_expiry_ends_with_the_connection(site) {
        for _ in 0..2 {
            let mut client = subscriber(site, 0).await;
            assert!(!client.session_present());
            client.subscribe("t", Qos::AtLeastOnce).await;
            client.vanish().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            site.client("publisher").await.publish("t", "lost", Qos::AtLeastOnce).await;
        }
        let mut client = subscriber(site, 0).await;
        client.assert_silent().await;
    }

    /// [MQTT3-3.1.2-6] Clean Session in MQTT 3 ends with the connection, without it never.
    /// [MQTT3-3.1.4-3]
    async fn clean_session_decides_in_mqtt_3(site) {
        for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1] {
            let connect = |clean| site.builder("old").version(version).clean_start(clean);
            let mut client = connect(true).connect().await;
            client.subscribe("t", Qos::AtLeastOnce).await;
            client.disconnect().await;
            let mut publisher = site.client("publisher").await;
            publisher.publish("t", "lost", Qos::AtLeastOnce).await;
            let mut client = connect(false).connect().await;
            assert!(!client.session_present());
            client.assert_silent().await;
            client.subscribe("t", Qos::AtLeastOnce).await;
            client.vanish().await;
            publisher.publish("t", "kept", Qos::AtLeastOnce).await;
            let mut client = connect(false).connect().await;
            assert_eq!(client.recv_texts(1).await, ["kept"]);
            client.disconnect().await;
            connect(true).connect().await.disconnect().await;
        }
    }

    /// Section 3.1.2.11.2: after its interval the session is gone.
    /// [MQTT-3.1.2-23] [MQTT-4.1.0-2]
    async fn a_session_expires_after_its_interval(site) {
        let mut client = subscriber(site, 1).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.vanish().await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let client = subscriber(site, 1).await;
        assert!(!client.session_present());
        client.vanish().await;
        assert!(subscriber(site, 1).await.session_present(), "but not before");
    }

    /// 0xFFFFFFFF: never.
    async fn a_session_can_stay_for_ever(site) {
        let mut client = subscriber(site, u32::MAX).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.disconnect().await;
        site.client("publisher").await.publish("t", "kept", Qos::AtLeastOnce).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut client = subscriber(site, u32::MAX).await;
        assert_eq!(client.recv_texts(1).await, ["kept"]);
    }

    /// Section 3.14.2.2.2: DISCONNECT may change the interval.
    async fn disconnect_may_shorten_and_lengthen_the_expiry(site) {
        let client = subscriber(site, 1000).await;
        client.disconnect_with(ReasonCode::Success, Some(0)).await;
        let client = subscriber(site, 1).await;
        assert!(!client.session_present(), "ended with the connection");
        client.disconnect_with(ReasonCode::Success, Some(1000)).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert!(subscriber(site, 0).await.session_present(), "did not end after a second");
    }

    /// Section 3.14.2.2.2: from 0 it cannot be raised.
    async fn disconnect_may_not_revive_a_session_without_expiry(site) {
        let mut client = subscriber(site, 0).await;
        client.send(&mqtt::Packet::Disconnect(mqtt::Disconnect {
            reason_code: ReasonCode::Success,
            properties: mqtt::DisconnectProperties {
                session_expiry_interval: Some(10),
                ..Default::default()
            },
        })).await;
        client.closed_with(ReasonCode::ProtocolError).await;
        assert!(!subscriber(site, 0).await.session_present());
    }

    /// [MQTT-4.4.0-1] What was acknowledged does not come again.
    async fn acknowledged_messages_do_not_come_again(site) {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut client = subscriber(site, 1000).await;
            client.subscribe("t", qos).await;
            let mut publisher = site.client("publisher").await;
            for number in 0..20 {
                publisher.publish("t", number.to_string(), qos).await;
            }
            client.recv_texts(20).await;
            client.ping().await; // the last acknowledgement is on its way
            client.ping().await;
            client.assert_silent().await;
            let session = client.vanish().await;
            let builder = site.builder("subscriber").persistent(1000).resume(session);
            let mut client = builder.connect().await;
            assert!(client.session_present());
            client.assert_silent().await;
            client.disconnect().await;
        }
    }

    /// What was changed while connected is what is kept.
    async fn subscriptions_are_kept_as_they_were_last(site) {
        let mut client = subscriber(site, 1000).await;
        client.subscribe("gone", Qos::AtLeastOnce).await;
        client.subscribe("lowered", Qos::ExactlyOnce).await;
        client.subscribe("lowered", Qos::AtLeastOnce).await;
        client.unsubscribe("gone").await;
        client.vanish().await;
        let mut publisher = site.client("publisher").await;
        publisher.publish("gone", "no", Qos::ExactlyOnce).await;
        publisher.publish("lowered", "yes", Qos::ExactlyOnce).await;
        let mut client = subscriber(site, 1000).await;
        let publish = client.recv().await;
        assert_eq!((publish.message.text().as_str(), publish.message.qos), ("yes", Qos::AtLeastOnce));
        publisher.publish("gone", "no", Qos::ExactlyOnce).await;
        publisher.publish("lowered", "live", Qos::ExactlyOnce).await;
        let publish = client.recv().await;
        assert_eq!((publish.message.text().as_str(), publish.message.qos), ("live", Qos::AtLeastOnce));
        client.assert_silent().await;
    }

    /// Subscription identifiers and options are part of the session.
    async fn subscription_identifiers_are_kept(site) {
        let options = mqtt::SubscriptionOptions {
            qos: Qos::AtLeastOnce, retain_as_published: true, no_local: true, ..Default::default()
        };
        let mut client = subscriber(site, 1000).await;
        client.subscribe_with("t", options, Some(42)).await;
        client.vanish().await;
        let mut publisher = site.client("publisher").await;
        for text in ["queued", "live"] {
            let sent = message("t", text, Qos::AtLeastOnce).retained();
            publisher.publish_message(sent).await;
            let mut client = subscriber(site, 1000).await;
            let publish = client.recv().await;
            assert_eq!(publish.message.text(), text);
            assert_eq!(publish.subscription_identifiers, [42]);
            assert!(publish.message.retain);
            client.publish("t", "own", Qos::AtLeastOnce).await;
            client.assert_silent().await;
            client.vanish().await;
        }
    }

    /// A session does not belong to a version of the protocol.
    async fn a_session_may_be_resumed_with_another_version(site) {
        for first in VERSIONS {
            for second in VERSIONS {
                let connect = |version| site.builder("mixed").version(version).persistent(1000);
                let mut client = connect(first).connect().await;
                client.subscribe("t", Qos::AtLeastOnce).await;
                client.disconnect().await;
                let mut publisher = site.client("publisher").await;
                publisher.publish("t", "kept", Qos::AtLeastOnce).await;
                let mut client = connect(second).connect().await;
                assert_eq!(client.recv_texts(1).await, ["kept"]);
                client.disconnect().await;
            }
        }
    }

    /// A large queue is more than one batch.
    async fn thousands_of_messages_wait(site) {
        let mut client = subscriber(site, 1000).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.disconnect().await;
        let mut publisher = site.client("publisher").await;
        for number in 0..3000 {
            publisher.start(message("t", number.to_string(), Qos::AtLeastOnce)).await;
        }
        publisher.settle().await;
        let mut client = subscriber(site, 1000).await;
        let expected: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
        assert_eq!(client.recv_texts(3000).await, expected);
        client.assert_silent().await;
    }

    /// The interval begins with the end of the connection.
    /// [MQTT-4.1.0-1] [MQTT3-4.1.0-2]
    async fn a_session_does_not_expire_while_connected(site) {
        let mut client = subscriber(site, 1).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        let mut old = site.builder("old").version(ProtocolVersion::V3_1_1).connect().await;
        old.subscribe("t", Qos::AtLeastOnce).await;
        tokio::time::sleep(Duration::from_millis(3500)).await;
        site.client("publisher").await.publish("t", "x", Qos::AtLeastOnce).await;
        for client in [&mut client, &mut old] {
            assert_eq!(client.recv_texts(1).await, ["x"]);
        }
        let session = client.vanish().await;
        let builder = site.builder("subscriber").persistent(1).resume(session);
        assert!(builder.connect().await.session_present());
    }
}
