//! UNSUBSCRIBE (sections 3.10 and 3.11).

use harness::{MessageExt as _, everywhere};
use mqtt::{Packet, PacketId, Qos, ReasonCode, TopicFilter, Unsubscribe};

use crate::VERSIONS;

everywhere! {
    /// [MQTT-3.10.4-2] [MQTT-3.10.4-4]
    /// [MQTT3-3.10.4-2]
    async fn after_unsuback_nothing_comes(site) {
        for version in VERSIONS {
            let mut client = site.builder("subscriber").version(version).connect().await;
            client.subscribe("t/#", Qos::AtLeastOnce).await;
            client.subscribe("kept", Qos::AtLeastOnce).await;
            let mut publisher = site.client("publisher").await;
            publisher.publish("t/x", "before", Qos::AtLeastOnce).await;
            assert_eq!(client.recv_texts(1).await, ["before"]);
            client.unsubscribe("t/#").await;
            publisher.publish("t/x", "after", Qos::AtLeastOnce).await;
            publisher.publish("kept", "kept", Qos::AtLeastOnce).await;
            assert_eq!(client.recv_texts(1).await, ["kept"]);
            client.assert_silent().await;
        }
    }

    /// [MQTT-3.10.4-1] The filter is compared letter by letter. [MQTT-3.11.3-2]
    async fn only_the_same_filter_is_removed(site) {
        let mut client = site.client("subscriber").await;
        client.subscribe("a/+", Qos::AtLeastOnce).await;
        for filter in ["a/b", "a/#", "+/+", "A/+"] {
            assert_eq!(client.unsubscribe(filter).await, ReasonCode::NoSubscriptionExisted);
        }
        site.client("publisher").await.publish("a/b", "x", Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["x"]);
        assert_eq!(client.unsubscribe("a/+").await, ReasonCode::Success);
        assert_eq!(client.unsubscribe("a/+").await, ReasonCode::NoSubscriptionExisted);
    }

    /// [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1]
    /// [MQTT-3.11.3-2]
    async fn an_unsubscribe_with_many_filters_is_answered_in_order(site) {
        let mut client = site.client("subscriber").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.subscribe("c", Qos::AtLeastOnce).await;
        let packet_id = PacketId::new(99).unwrap();
        let filters = ["a", "b", "c", "a"].map(|filter| TopicFilter::new(filter).unwrap());
        let packet = Unsubscribe { packet_id, user_properties: vec![], filters: filters.to_vec() };
        client.send(&Packet::Unsubscribe(packet)).await;
        let Some(Packet::UnsubAck(ack)) = client.packet().await else { panic!("no UNSUBACK") };
        assert_eq!(ack.packet_id, packet_id);
        use ReasonCode::{NoSubscriptionExisted as No, Success as Yes};
        assert_eq!(ack.reason_codes, [Yes, No, Yes, No]);
    }

    /// [MQTT-3.10.4-3] What is under way is completed.
    /// [MQTT3-3.10.4-3]
    async fn messages_under_way_are_completed_after_unsubscribe(site) {
        for version in VERSIONS {
            let builder = site.builder("subscriber").version(version).manual();
            let mut client = builder.connect().await;
            client.subscribe("t", Qos::ExactlyOnce).await;
            site.client("publisher").await.publish("t", "x", Qos::ExactlyOnce).await;
            let publish = client.recv().await;
            assert_eq!(publish.message.text(), "x");
            client.unsubscribe("t").await;
            client.acknowledge(&publish).await;
            match client.packet().await {
                Some(Packet::PubRel(ack)) => assert_eq!(Some(ack.packet_id), publish.packet_id),
                other => panic!("expected PUBREL, got {other:?}"),
            }
            client.disconnect().await;
        }
    }
}
