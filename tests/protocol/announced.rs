//! What CONNACK says is not available here, and what becomes of who does it all the same (section
//! 3.2.2.3).

use harness::{Builder, Client, MessageExt as _, Site, everywhere, message};
use mqtt::{ConnAckProperties, ProtocolVersion, Qos, ReasonCode, SubscriptionOptions};

const MQTT_3: [ProtocolVersion; 2] = [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1];

async fn granted(client: &mut Client, filter: &str, identifier: Option<u32>) -> ReasonCode {
    let options = SubscriptionOptions::default();
    client.subscribe_with(filter, options, identifier).await
}

/// Subscribes without waiting for an answer.
async fn ask(client: &mut Client, filter: &str, identifier: Option<u32>) {
    let packet_id = mqtt::PacketId::new(777).unwrap();
    let subscription = mqtt::Subscription {
        filter: mqtt::TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::default(),
    };
    let subscribe = mqtt::Subscribe {
        packet_id,
        subscription_identifier: identifier,
        user_properties: Vec::new(),
        subscriptions: vec![subscription],
    };
    client.send(&mqtt::Packet::Subscribe(subscribe)).await;
}

async fn properties(site: &Site) -> ConnAckProperties {
    *site.client("curious").await.connack.properties
}

async fn is_counted(site: &Site, reason: &str) {
    let label = format!("reason=\"{reason}\"");
    let count = site
        .metric("causeway_packets_malformed_total", &[&label])
        .await;
    assert!(count >= 1.0, "{reason} is not counted");
}

fn with_retained_will(builder: Builder) -> Builder {
    builder.will(message("w", "x", Qos::AtMostOnce).retained())
}

everywhere! {
    /// What is available is not mentioned.
    async fn by_default_everything_is_available(site) {
        let properties = properties(site).await;
        assert_eq!(properties.retain_available, None);
        assert_eq!(properties.wildcard_subscription_available, None);
        assert_eq!(properties.subscription_identifiers_available, None);
        assert_eq!(properties.shared_subscription_available, None);
    }

    /// [MQTT-3.2.2-14] [MQTT-3.2.2-13]
    async fn without_retained_messages(site, "mqtt.retain_available=false") {
        assert_eq!(properties(site).await.retain_available, Some(false));
        for qos in crate::QOS {
            let mut client = site.client("keeper").await;
            client.start(message("t", "x", qos).retained()).await;
            client.closed_with(ReasonCode::RetainNotSupported).await;
        }
        let refused = with_retained_will(site.builder("keeper")).try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::RetainNotSupported);
        for version in MQTT_3 {
            let mut client = site.builder("keeper").version(version).connect().await;
            client.start(message("t", "x", Qos::AtLeastOnce).retained()).await;
            assert_eq!(client.closed().await, None);
            let builder = with_retained_will(site.builder("keeper").version(version));
            assert!(builder.try_connect().await.is_err());
        }
        is_counted(site, "retain_available").await;
    }

    /// Section 3.2.2.3.11; [MQTT3-3.8.3-2]
    async fn without_wildcards(site, "mqtt.wildcard_subscription_available=false") {
        assert_eq!(properties(site).await.wildcard_subscription_available, Some(false));
        for filter in ["a/+", "#", "$share/g/a/#"] {
            let mut client = site.client("wild").await;
            assert_eq!(granted(&mut client, "a/b", None).await, ReasonCode::Success);
            ask(&mut client, filter, None).await;
            client.closed_with(ReasonCode::WildcardSubscriptionsNotSupported).await;
        }
        is_counted(site, "wildcard_subscription_available").await;
        let mut client = site.builder("wild").version(ProtocolVersion::V3_1_1).connect().await;
        assert_eq!(granted(&mut client, "a/+", None).await, ReasonCode::UnspecifiedError);
        assert_eq!(granted(&mut client, "a/b", None).await, ReasonCode::Success);
        let mut publisher = site.client("publisher").await;
        publisher.publish("a/c", "not", Qos::AtLeastOnce).await;
        publisher.publish("a/b", "this", Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["this"]);
        let labels = ["limit=\"wildcards\""];
        assert_eq!(site.metric("causeway_limits_met_total", &labels).await, 1.0);
    }

    /// Section 3.2.2.3.12
    async fn without_subscription_identifiers(
        site, "mqtt.subscription_identifiers_available=false"
    ) {
        assert_eq!(properties(site).await.subscription_identifiers_available, Some(false));
        let mut client = site.client("numbers").await;
        assert_eq!(granted(&mut client, "a", None).await, ReasonCode::Success);
        ask(&mut client, "a", Some(7)).await;
        client.closed_with(ReasonCode::SubscriptionIdentifiersNotSupported).await;
        is_counted(site, "subscription_identifiers_available").await;
    }

    /// Section 3.2.2.3.13
    async fn without_shared_subscriptions(site, "mqtt.shared_subscription_available=false") {
        assert_eq!(properties(site).await.shared_subscription_available, Some(false));
        let mut client = site.client("sharer").await;
        ask(&mut client, "$share/g/a", None).await;
        client.closed_with(ReasonCode::SharedSubscriptionsNotSupported).await;
        is_counted(site, "shared_subscription_available").await;
        let mut client = site.builder("sharer").version(ProtocolVersion::V3_1_1).connect().await;
        let reason_code = granted(&mut client, "$share/g/a", None).await;
        assert_eq!(reason_code, ReasonCode::UnspecifiedError);
    }

    /// [MQTT-3.2.2-9] [MQTT-3.2.2-11] [MQTT-3.2.2-12] [MQTT-3.2.2-10]
    async fn with_a_maximum_qos(site, "mqtt.maximum_qos=1") {
        assert_eq!(properties(site).await.maximum_qos, Some(Qos::AtLeastOnce));
        let mut client = site.client("eager").await;
        client.subscribe("t", Qos::ExactlyOnce).await;
        client.publish("t", "x", Qos::AtLeastOnce).await;
        assert_eq!(client.recv().await.message.qos, Qos::AtLeastOnce);
        client.start(message("t", "x", Qos::ExactlyOnce)).await;
        client.closed_with(ReasonCode::QosNotSupported).await;
        let builder = site.builder("eager").will(message("w", "x", Qos::ExactlyOnce));
        let refused = builder.try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::QosNotSupported);
        is_counted(site, "maximum_qos").await;
    }
}
