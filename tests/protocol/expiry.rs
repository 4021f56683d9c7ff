//! Message Expiry Interval (section 3.3.2.3.3).

use std::time::Duration;

use harness::{MessageExt as _, everywhere, message};
use mqtt::Qos;

everywhere! {
    /// [MQTT-3.3.2-6] What is left of the interval is passed on.
    async fn a_waiting_message_gets_older(site) {
        let mut queue = site.builder("queue").persistent(1000).connect().await;
        queue.subscribe("t", Qos::AtLeastOnce).await;
        queue.disconnect().await;
        let sent = message("t", "x", Qos::AtLeastOnce).retained().expiring(100);
        site.client("publisher").await.publish_message(sent).await;
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let mut late = site.client("late").await;
        late.subscribe("t", Qos::AtLeastOnce).await;
        let mut queue = site.builder("queue").persistent(1000).connect().await;
        for client in [&mut late, &mut queue] {
            let publish = client.recv().await;
            let left = publish.message.properties.message_expiry_interval;
            assert!(left.is_some_and(|left| (60..=98).contains(&left)), "{left:?} left of 100");
        }
    }

    /// [MQTT-3.3.2-5]
    async fn an_expired_message_is_not_delivered(site) {
        let mut queue = site.builder("queue").persistent(1000).connect().await;
        queue.subscribe("t/#", Qos::AtLeastOnce).await;
        queue.disconnect().await;
        let mut publisher = site.client("publisher").await;
        let brief = message("t/brief", "brief", Qos::AtLeastOnce).retained().expiring(1);
        publisher.publish_message(brief).await;
        let long = message("t/long", "long", Qos::AtLeastOnce).retained().expiring(1000);
        publisher.publish_message(long).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let mut late = site.client("late").await;
        late.subscribe("t/#", Qos::AtLeastOnce).await;
        let mut queue = site.builder("queue").persistent(1000).connect().await;
        for client in [&mut late, &mut queue] {
            assert_eq!(client.recv_texts(1).await, ["long"]);
            client.assert_silent().await;
        }
    }

    /// A message that is delivered at once keeps its interval (or nearly so).
    async fn a_live_message_keeps_its_interval(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("t", Qos::AtLeastOnce).await;
        let mut publisher = site.client("publisher").await;
        publisher.publish_message(message("t", "x", Qos::AtLeastOnce).expiring(100)).await;
        let left = subscriber.recv().await.message.properties.message_expiry_interval;
        assert!(left.is_some_and(|left| (90..=100).contains(&left)), "{left:?} left of 100");
        publisher.publish("t", "x", Qos::AtLeastOnce).await;
        let left = subscriber.recv().await.message.properties.message_expiry_interval;
        assert_eq!(left, None);
    }

    /// Once a message was sent, its interval means nothing any more: it is sent again.
    /// [MQTT-4.3.3-7]
    async fn a_message_that_was_sent_does_not_expire(site) {
        let reader = || site.builder("reader").persistent(1000);
        let mut client = reader().manual().connect().await;
        client.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let sent = message("t", format!("{qos:?}"), qos).expiring(1);
            publisher.publish_message(sent).await;
        }
        assert_eq!(client.recv_texts(2).await, ["AtLeastOnce", "ExactlyOnce"]);
        client.vanish().await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let mut client = reader().connect().await;
        for expected in ["AtLeastOnce", "ExactlyOnce"] {
            let publish = client.recv().await;
            assert_eq!((publish.message.text().as_str(), publish.dup), (expected, true));
        }
    }

    /// A message may expire between PUBREC and PUBREL; the handshake goes on.
    /// [MQTT-4.3.3-13]
    async fn the_handshake_of_an_expired_message_is_completed(site) {
        let mut publisher = site.builder("publisher").manual().connect().await;
        let publish = publisher.make_publish(message("t", "x", Qos::ExactlyOnce).expiring(1));
        let ack = mqtt::Ack::new(publish.packet_id.unwrap(), mqtt::ReasonCode::Success);
        publisher.send(&mqtt::Packet::Publish(publish)).await;
        assert!(matches!(publisher.packet().await, Some(mqtt::Packet::PubRec(_))));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        publisher.send(&mqtt::Packet::PubRel(ack.clone())).await;
        assert_eq!(publisher.packet().await, Some(mqtt::Packet::PubComp(ack)));
    }
}
