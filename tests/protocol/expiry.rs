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
}
