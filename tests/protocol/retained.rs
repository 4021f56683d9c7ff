//! Retained messages (sections 3.3.1.3 and 3.8.3.1).

use harness::{Client, MessageExt as _, everywhere, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode, RetainHandling, SubscriptionOptions};

use crate::{QOS, VERSIONS};

async fn retain(client: &mut Client, topic: &str, text: &str) {
    let message = message(topic, text.to_owned(), Qos::AtLeastOnce).retained();
    assert!(!client.publish_message(message).await.is_error());
}

fn options(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions {
        qos: Qos::AtLeastOnce,
        retain_handling,
        ..Default::default()
    }
}

everywhere! {
    /// [MQTT-3.3.1-9] [MQTT-3.3.1-8] in every version
    async fn a_late_subscriber_receives_the_retained_message(site) {
        for version in VERSIONS {
            let mut meter = site.builder("meter").version(version).connect().await;
            let topic = format!("plant/{}/temp", version.level());
            retain(&mut meter, &topic, "21").await;
            for reading in VERSIONS {
                let mut display = site.builder("display").version(reading).connect().await;
                display.subscribe(&topic, Qos::AtMostOnce).await;
                let publish = display.recv().await;
                assert_eq!(publish.message.text(), "21");
                assert_eq!(publish.message.topic_name, *topic);
                assert!(publish.message.retain);
            }
        }
    }

    /// [MQTT-3.3.1-12] An established subscription gets it without the flag.
    async fn a_present_subscriber_receives_it_without_the_flag(site) {
        let mut display = site.client("display").await;
        display.subscribe("t", Qos::AtLeastOnce).await;
        retain(&mut site.client("meter").await, "t", "1").await;
        let publish = display.recv().await;
        assert_eq!((publish.message.text().as_str(), publish.message.retain), ("1", false));
        display.assert_silent().await;
    }

    /// [MQTT-3.3.1-13]
    async fn retain_as_published_keeps_the_flag(site) {
        let mut display = site.client("display").await;
        let options = SubscriptionOptions { retain_as_published: true, ..Default::default() };
        display.subscribe_with("t", options, None).await;
        let mut meter = site.client("meter").await;
        retain(&mut meter, "t", "1").await;
        assert!(display.recv().await.message.retain);
        meter.publish("t", "2", Qos::AtLeastOnce).await;
        assert!(!display.recv().await.message.retain);
    }

    /// [MQTT-3.3.1-5] The last one counts.
    async fn a_retained_message_replaces_the_one_before(site) {
        let mut meter = site.client("meter").await;
        for number in 0..5 {
            retain(&mut meter, "t", &number.to_string()).await;
            let mut display = site.client("display").await;
            display.subscribe("t", Qos::AtLeastOnce).await;
            assert_eq!(display.recv().await.message.text(), number.to_string());
            display.assert_silent().await;
        }
    }

    /// [MQTT-3.3.1-6] [MQTT-3.3.1-7] An empty one deletes and is delivered, but not kept.
    async fn an_empty_retained_message_deletes(site) {
        let mut meter = site.client("meter").await;
        retain(&mut meter, "t", "1").await;
        let mut present = site.client("present").await;
        present.subscribe("t", Qos::AtLeastOnce).await;
        assert_eq!(present.recv().await.message.text(), "1");
        retain(&mut meter, "t", "").await;
        assert_eq!(present.recv().await.message.text(), "");
        for _ in 0..3 {
            let mut late = site.client("late").await;
            late.subscribe("t", Qos::AtLeastOnce).await;
            late.assert_silent().await;
        }
        retain(&mut meter, "t", "2").await; // and it can come back
        let mut late = site.client("late").await;
        late.subscribe("t", Qos::AtLeastOnce).await;
        assert_eq!(late.recv().await.message.text(), "2");
    }

    /// [MQTT-3.3.1-8]
    async fn a_message_that_is_not_retained_leaves_the_retained_one(site) {
        let mut meter = site.client("meter").await;
        retain(&mut meter, "t", "kept").await;
        meter.publish("t", "passing", Qos::AtLeastOnce).await;
        let mut late = site.client("late").await;
        late.subscribe("t", Qos::AtLeastOnce).await;
        assert_eq!(late.recv_texts(1).await, ["kept"]);
        late.assert_silent().await;
    }

    /// [MQTT-3.8.4-4] Retain Handling 0: at every SUBSCRIBE.
    /// [MQTT-3.3.1-9]
    async fn retain_handling_0_sends_at_every_subscribe(site) {
        retain(&mut site.client("meter").await, "t", "1").await;
        let mut display = site.client("display").await;
        for _ in 0..3 {
            display.subscribe_with("t", options(RetainHandling::SendAtSubscribe), None).await;
            assert_eq!(display.recv().await.message.text(), "1");
        }
        display.assert_silent().await;
    }

    /// [MQTT-3.3.1-10] Retain Handling 1: only if the subscription is new.
    async fn retain_handling_1_sends_only_to_a_new_subscription(site) {
        retain(&mut site.client("meter").await, "t", "1").await;
        let handling = options(RetainHandling::SendAtNewSubscription);
        let mut display = site.builder("display").persistent(100).connect().await;
        display.subscribe_with("t", handling, None).await;
        assert_eq!(display.recv().await.message.text(), "1");
        display.subscribe_with("t", handling, None).await;
        display.assert_silent().await;
        display.vanish().await;
        let mut display = site.builder("display").persistent(100).connect().await;
        display.subscribe_with("t", handling, None).await;
        display.assert_silent().await;
        display.unsubscribe("t").await;
        display.subscribe_with("t", handling, None).await;
        assert_eq!(display.recv().await.message.text(), "1");
    }

    /// [MQTT-3.3.1-11] Retain Handling 2: never.
    async fn retain_handling_2_sends_nothing(site) {
        retain(&mut site.client("meter").await, "t", "1").await;
        let mut display = site.client("display").await;
        display.subscribe_with("t", options(RetainHandling::DoNotSend), None).await;
        display.assert_silent().await;
    }

    /// A wildcard gets them all, each once.
    /// [MQTT-3.3.1-9] [MQTT3-3.3.1-6]
    async fn a_wildcard_receives_all_that_match(site) {
        let mut meter = site.client("meter").await;
        let topics = ["a", "a/b", "a/b/c", "a/c", "a//c", "/a", "$app/a"];
        for topic in topics {
            retain(&mut meter, topic, topic).await;
        }
        for (filter, expected) in [
            ("#", &["/a", "a", "a//c", "a/b", "a/b/c", "a/c"][..]),
            ("a/#", &["a", "a//c", "a/b", "a/b/c", "a/c"]),
            ("a/+", &["a/b", "a/c"]),
            ("+/+/c", &["a//c", "a/b/c"]),
            ("+", &["a"]),
            ("/+", &["/a"]),
            ("$app/#", &["$app/a"]),
        ] {
            for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
                let mut display = site.builder("display").version(version).connect().await;
                display.subscribe(filter, Qos::AtLeastOnce).await;
                let mut texts = display.recv_texts(expected.len()).await;
                texts.sort();
                assert_eq!(texts, expected, "{filter}");
                display.assert_silent().await;
            }
        }
    }

    /// The QoS is the lower of both here, too.
    /// [MQTT3-3.3.1-5]
    async fn a_retained_message_arrives_with_the_lower_qos(site) {
        let mut meter = site.client("meter").await;
        for published in QOS {
            let sent = message("t", format!("{published:?}"), published).retained();
            meter.publish_message(sent).await;
            for (version, granted) in VERSIONS.iter().flat_map(|version| QOS.map(|qos| (*version, qos))) {
                let mut display = site.builder("display").version(version).connect().await;
                display.subscribe("t", granted).await;
                let publish = display.recv().await;
                assert_eq!(publish.message.text(), format!("{published:?}"));
                assert_eq!(publish.message.qos, published.min(granted));
            }
        }
    }

    /// Section 4.8.2: shared subscriptions get no retained messages.
    async fn a_shared_subscription_receives_no_retained_messages(site) {
        retain(&mut site.client("meter").await, "t", "1").await;
        let mut member = site.client("member").await;
        member.subscribe("$share/g/t", Qos::AtLeastOnce).await;
        member.assert_silent().await;
    }

    /// It does not belong to the session that published it.
    async fn a_retained_message_outlives_its_publisher(site) {
        let mut meter = site.builder("meter").version(ProtocolVersion::V3_1_1).connect().await;
        retain(&mut meter, "t", "1").await;
        meter.disconnect().await;
        let mut display = site.client("display").await;
        display.subscribe("t", Qos::AtLeastOnce).await;
        assert_eq!(display.recv().await.message.text(), "1");
    }

    /// Every filter of a SUBSCRIBE gets its own.
    async fn each_filter_of_a_subscribe_is_served(site) {
        let mut meter = site.client("meter").await;
        for topic in ["a", "b", "c"] {
            retain(&mut meter, topic, topic).await;
        }
        let mut display = site.client("display").await;
        let subscriptions = ["a", "b", "c"].map(|filter| mqtt::Subscription {
            filter: mqtt::TopicFilter::new(filter).unwrap(),
            options: options(RetainHandling::SendAtSubscribe),
        });
        let reasons = display.subscribe_all(subscriptions.to_vec(), None).await;
        assert_eq!(reasons, [ReasonCode::GrantedQos1; 3]);
        let mut texts = display.recv_texts(3).await;
        texts.sort();
        assert_eq!(texts, ["a", "b", "c"]);
    }
}
