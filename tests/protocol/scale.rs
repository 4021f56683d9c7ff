//! Larger things.

use std::collections::BTreeSet;

use harness::{MessageExt as _, everywhere, message};
use mqtt::Qos;

everywhere! {
    /// A payload of 1 MiB, larger than a frame between nodes.
    async fn a_payload_of_a_mebibyte_arrives(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("large", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        let payload: Vec<u8> = (0..1024 * 1024_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        for qos in crate::QOS {
            publisher.publish("large", payload.clone(), qos).await;
            assert!(subscriber.recv().await.message.payload == payload, "{qos:?}");
        }
        let mut absent = site.builder("absent").persistent(100).connect().await;
        absent.subscribe("large", Qos::AtLeastOnce).await;
        absent.disconnect().await;
        let sent = message("large", payload.clone(), Qos::AtLeastOnce).retained();
        publisher.publish_message(sent).await;
        let mut absent = site.builder("absent").persistent(100).connect().await;
        assert!(absent.recv().await.message.payload == payload);
        let mut late = site.client("late").await;
        late.subscribe("large", Qos::AtLeastOnce).await;
        assert!(late.recv().await.message.payload == payload);
    }

    async fn ten_thousand_retained_messages_arrive(site) {
        let mut publisher = site.client("publisher").await;
        for number in 0..10_000 {
            let topic = format!("retained/{}/{number}", number % 100);
            let sent = message(&topic, number.to_string(), Qos::AtLeastOnce).retained();
            publisher.start(sent).await;
        }
        publisher.settle().await;
        let mut all = site.client("all").await;
        all.subscribe("retained/#", Qos::AtMostOnce).await;
        let texts: BTreeSet<String> = all.recv_texts(10_000).await.into_iter().collect();
        assert_eq!(texts.len(), 10_000);
        let mut some = site.client("some").await;
        some.subscribe("retained/7/+", Qos::AtLeastOnce).await;
        assert_eq!(some.recv_texts(100).await.len(), 100);
        some.assert_silent().await;
    }
}
