//! How much one client, or all together, may have.

use std::time::{Duration, Instant};

use harness::{MessageExt as _, Site, everywhere, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter};

async fn met(site: &Site, limit: &str) -> f64 {
    let label = format!("limit=\"{limit}\"");
    site.metric("causeway_limits_met_total", &[&label]).await
}

/// How often the nodes have said so in their logs.
fn logged(site: &Site, limit: &str) -> usize {
    let reason = format!("\"reason\":\"{limit}\"");
    let output = site
        .nodes()
        .iter()
        .map(|node| node.output())
        .collect::<String>();
    output
        .lines()
        .filter(|line| line.contains("client met a limit") && line.contains(&reason))
        .count()
}

fn subscription(filter: &str) -> Subscription {
    Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions {
            qos: Qos::AtLeastOnce,
            ..Default::default()
        },
    }
}

everywhere! {
    /// 0x97 in SUBACK; what is there already may be changed; a resumed session counts what it has.
    async fn a_client_has_so_many_subscriptions(
        site, "mqtt.max_subscriptions_per_client=3"
    ) {
        let mut client = site.builder("collector").persistent(1000).connect().await;
        let filters = ["a", "b", "a", "c", "d", "$share/g/e"];
        let codes = client.subscribe_all(filters.map(subscription).to_vec(), None).await;
        let (granted, refused) = (ReasonCode::GrantedQos1, ReasonCode::QuotaExceeded);
        assert_eq!(codes, [granted, granted, granted, granted, refused, refused]);
        client.vanish().await;
        let mut client = site.builder("collector").persistent(1000).connect().await;
        assert!(client.session_present());
        let codes = client.subscribe_all(["d", "c"].map(subscription).to_vec(), None).await;
        assert_eq!(codes, [refused, granted]);
        assert_eq!(client.unsubscribe("a").await, ReasonCode::Success);
        let codes = client.subscribe_all(["d", "a"].map(subscription).to_vec(), None).await;
        assert_eq!(codes, [granted, refused]);
        let mut publisher = site.client("publisher").await;
        for topic in ["a", "b", "c", "d", "e"] {
            publisher.publish(topic, topic, Qos::AtLeastOnce).await;
        }
        assert_eq!(client.recv_texts(3).await, ["b", "c", "d"]);
        client.assert_silent().await;
        assert_eq!(met(site, "subscriptions").await, 4.0);
        assert_eq!(logged(site, "subscriptions"), 2, "once for each connection");
        let builder = site.builder("old").version(ProtocolVersion::V3_1_1);
        let mut client = builder.connect().await;
        let codes = client.subscribe_all(["a", "b", "c", "d"].map(subscription).to_vec(), None).await;
        assert_eq!(codes[3], ReasonCode::UnspecifiedError);
    }

    /// 0x85; in MQTT 3 the return code 2. [MQTT-3.1.3-5]
    /// [MQTT-3.1.3-8] [MQTT3-3.1.3-9]
    async fn a_client_identifier_has_so_many_bytes(site, "mqtt.max_client_id_bytes=23") {
        let (fits, long) = ("x".repeat(23), "x".repeat(24));
        for version in crate::VERSIONS {
            site.builder(&fits).version(version).connect().await;
            if version == ProtocolVersion::V3_1 {
                continue; // where 23 are the most anyway
            }
            let refused = site.builder(&long).version(version).try_connect().await.unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::ClientIdentifierNotValid);
        }
        let labels = ["reason=\"0x85\""];
        assert!(site.metric("causeway_connects_refused_total", &labels).await >= 2.0);
    }

    /// 0x90 for a name, 0x8F for a filter.
    async fn a_topic_has_so_many_levels(site, "mqtt.max_topic_levels=3") {
        let mut client = site.client("deep").await;
        let filters = ["a/b/c", "a/b/c/d", "$share/g/a/b/c", "a/b/c/#"];
        let codes = client.subscribe_all(filters.map(subscription).to_vec(), None).await;
        let (granted, refused) = (ReasonCode::GrantedQos1, ReasonCode::TopicFilterInvalid);
        assert_eq!(codes, [granted, refused, granted, refused]);
        client.publish("a/b/c", "x", Qos::AtLeastOnce).await;
        client.start(message("a/b/c/d", "x", Qos::AtLeastOnce)).await;
        client.closed_with(ReasonCode::TopicNameInvalid).await;
        let builder = site.builder("deep").will(message("a/b/c/d", "x", Qos::AtMostOnce));
        let refused = builder.try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::TopicNameInvalid);
        assert_eq!(met(site, "topic_levels").await, 2.0);
        assert_eq!(logged(site, "topic_levels"), 1);
    }

    /// Deeper topics than the default can be had.
    async fn topics_may_be_deeper_than_the_default(site, "mqtt.max_topic_levels=512") {
        let deep = "/".repeat(511);
        let wild = format!("{}#", "+/".repeat(511));
        let mut client = site.client("deep").await;
        client.subscribe(&deep, Qos::AtLeastOnce).await;
        client.publish_message(message(&deep, "x", Qos::AtLeastOnce).retained()).await;
        assert_eq!(client.recv_texts(1).await, ["x"]);
        client.subscribe(&wild, Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["x"]);
    }

    /// Who can be told is refused with 0x97; otherwise the message is delivered and not retained.
    /// [MQTT3-3.3.5-2]
    async fn so_many_messages_are_retained(site, "mqtt.max_retained_messages=2") {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("r/#", Qos::AtLeastOnce).await;
        let mut client = site.client("keeper").await;
        let retained = |topic: &str, text: &str, qos| message(topic, text.to_owned(), qos).retained();
        for topic in ["r/1", "r/2"] {
            let code = client.publish_message(retained(topic, "first", Qos::AtLeastOnce)).await;
            assert!(!code.is_error());
        }
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let code = client.publish_message(retained("r/3", "refused", qos)).await;
            assert_eq!(code, ReasonCode::QuotaExceeded);
        }
        let code = client.publish_message(retained("r/2", "second", Qos::AtLeastOnce)).await;
        assert!(!code.is_error(), "one that takes the place of another: {code}");
        client.publish_message(retained("r/3", "passing", Qos::AtMostOnce)).await;
        let mut texts = watcher.recv_texts(4).await;
        texts.sort(); // QoS 0 may overtake
        assert_eq!(texts, ["first", "first", "passing", "second"]);
        let mut late = site.client("late").await;
        late.subscribe("r/#", Qos::AtLeastOnce).await;
        assert_eq!(late.recv_texts(2).await, ["first", "second"]);
        late.assert_silent().await;
        let labels = ["reason=\"retained_full\""];
        assert_eq!(site.metric("causeway_messages_dropped_total", &labels).await, 1.0);
        assert_eq!(met(site, "retained").await, 3.0);
        assert_eq!(logged(site, "retained"), 1);
        // A removed one makes room, also for MQTT 3.
        client.publish_message(retained("r/1", "", Qos::AtLeastOnce)).await;
        let code = client.publish_message(retained("r/3", "third", Qos::AtLeastOnce)).await;
        assert!(!code.is_error());
        let builder = site.builder("old").version(ProtocolVersion::V3_1_1);
        let mut old = builder.connect().await;
        // Another node has heard of the last one by the time that it has answered a SUBSCRIBE.
        old.subscribe("x", Qos::AtMostOnce).await;
        old.publish_message(retained("r/4", "passing", Qos::ExactlyOnce)).await;
        let mut late = site.client("late").await;
        late.subscribe("r/#", Qos::AtLeastOnce).await;
        assert_eq!(late.recv_texts(2).await, ["second", "third"]);
        late.assert_silent().await;
    }

    async fn so_many_bytes_are_retained(site, "mqtt.max_retained_bytes=1024") {
        let mut client = site.client("keeper").await;
        let retained = |topic: &str, size| message(topic, vec![b'x'; size], Qos::AtLeastOnce).retained();
        assert!(!client.publish_message(retained("r/1", 500)).await.is_error());
        assert_eq!(client.publish_message(retained("r/2", 600)).await, ReasonCode::QuotaExceeded);
        assert!(!client.publish_message(retained("r/1", 1000)).await.is_error());
        assert_eq!(client.publish_message(retained("r/2", 100)).await, ReasonCode::QuotaExceeded);
        harness::eventually("the metric", async || {
            let node = &site.nodes()[0];
            (node.metrics().await.sum("causeway_retained_bytes", &[]) == 1003.0).then_some(())
        }).await;
    }

    /// It is slowed down, and nothing is lost.
    async fn a_client_publishes_at_a_rate(
        site, "mqtt.max_publish_rate=100", "mqtt.publish_burst=100ms"
    ) {
        let mut reader = site.client("reader").await;
        reader.subscribe("t", Qos::AtMostOnce).await;
        let mut client = site.builder("quick").keep_alive(1).connect().await;
        let begun = Instant::now();
        for number in 0..160 {
            client.start(message("t", number.to_string(), Qos::AtMostOnce)).await;
        }
        let expected: Vec<String> = (0..160).map(|number| number.to_string()).collect();
        assert_eq!(reader.recv_texts(160).await, expected);
        assert!(begun.elapsed() >= Duration::from_millis(1450), "{:?}", begun.elapsed());
        client.ping().await;
        assert!(met(site, "publish_rate").await >= 1.0);
        assert_eq!(logged(site, "publish_rate"), 1);
    }

    /// Clients that come too quickly wait for their turn.
    async fn connections_are_accepted_at_a_rate(site, "listener.accept_rate=20") {
        let address = site.nodes()[0].tcp();
        let begun = Instant::now();
        let mut clients = Vec::new();
        for number in 0..50 {
            let name = format!("client-{number}");
            clients.push(harness::Builder::new(address, &name).connect().await);
        }
        assert!(begun.elapsed() >= Duration::from_millis(1400), "{:?}", begun.elapsed());
        for client in &mut clients {
            client.ping().await;
        }
    }

    async fn a_client_publishes_so_many_bytes_per_second(
        site, "mqtt.max_publish_byte_rate=100000", "mqtt.publish_burst=100ms"
    ) {
        let mut client = site.client("quick").await;
        let begun = Instant::now();
        for _ in 0..16 {
            client.start(message("t", vec![0; 10_000], Qos::AtLeastOnce)).await;
        }
        client.settle().await;
        assert!(begun.elapsed() >= Duration::from_millis(1350), "{:?}", begun.elapsed());
    }
}
