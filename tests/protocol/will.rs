//! Wills (sections 3.1.2.5, 3.1.3.2, 3.14.4).

use std::time::Duration;

use harness::{Client, MessageExt as _, Site, everywhere, message};
use mqtt::{Message, ProtocolVersion, Qos, ReasonCode, Str};

use crate::{QOS, VERSIONS};

fn will(text: &'static str) -> Message {
    message("wills/w", text, Qos::AtLeastOnce)
}

async fn watcher(site: &Site) -> Client {
    let mut client = site.client("watcher").await;
    client.subscribe("wills/#", Qos::ExactlyOnce).await;
    client
}

everywhere! {
    /// [MQTT-3.1.2-8] in every version and QoS
    /// [MQTT-3.1.2-10] [MQTT-3.1.2-12] [MQTT3-3.1.2-8] [MQTT3-3.1.2-10] [MQTT3-3.1.2-14]
    async fn a_broken_connection_publishes_the_will_once(site) {
        let mut watcher = watcher(site).await;
        for version in VERSIONS {
            for qos in QOS {
                let will = message("wills/w", format!("{version} {qos:?}"), qos);
                let text = will.text();
                let client = site.builder("mortal").version(version).will(will);
                client.connect().await.vanish().await;
                let publish = watcher.recv().await;
                assert_eq!(publish.message.text(), text);
                assert_eq!(publish.message.qos, qos);
                assert!(!publish.message.retain);
            }
        }
        watcher.assert_silent().await;
    }

    /// [MQTT-3.14.4-3] [MQTT-3.1.2-10]
    /// [MQTT3-3.1.2-10] [MQTT3-3.14.4-3]
    async fn a_normal_disconnect_discards_the_will(site) {
        let mut watcher = watcher(site).await;
        for version in VERSIONS {
            let client = site.builder("mortal").version(version).will(will("no")).connect().await;
            client.disconnect().await;
        }
        watcher.assert_silent().await;
    }

    /// Section 3.14.2.1: any other reason code publishes it.
    async fn a_disconnect_with_will_message_publishes_it(site) {
        let mut watcher = watcher(site).await;
        for reason in [ReasonCode::DisconnectWithWillMessage, ReasonCode::UnspecifiedError] {
            let client = site.builder("mortal").will(will("yes")).connect().await;
            client.disconnect_with(reason, None).await;
            assert_eq!(watcher.recv().await.message.text(), "yes");
        }
        watcher.assert_silent().await;
    }

    /// [MQTT-3.1.2-8] Closed by the server because of an error of the client.
    async fn a_protocol_error_publishes_the_will(site) {
        let mut watcher = watcher(site).await;
        let mut client = site.builder("mortal").will(will("yes")).connect().await;
        client.send_bytes(b"\x00\x00").await;
        client.closed().await;
        assert_eq!(watcher.recv().await.message.text(), "yes");
    }

    /// [MQTT-3.1.2-22] Silence for more than 1.5 times the keep-alive.
    async fn a_missed_keep_alive_publishes_the_will(site) {
        let mut watcher = watcher(site).await;
        let mut client = site.builder("mortal").keep_alive(1).will(will("yes")).connect().await;
        assert_eq!(watcher.recv().await.message.text(), "yes");
        client.closed().await;
        watcher.assert_silent().await;
    }

    /// [MQTT-3.1.3-9]
    async fn a_delayed_will_is_published_after_the_delay(site) {
        let mut watcher = watcher(site).await;
        let client = site.builder("mortal").persistent(100).delayed_will(will("late"), 2);
        client.connect().await.vanish().await;
        watcher.assert_silent().await;
        assert_eq!(watcher.recv().await.message.text(), "late");
        tokio::time::sleep(Duration::from_secs(2)).await;
        watcher.assert_silent().await;
    }

    /// [MQTT-3.1.3-9]
    async fn a_reconnect_cancels_a_delayed_will(site) {
        let mut watcher = watcher(site).await;
        let client = || site.builder("mortal").persistent(100).delayed_will(will("no"), 2);
        client().connect().await.vanish().await;
        let resumed = client().connect().await;
        assert!(resumed.session_present());
        tokio::time::sleep(Duration::from_secs(3)).await;
        watcher.assert_silent().await;
        resumed.disconnect().await;
        watcher.assert_silent().await;
    }

    /// Section 3.1.3.2.2: whichever comes first, the delay or the end of the session.
    /// [MQTT-3.1.2-8]
    async fn the_end_of_the_session_publishes_a_delayed_will(site) {
        let mut watcher = watcher(site).await;
        // The session ends with the connection.
        let client = site.builder("brief").delayed_will(will("brief"), 1000);
        client.connect().await.vanish().await;
        assert_eq!(watcher.recv().await.message.text(), "brief");
        // It ends a second later.
        let client = site.builder("short").persistent(1).delayed_will(will("short"), 1000);
        client.connect().await.vanish().await;
        assert_eq!(watcher.recv().await.message.text(), "short");
        // It is ended by Clean Start.
        let client = site.builder("clean").persistent(1000).delayed_will(will("clean"), 1000);
        client.connect().await.vanish().await;
        watcher.assert_silent().await;
        let client = site.client("clean").await;
        assert_eq!(watcher.recv().await.message.text(), "clean");
        client.disconnect().await;
        watcher.assert_silent().await;
    }

    /// Section 3.1.4: the connection that is taken over ends, and its will is due.
    async fn a_takeover_publishes_the_will_of_the_old_connection(site) {
        let mut watcher = watcher(site).await;
        let old = || site.builder("moved").persistent(100).will(will("old"));
        let new = || site.builder("moved").persistent(100).will(will("new"));
        let first = old().connect().await;
        let second = new().connect().await;
        assert_eq!(watcher.recv().await.message.text(), "old");
        second.disconnect().await;
        watcher.assert_silent().await;
        first.vanish().await;
        watcher.assert_silent().await;
    }

    /// The new connection cancels the old one's delayed will, if the session goes on.
    /// [MQTT-3.1.3-9]
    async fn a_takeover_cancels_a_delayed_will(site) {
        let mut watcher = watcher(site).await;
        let client = || site.builder("moved").persistent(100).delayed_will(will("no"), 1);
        let _first = client().connect().await;
        let second = client().connect().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        watcher.assert_silent().await;
        second.disconnect().await;
    }

    /// [MQTT-3.1.2-15]
    /// [MQTT3-3.1.2-17]
    async fn a_retained_will_is_retained(site) {
        for version in VERSIONS {
            let topic = format!("wills/{}", version.level());
            let will = message(&topic, "gone", Qos::AtLeastOnce).retained();
            let client = site.builder("mortal").version(version).will(will);
            client.connect().await.vanish().await;
            harness::eventually("the will is retained", async || {
                let mut late = site.client("late").await;
                late.subscribe(&topic, Qos::AtLeastOnce).await;
                let publish = late.recv_within(harness::SILENCE).await?;
                assert_eq!(publish.message.text(), "gone");
                publish.message.retain.then_some(())
            })
            .await;
        }
    }

    /// [MQTT-3.1.2-14] A will that is not retained leaves nothing behind.
    /// [MQTT3-3.1.2-16]
    async fn a_will_is_not_retained_unless_asked(site) {
        let mut watcher = watcher(site).await;
        for version in VERSIONS {
            let builder = site.builder("mortal").version(version).will(will("passing"));
            builder.connect().await.vanish().await;
            assert_eq!(watcher.recv().await.message.text(), "passing");
            let mut late = site.client("late").await;
            late.subscribe("wills/#", Qos::AtLeastOnce).await;
            late.assert_silent().await;
        }
    }

    /// [MQTT-3.1.3-10]
    async fn the_properties_of_a_will_arrive(site) {
        let mut watcher = watcher(site).await;
        let mut sent = will("x");
        sent.properties.content_type = Some(Str::new("text/plain").unwrap());
        sent.properties.payload_format_indicator = Some(true);
        sent.properties.correlation_data = Some(b"id"[..].into());
        sent.properties.response_topic = Some(mqtt::TopicName::new("answers").unwrap());
        sent.properties.user_properties =
            [("b", "1"), ("a", "2"), ("b", "3")].map(|(name, value)| {
                (Str::new(name).unwrap(), Str::new(value).unwrap())
            }).to_vec();
        site.builder("mortal").will(sent.clone()).connect().await.vanish().await;
        assert_eq!(watcher.recv().await.message.properties, sent.properties);
    }

    /// A will can wait for its reader, as any message.
    async fn a_will_is_queued_for_a_persistent_session(site) {
        let mut reader = site.builder("reader").persistent(100).connect().await;
        reader.subscribe("wills/#", Qos::AtLeastOnce).await;
        reader.disconnect().await;
        let mortal = site.builder("mortal").version(ProtocolVersion::V3_1_1).will(will("kept"));
        mortal.connect().await.vanish().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut reader = site.builder("reader").persistent(100).connect().await;
        assert_eq!(reader.recv_texts(1).await, ["kept"]);
        reader.assert_silent().await;
    }

    /// Section 3.14.2.2.2: a DISCONNECT that raises the expiry interval from 0 is not a valid one,
    /// and deletes no Will.
    async fn a_disconnect_that_is_not_valid_publishes_the_will(site) {
        let mut watcher = watcher(site).await;
        let mut client = site.builder("mortal").will(will("yes")).connect().await;
        client.send(&mqtt::Packet::Disconnect(mqtt::Disconnect {
            reason_code: ReasonCode::Success,
            properties: mqtt::DisconnectProperties {
                session_expiry_interval: Some(10),
                ..Default::default()
            },
        })).await;
        client.closed_with(ReasonCode::ProtocolError).await;
        assert_eq!(watcher.recv().await.message.text(), "yes");
    }

    /// [MQTT3-3.1.2-12]
    async fn without_a_will_nothing_is_published(site) {
        let mut watcher = site.client("watcher").await;
        watcher.subscribe("#", Qos::ExactlyOnce).await;
        for version in VERSIONS {
            // A Will of an earlier connection is not left over either.
            let builder = || site.builder("mortal").version(version);
            builder().will(will("once")).connect().await.vanish().await;
            assert_eq!(watcher.recv().await.message.text(), "once");
            builder().connect().await.vanish().await;
        }
        watcher.assert_silent().await;
    }
}
