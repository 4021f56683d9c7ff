//! The `$SYS` topics.

use std::collections::BTreeMap;

use harness::{Client, MessageExt as _, eventually, everywhere, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode};

/// Everything below `$SYS` that comes until `done`.
async fn read_until(
    client: &mut Client,
    values: &mut BTreeMap<String, String>,
    done: impl Fn(&BTreeMap<String, String>) -> bool,
) {
    while !done(values) {
        let publish = client.recv().await;
        let message = &publish.message;
        assert_eq!(message.qos, Qos::AtMostOnce);
        let topic = message.topic_name.strip_prefix("$SYS/broker/").unwrap();
        values.insert(topic.to_owned(), message.text());
    }
}

everywhere! {
    /// A new subscriber gets the values at once, with RETAIN, and then what changes, without.
    async fn a_subscriber_gets_the_values_of_its_node(site, "sys.interval=1s") {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("$SYS/broker/version", Qos::ExactlyOnce).await;
        let publish = watcher.recv().await;
        assert!(publish.message.retain);
        assert!(publish.message.text().starts_with("causeway version "));
        watcher.subscribe("$SYS/#", Qos::AtMostOnce).await;
        let mut values = BTreeMap::new();
        let is_known = |values: &BTreeMap<String, String>| {
            values.get("uptime").is_some() && values.get("clients/connected").is_some_and(|one| one == "1")
        };
        read_until(&mut watcher, &mut values, is_known).await;
        // Only changes come: an uptime is never told twice.
        let mut uptimes = Vec::new();
        while uptimes.len() < 3 {
            let publish = watcher.recv().await;
            if publish.message.topic_name == "$SYS/broker/uptime" && !publish.message.retain {
                uptimes.push(publish.message.text());
            }
        }
        assert!(uptimes.is_sorted() && uptimes[0] != uptimes[1] && uptimes[1] != uptimes[2]);
    }

    /// The values of another node do not come, and none is stored or forwarded.
    async fn values_stay_at_their_node(site, "sys.interval=1s") {
        let address = site.nodes()[0].tcp();
        let mut stored = site.builder("stored").at(address).persistent(1000).connect().await;
        stored.subscribe("$SYS/broker/uptime", Qos::ExactlyOnce).await;
        stored.recv().await;
        stored.disconnect().await;
        let mut watcher = site.builder("watcher").at(address).connect().await;
        watcher.subscribe("$SYS/broker/uptime", Qos::AtMostOnce).await;
        let mut last = 0;
        for _ in 0..4 {
            let text = watcher.recv().await.message.text();
            let seconds: u64 = text.strip_suffix(" seconds").unwrap().parse().unwrap();
            assert!(seconds > last || last == 0, "{seconds} after {last}");
            last = seconds;
        }
        assert_eq!(site.metric("causeway_messages_forwarded_total", &[]).await, 0.0);
        // What came up meanwhile was not kept.
        let mut stored = site.builder("stored").at(address).persistent(1000).connect().await;
        assert!(stored.session_present());
        let first = stored.recv().await.message.text();
        let seconds: u64 = first.strip_suffix(" seconds").unwrap().parse().unwrap();
        assert!(seconds >= last);
    }

    /// [MQTT-4.7.2-1]
    async fn a_wildcard_in_the_first_level_does_not_match(site, "sys.interval=1s") {
        let mut nosy = site.client("nosy").await;
        nosy.subscribe("#", Qos::AtMostOnce).await;
        nosy.subscribe("+/broker/uptime", Qos::AtMostOnce).await;
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("$SYS/broker/uptime", Qos::AtMostOnce).await;
        watcher.recv_texts(3).await;
        nosy.assert_silent().await;
    }

    /// Section 4.7.2: 0x90 for who can be told.
    async fn clients_cannot_publish_there(site, "sys.interval=1s") {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("$SYS/forged/#", Qos::AtMostOnce).await;
        watcher.subscribe("$SYSTEM", Qos::AtLeastOnce).await;
        let topics = ["$SYS/forged/x", "$SYS", "$SYS/"];
        let mut client = site.client("forger").await;
        for topic in topics {
            for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let code = client.publish_message(message(topic, "x", qos).retained()).await;
                assert_eq!(code, ReasonCode::TopicNameInvalid);
            }
            client.publish(topic, "x", Qos::AtMostOnce).await;
        }
        let builder = site.builder("forger").will(message("$SYS/forged/x", "x", Qos::AtMostOnce));
        let refused = builder.try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::TopicNameInvalid);
        let mut old = site.builder("old").version(ProtocolVersion::V3_1_1).connect().await;
        for qos in crate::QOS {
            old.publish("$SYS/forged/x", "x", qos).await;
        }
        old.publish("$SYSTEM", "allowed", Qos::AtLeastOnce).await;
        assert_eq!(watcher.recv_texts(1).await, ["allowed"]);
        watcher.assert_silent().await;
        eventually("six are counted", async || {
            let labels = ["reason=\"sys_topic\""];
            let dropped = site.metric("causeway_messages_dropped_total", &labels).await;
            (dropped == 6.0).then_some(())
        }).await;
        let labels = ["limit=\"sys_topic\""];
        assert_eq!(site.metric("causeway_limits_met_total", &labels).await, 12.0);
    }

    async fn they_can_be_switched_off(site, "sys.interval=0s") {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("$SYS/#", Qos::AtMostOnce).await;
        watcher.assert_silent().await;
    }
}
