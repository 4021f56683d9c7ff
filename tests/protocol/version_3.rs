//! What MQTT 3.1.1 and 3.1 say in their own words, beside what all versions share.

use harness::{Client, MessageExt as _, Site, everywhere, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter};

use crate::{
    QOS, Raw,
    wire::{connect, field, frame},
};

const OLD: [ProtocolVersion; 2] = [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1];

async fn client(site: &Site, version: ProtocolVersion, name: &str) -> Client {
    site.builder(name).version(version).connect().await
}

/// What a new subscriber is sent of `topic`: payload and RETAIN.
async fn retained(site: &Site, version: ProtocolVersion, topic: &str) -> Option<(String, bool)> {
    let mut late = client(site, version, "late").await;
    late.subscribe(topic, Qos::ExactlyOnce).await;
    let publish = late.recv_within(harness::SILENCE).await;
    late.disconnect().await;
    publish.map(|publish| (publish.message.text(), publish.message.retain))
}

everywhere! {
    /// [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT3-3.2.2-1] [MQTT3-3.2.2-2] [MQTT3-3.2.2-3]
    async fn session_present_says_whether_there_was_a_session(site) {
        let address = || site.address();
        let id = field(b"id");
        for (version, code) in [
            (ProtocolVersion::V3_1, 0),
            (ProtocolVersion::V3_1_1, 1),
            (ProtocolVersion::V5, 1),
        ] {
            // In MQTT 5 a session stays only if it is told to.
            let keep: &[u8] = match version {
                ProtocolVersion::V5 => b"\x11\x00\x00\x00\x64",
                _ => &[],
            };
            let mut flags = Vec::new();
            for clean in [2, 0, 0, 2, 0] {
                let mut raw = Raw::connect(address()).await;
                raw.send(&crate::wire::connect_with(version, clean, keep, &id)).await;
                let connack = raw.packet().await;
                assert_eq!(connack[3], 0, "accepted");
                flags.push(connack[2]);
                raw.send(b"\xe0\x00").await;
                raw.rest().await;
            }
            // A Clean Session of MQTT 3 leaves nothing behind; a Clean Start of MQTT 5 does.
            let after_clean = u8::from(version == ProtocolVersion::V5);
            assert_eq!(flags, [0, after_clean, code, 0, after_clean], "{version}");
            site.client("id").await.disconnect().await;
        }
    }

    /// The last one counts, RETAIN says whether the subscription was there before.
    /// [MQTT3-3.1.2-7] [MQTT3-3.3.1-5] [MQTT3-3.3.1-6] [MQTT3-3.3.1-7] [MQTT3-3.3.1-8]
    /// [MQTT3-3.3.1-9] [MQTT3-3.3.1-10] [MQTT3-3.3.1-11] [MQTT3-3.3.1-12]
    async fn a_retained_message_is_kept_replaced_and_removed(site) {
        for version in OLD {
            let topic = format!("r/{}", version.level());
            let mut meter = client(site, version, "meter").await;
            let mut present = client(site, version, "present").await;
            present.subscribe(&topic, Qos::ExactlyOnce).await;
            for qos in QOS {
                let text = format!("{qos:?}");
                meter.publish_message(message(&topic, text.clone(), qos).retained()).await;
                let publish = present.recv().await;
                assert_eq!((publish.message.text(), publish.message.retain), (text.clone(), false));
                assert_eq!(retained(site, version, &topic).await, Some((text.clone(), true)));
                meter.publish(&topic, "passing", qos).await;
                assert_eq!(present.recv().await.message.text(), "passing");
                assert_eq!(retained(site, version, &topic).await, Some((text, true)));
            }
            // It belongs to no session.
            meter.disconnect().await;
            assert!(retained(site, version, &topic).await.is_some());
            let mut meter = client(site, version, "meter").await;
            meter.publish_message(message(&topic, "", Qos::AtLeastOnce).retained()).await;
            let publish = present.recv().await;
            assert_eq!((publish.message.text().as_str(), publish.message.retain), ("", false));
            assert_eq!(retained(site, version, &topic).await, None);
            meter.disconnect().await;
            present.disconnect().await;
        }
    }

    /// Another SUBSCRIBE with the same filter replaces the QoS and brings retained messages again.
    /// [MQTT3-3.8.4-3]
    async fn a_repeated_subscription_replaces_the_first(site) {
        for version in OLD {
            let topic = format!("s/{}", version.level());
            let kept = message(&topic, "kept", Qos::ExactlyOnce).retained();
            let mut publisher = client(site, version, "publisher").await;
            publisher.publish_message(kept).await;
            let mut subscriber = client(site, version, "subscriber").await;
            for qos in [Qos::AtMostOnce, Qos::ExactlyOnce, Qos::AtLeastOnce] {
                subscriber.subscribe(&topic, qos).await;
                let publish = subscriber.recv().await;
                assert_eq!((publish.message.text().as_str(), publish.message.retain), ("kept", true));
                publisher.publish(&topic, "live", Qos::ExactlyOnce).await;
                let publish = subscriber.recv().await;
                assert_eq!((publish.message.text().as_str(), publish.message.qos), ("live", qos));
                subscriber.assert_silent().await;
            }
            publisher.disconnect().await;
            subscriber.disconnect().await;
        }
    }

    /// UNSUBSCRIBE compares letter by letter, takes many filters, and is answered in any case.
    /// [MQTT3-3.10.4-1] [MQTT3-3.10.4-4] [MQTT3-3.10.4-6]
    async fn unsubscribe_removes_the_same_filters_and_no_others(site) {
        for version in OLD {
            let mut subscriber = client(site, version, "subscriber").await;
            for filter in ["a/+", "b", "c"] {
                subscriber.subscribe(filter, Qos::AtLeastOnce).await;
            }
            for filter in ["a/b", "a/#", "+/+", "A/+", "B"] {
                subscriber.unsubscribe(filter).await;
            }
            let mut publisher = client(site, version, "publisher").await;
            for topic in ["a/b", "b", "c"] {
                publisher.publish(topic, topic, Qos::AtLeastOnce).await;
            }
            assert_eq!(subscriber.recv_texts(3).await, ["a/b", "b", "c"]);
            let filters = ["a/+", "nothing", "c"].map(|filter| TopicFilter::new(filter).unwrap());
            let packet_id = mqtt::PacketId::new(77).unwrap();
            subscriber.send(&mqtt::Packet::Unsubscribe(mqtt::Unsubscribe {
                packet_id,
                user_properties: vec![],
                filters: filters.to_vec(),
            })).await;
            match subscriber.packet().await {
                Some(mqtt::Packet::UnsubAck(ack)) => assert_eq!(ack.packet_id, packet_id),
                other => panic!("expected UNSUBACK, got {other:?}"),
            }
            for topic in ["a/b", "b", "c"] {
                publisher.publish(topic, topic, Qos::AtLeastOnce).await;
            }
            assert_eq!(subscriber.recv_texts(1).await, ["b"]);
            subscriber.assert_silent().await;
            subscriber.disconnect().await;
            publisher.disconnect().await;
        }
    }

    /// MQTT 3 has one code for a filter that is refused, and the others are not touched by it.
    /// [MQTT3-3.8.4-5] [MQTT3-3.9.3-2]
    async fn a_filter_that_is_refused_has_the_code_0x80(site) {
        let deep = ["l"; 1000].join("/");
        for version in OLD {
            let mut subscriber = client(site, version, "subscriber").await;
            let subscriptions = ["a", &deep, "b"].map(|filter| Subscription {
                filter: TopicFilter::new(filter).unwrap(),
                options: SubscriptionOptions { qos: Qos::AtLeastOnce, ..Default::default() },
            });
            let codes = subscriber.subscribe_all(subscriptions.to_vec(), None).await;
            let (one, no) = (ReasonCode::GrantedQos1, ReasonCode::UnspecifiedError);
            assert_eq!(codes, [one, no, one]);
            let mut publisher = client(site, version, "publisher").await;
            for topic in ["a", "b"] {
                publisher.publish(topic, topic, Qos::AtLeastOnce).await;
            }
            assert_eq!(subscriber.recv_texts(2).await, ["a", "b"]);
            subscriber.disconnect().await;
        }
    }

    /// MQTT 3.1, sections 3.6, 3.8 and 3.10: these packets may come again with DUP.
    async fn mqtt_3_1_repeats_pubrel_subscribe_and_unsubscribe_with_dup(site) {
        let version = ProtocolVersion::V3_1;
        let mut raw = Raw::connected(site.address(), version, "old").await;
        for first in [0x82, 0x8A] {
            raw.send(&frame(first, &[b"\0\x07", &field(b"t"), b"\x01"])).await;
            assert_eq!(raw.packet().await, b"\x90\x03\x00\x07\x01");
        }
        for first in [0x62, 0x6A] {
            raw.send(&frame(first, &[b"\0\x08"])).await;
            assert_eq!(raw.packet().await, b"\x70\x02\x00\x08");
        }
        for first in [0xA2, 0xAA] {
            raw.send(&frame(first, &[b"\0\x09", &field(b"t")])).await;
            assert_eq!(raw.packet().await, b"\xb0\x02\x00\x09");
        }
        // In 3.1.1 these bits are reserved.
        let mut raw = Raw::connected(site.address(), ProtocolVersion::V3_1_1, "new").await;
        raw.send(b"\x6a\x02\x00\x08").await;
        assert_eq!(raw.rest().await, b"");
    }

    /// MQTT 3.1, section 3.1: the Remaining Length counts more than the flags of the user name and
    /// the password; unused bits have no meaning.
    async fn mqtt_3_1_may_leave_out_user_name_and_password(site) {
        let version = ProtocolVersion::V3_1;
        let id = field(b"old");
        let named = [&id[..], &field(b"u")].concat();
        for (flags, payload) in [(0x82, &id), (0xC2, &id), (0xC2, &named), (0x3B, &id)] {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&connect(version, flags, payload)).await;
            assert_eq!(raw.packet().await, [0x20, 2, 0, 0], "flags {flags:02x}");
            raw.send(b"\xe0\x00").await;
            raw.rest().await;
        }
    }

    /// MQTT 3.1, section 3.1: its name is `MQIsdp` and its level 3, and none goes without the other.
    async fn name_and_level_of_mqtt_3_1_belong_together(site) {
        for (name, level) in [("MQIsdp", 4), ("MQIsdp", 5), ("MQTT", 3), ("mqisdp", 3), ("MQIsdp", 0x83)] {
            let mut raw = Raw::connect(site.address()).await;
            let rest = [level, 2, 0, 60];
            raw.send(&frame(0x10, &[&field(name.as_bytes()), &rest, &field(b"id")])).await;
            assert_eq!(raw.rest().await, [0x20, 2, 0, 1], "{name} {level}");
        }
    }

    /// MQTT 3 has no way to refuse a message: a publisher that may not is closed.
    /// [MQTT3-3.3.5-2]
    async fn a_publish_that_is_not_allowed_closes_the_connection(site, "mqtt.maximum_qos=1") {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("#", Qos::AtLeastOnce).await;
        for version in OLD {
            let mut publisher = client(site, version, "publisher").await;
            publisher.publish("t", "allowed", Qos::AtLeastOnce).await;
            publisher.start(message("t", "not allowed", Qos::ExactlyOnce)).await;
            assert_eq!(publisher.closed().await, None);
            assert_eq!(watcher.recv_texts(1).await, ["allowed"]);
        }
        watcher.assert_silent().await;
    }
}
