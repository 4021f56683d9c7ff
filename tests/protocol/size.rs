//! The client's Maximum Packet Size, for everything but messages (section 3.1.2.11.4); those are in
//! `flow`.

use harness::{Client, Site, everywhere};
use mqtt::{Ack, Packet, PacketId, Qos, ReasonCode, Subscription, TopicFilter};

use crate::{
    Raw,
    wire::{connect_with, field},
};

/// As large as the CONNACK of a node with default settings.
const SMALL: u32 = 8;

/// A client whose decoder refuses larger packets.
async fn small(site: &Site) -> Client {
    site.builder("small")
        .maximum_packet_size(SMALL)
        .connect()
        .await
}

fn subscriptions(count: usize) -> Vec<Subscription> {
    (0..count)
        .map(|number| Subscription {
            filter: TopicFilter::new(format!("f/{number}")).unwrap(),
            options: mqtt::SubscriptionOptions::default(),
        })
        .collect()
}

everywhere! {
    /// No answer carries a Reason String or a User Property that would make it too large.
    /// [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3]
    /// [MQTT-3.6.2-1] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1]
    /// [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-2] [MQTT-3.14.2-3]
    /// [MQTT-3.14.2-4]
    async fn every_answer_fits_into_small_packets(site) {
        let mut client = small(site).await;
        let connack = &client.connack.properties;
        assert!(connack.reason_string.is_none() && connack.user_properties.is_empty());
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            client.publish("nobody", "x", qos).await;
        }
        let stray = Ack::new(PacketId::new(77).unwrap(), ReasonCode::Success);
        let unknown = Ack::new(stray.packet_id, ReasonCode::PacketIdentifierNotFound);
        client.send(&Packet::PubRel(stray.clone())).await;
        assert_eq!(client.packet().await, Some(Packet::PubComp(unknown.clone())));
        client.send(&Packet::PubRec(stray)).await;
        assert_eq!(client.packet().await, Some(Packet::PubRel(unknown)));
        client.subscribe("f", Qos::ExactlyOnce).await;
        assert_eq!(client.unsubscribe("f").await, ReasonCode::Success);
        assert_eq!(client.unsubscribe("f").await, ReasonCode::NoSubscriptionExisted);
        client.send_bytes(b"\xc1\x00").await;
        let disconnect = client.closed().await.unwrap();
        assert_eq!(disconnect.reason_code, ReasonCode::MalformedPacket);
        assert!(disconnect.properties.is_empty());
    }

    /// An answer that cannot be made smaller is not sent; the client is told, and not left waiting.
    /// [MQTT-3.1.2-24]
    async fn an_answer_that_does_not_fit_ends_the_connection(site) {
        let mut client = small(site).await;
        client.subscribe_all(subscriptions(3), None).await;
        let packet = mqtt::Subscribe {
            packet_id: PacketId::new(9).unwrap(),
            subscription_identifier: None,
            user_properties: vec![],
            subscriptions: subscriptions(4),
        };
        client.send(&Packet::Subscribe(packet)).await;
        client.closed_with(ReasonCode::PacketTooLarge).await;
        let mut client = small(site).await;
        let packet = mqtt::Unsubscribe {
            packet_id: PacketId::new(9).unwrap(),
            user_properties: vec![],
            filters: subscriptions(4).into_iter().map(|one| one.filter).collect(),
        };
        client.send(&Packet::Unsubscribe(packet)).await;
        client.closed_with(ReasonCode::PacketTooLarge).await;
    }

    /// Nobody who cannot be welcomed takes a session over.
    /// [MQTT-3.1.2-24]
    async fn a_connack_that_does_not_fit_refuses_the_client(site) {
        let mut first = site.client("id").await;
        for (maximum, expected) in [(7, &[0x20, 3, 0, 0x95, 0][..]), (5, &[0x20, 3, 0, 0x95, 0]), (4, &[])] {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&connect_with(mqtt::ProtocolVersion::V5, 2, &[0x27, 0, 0, 0, maximum], &field(b"id"))).await;
            assert_eq!(raw.rest().await, expected, "at most {maximum} bytes");
        }
        first.ping().await;
        let refused = site.builder("").maximum_packet_size(SMALL).try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::PacketTooLarge, "no room for a name");
    }
}
