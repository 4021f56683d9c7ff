//! Topic aliases (sections 3.3.2.3.4, 3.1.2.11.5, 3.2.2.3.8).

use std::num::NonZeroU16;

use harness::{Client, MessageExt as _, everywhere, message};
use mqtt::{Packet, Qos, ReasonCode, TopicName};

async fn publish(client: &mut Client, topic: &str, alias: u16, qos: Qos) {
    let mut publish = client.make_publish(message("x", topic.to_owned(), qos));
    publish.topic_alias = NonZeroU16::new(alias);
    publish.message.topic_name = if topic.is_empty() {
        TopicName::empty()
    } else {
        TopicName::new(topic).unwrap()
    };
    client.send(&Packet::Publish(publish)).await;
}

everywhere! {
    /// [MQTT-3.3.2-12] An alias stands for its topic until it is given to another.
    async fn an_alias_of_the_client_stands_for_its_topic(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("#", Qos::AtLeastOnce).await;
        let mut publisher = site.client("publisher").await;
        let maximum = publisher.connack.properties.topic_alias_maximum.unwrap_or(0);
        assert!(maximum >= 2, "the server takes {maximum} aliases");
        for (topic, alias, expected) in [
            ("a", 1, "a"), ("", 1, "a"), ("b", 2, "b"), ("", 1, "a"), ("", 2, "b"),
            ("c", 1, "c"), ("", 1, "c"), ("", 2, "b"), ("d", maximum, "d"), ("", maximum, "d"),
        ] {
            for qos in crate::QOS {
                publish(&mut publisher, topic, alias, qos).await;
                let topic_name = subscriber.recv().await.message.topic_name;
                assert_eq!(topic_name, expected);
            }
        }
    }

    /// [MQTT-3.3.2-9] [MQTT-3.3.2-8]
    /// [MQTT-3.2.2-17]
    async fn an_alias_above_the_maximum_is_refused(site, "mqtt.server_topic_alias_maximum=5") {
        let mut publisher = site.client("publisher").await;
        publish(&mut publisher, "a", 5, Qos::AtMostOnce).await;
        publisher.ping().await;
        publish(&mut publisher, "a", 6, Qos::AtMostOnce).await;
        publisher.closed_with(ReasonCode::TopicAliasInvalid).await;
    }

    /// [MQTT-3.3.2-8]
    async fn alias_0_is_refused(site) {
        let mut publisher = site.client("publisher").await;
        publisher.send_bytes(b"\x30\x08\x00\x01a\x03\x23\x00\x00x").await;
        publisher.closed_with(ReasonCode::TopicAliasInvalid).await;
    }

    /// [MQTT-3.3.2-7] An alias means nothing on another connection.
    async fn an_alias_ends_with_its_connection(site) {
        let mut publisher = site.builder("publisher").persistent(100).connect().await;
        publish(&mut publisher, "a", 1, Qos::AtMostOnce).await;
        publisher.ping().await;
        publisher.vanish().await;
        let mut publisher = site.builder("publisher").persistent(100).connect().await;
        publish(&mut publisher, "", 1, Qos::AtMostOnce).await;
        publisher.closed_with(ReasonCode::ProtocolError).await;
    }

    /// [MQTT-3.1.2-26] [MQTT-3.1.2-27] The server uses aliases only as far as the client allows;
    /// the client of the harness checks that and resolves them.
    /// [MQTT-3.3.2-11]
    async fn aliases_of_the_server_resolve(site) {
        for maximum in [0, 1, 3] {
            let mut subscriber = site.builder("subscriber").with(|connect| {
                connect.properties.topic_alias_maximum = Some(maximum);
            }).connect().await;
            subscriber.subscribe("t/#", Qos::AtLeastOnce).await;
            let mut publisher = site.client("publisher").await;
            for round in 0..3 {
                for topic in ["t/a", "t/b", "t/c", "t/d"] {
                    publisher.publish(topic, topic, crate::QOS[round]).await;
                    let publish = subscriber.recv().await;
                    assert_eq!(publish.message.topic_name, *publish.message.text());
                }
            }
        }
    }

    /// [MQTT-3.2.2-18]
    async fn no_alias_is_accepted_where_none_is_allowed(site, "mqtt.server_topic_alias_maximum=0") {
        let mut publisher = site.client("publisher").await;
        assert_eq!(publisher.connack.properties.topic_alias_maximum.unwrap_or(0), 0);
        publish(&mut publisher, "a", 1, Qos::AtMostOnce).await;
        publisher.closed_with(ReasonCode::TopicAliasInvalid).await;
    }
}
