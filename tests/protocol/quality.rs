//! QoS 0, 1 and 2 from one application to another (section 4.3, 4.6).

use bytes::Bytes;
use harness::{MessageExt as _, everywhere, message};
use mqtt::{MessageProperties, PropertyValues, ProtocolVersion, Qos, Str, TopicName};

use crate::{QOS, VERSIONS};

everywhere! {
    /// [MQTT-3.8.4-8] Every combination of versions and QoS arrives once, with the lower QoS.
    /// [MQTT-4.3.1-1] [MQTT3-3.8.4-6] [MQTT3-4.3.1-1]
    async fn a_message_arrives_with_the_lower_of_both_qos(site) {
        for sending in VERSIONS {
            for receiving in VERSIONS {
                let mut publisher = site.builder("publisher").version(sending).connect().await;
                let mut subscriber = site.builder("subscriber").version(receiving).connect().await;
                for granted in QOS {
                    let filter = format!("q/{}", granted.as_u8());
                    subscriber.subscribe(&filter, granted).await;
                    for published in QOS {
                        let text = format!("{published:?} to {granted:?}");
                        publisher.publish(&filter, text.clone(), published).await;
                        let publish = subscriber.recv().await;
                        assert_eq!(publish.message.text(), text);
                        assert_eq!(publish.message.topic_name, *filter);
                        assert_eq!(publish.message.qos, published.min(granted), "{text}");
                        assert!(!publish.dup, "[MQTT-3.3.1-3]");
                        assert!(!publish.message.retain, "[MQTT-3.3.1-12]");
                    }
                }
                subscriber.ping().await;
                subscriber.assert_silent().await;
            }
        }
    }

    /// A client hears itself, too.
    async fn a_publisher_receives_what_it_subscribes_to(site) {
        let mut client = site.client("echo").await;
        client.subscribe("echo/+", Qos::ExactlyOnce).await;
        for qos in QOS {
            client.publish("echo/x", "hello", qos).await;
            assert_eq!(client.recv().await.message.text(), "hello");
        }
    }

    /// Payloads are bytes: empty ones, and any value.
    async fn any_payload_arrives_unchanged(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("bytes", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        let all: Vec<u8> = (0..=255).collect();
        for payload in [&[][..], &[0], &all, &all.repeat(300)] {
            for qos in QOS {
                publisher.publish("bytes", payload.to_vec(), qos).await;
                assert_eq!(subscriber.recv().await.message.payload, payload);
            }
        }
    }

    /// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
    async fn properties_arrive_unchanged(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("p", Qos::AtLeastOnce).await;
        let mut old = site.builder("old").version(ProtocolVersion::V3_1_1).connect().await;
        old.subscribe("p", Qos::AtLeastOnce).await;
        let text = |text: &str| Str::new(text).unwrap();
        let mut sent = message("p", "x", Qos::AtLeastOnce);
        sent.properties = MessageProperties::from(PropertyValues {
            payload_format_indicator: Some(true),
            message_expiry_interval: None,
            content_type: Some(text("text/plain")),
            response_topic: Some(TopicName::new("answers/7").unwrap()),
            correlation_data: Some(Bytes::from_static(&[0, 255, 7])),
            user_properties: vec![
                (text("b"), text("1")),
                (text("a"), text("2")),
                (text("b"), text("3")),
                (text("empty"), text("")),
            ],
        });
        let mut publisher = site.client("publisher").await;
        publisher.publish_message(sent.clone()).await;
        let publish = subscriber.recv().await;
        assert_eq!(publish.message.properties, sent.properties);
        assert_eq!(old.recv().await.message.text(), "x");
    }

    /// [MQTT-4.6.0-5] [MQTT-4.6.0-6]
    /// [MQTT3-4.6.0-5] [MQTT3-4.6.0-6]
    async fn messages_of_one_publisher_arrive_in_order(site) {
        for version in [ProtocolVersion::V5, ProtocolVersion::V3_1_1] {
            let mut subscriber = site.builder("subscriber").version(version).connect().await;
            subscriber.subscribe("o/#", Qos::ExactlyOnce).await;
            let mut publisher = site.builder("publisher").version(version).connect().await;
            for qos in QOS {
                let topic = format!("o/{}", qos.as_u8());
                for number in 0..500 {
                    publisher.start(message(&topic, number.to_string(), qos)).await;
                }
                publisher.settle().await;
                let expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
                assert_eq!(subscriber.recv_texts(500).await, expected, "{qos:?}");
            }
            subscriber.assert_silent().await;
        }
    }

    /// One message, many subscribers, each once.
    /// [MQTT-4.5.0-1] [MQTT3-4.5.0-1]
    async fn every_subscriber_gets_a_copy(site) {
        let mut subscribers = Vec::new();
        for number in 0..20 {
            let mut client = site.client(&format!("s{number}")).await;
            client.subscribe("all", QOS[number % 3]).await;
            subscribers.push(client);
        }
        let mut publisher = site.client("publisher").await;
        for qos in QOS {
            publisher.publish("all", format!("{qos:?}"), qos).await;
        }
        for subscriber in &mut subscribers {
            assert_eq!(
                subscriber.recv_texts(3).await,
                ["AtMostOnce", "AtLeastOnce", "ExactlyOnce"]
            );
        }
        for subscriber in &mut subscribers[..3] {
            subscriber.assert_silent().await;
        }
    }

    /// The acknowledgement does not depend on anybody listening.
    async fn a_message_without_subscribers_is_acknowledged(site) {
        let mut publisher = site.client("publisher").await;
        for qos in QOS {
            publisher.publish("nobody/listens", "x", qos).await;
        }
        let mut old = site.builder("old").version(ProtocolVersion::V3_1).connect().await;
        for qos in QOS {
            old.publish("nobody/listens", "x", qos).await;
        }
    }
}
