//! Receive Maximum and Maximum Packet Size, in both directions (sections 4.9, 3.1.2.11.4).

use harness::{MessageExt as _, everywhere, message};
use mqtt::{Ack, Packet, Qos, ReasonCode};

everywhere! {
    /// [MQTT-3.3.4-9] [MQTT-4.9.0-2] [MQTT-4.9.0-3]
    /// [MQTT-4.5.0-2] [MQTT-4.9.0-1]
    async fn the_server_respects_the_clients_receive_maximum(site) {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut subscriber = site.builder("narrow").receive_maximum(3).manual().connect().await;
            subscriber.subscribe("t", qos).await;
            let mut publisher = site.client("publisher").await;
            for number in 0..10 {
                publisher.publish("t", number.to_string(), qos).await;
            }
            let mut under_way = Vec::new();
            for expected in 0..10 {
                if under_way.len() == 3 {
                    subscriber.assert_silent().await;
                    let publish: mqtt::Publish = under_way.remove(0);
                    subscriber.acknowledge(&publish).await;
                    if qos == Qos::ExactlyOnce {
                        assert!(matches!(subscriber.packet().await, Some(Packet::PubRel(_))));
                        let packet_id = publish.packet_id.unwrap();
                        let complete = Ack::new(packet_id, ReasonCode::Success);
                        subscriber.send(&Packet::PubComp(complete)).await;
                    }
                }
                let publish = subscriber.recv().await;
                assert_eq!(publish.message.text(), expected.to_string());
                under_way.push(publish);
            }
        }
    }

    /// QoS 0 is not counted. [MQTT-3.3.4-7]
    /// [MQTT-4.9.0-3]
    async fn qos_0_is_not_held_back_by_receive_maximum(site) {
        let mut subscriber = site.builder("narrow").receive_maximum(1).manual().connect().await;
        subscriber.subscribe("one", Qos::AtLeastOnce).await;
        subscriber.subscribe("zero", Qos::AtMostOnce).await;
        let mut publisher = site.client("publisher").await;
        publisher.publish("one", "1", Qos::AtLeastOnce).await;
        assert_eq!(subscriber.recv_texts(1).await, ["1"]);
        publisher.publish("one", "2", Qos::AtLeastOnce).await;
        for number in 0..5 {
            publisher.publish("zero", number.to_string(), Qos::AtMostOnce).await;
        }
        assert_eq!(subscriber.recv_texts(5).await, ["0", "1", "2", "3", "4"]);
    }

    /// A full window does not hold up a PINGRESP or a SUBACK.
    /// [MQTT-3.3.4-10] [MQTT-4.9.0-3]
    async fn a_full_window_does_not_delay_answers(site) {
        let mut subscriber = site.builder("narrow").receive_maximum(1).manual().connect().await;
        subscriber.subscribe("t", Qos::AtLeastOnce).await;
        let mut publisher = site.client("publisher").await;
        for _ in 0..5 {
            publisher.publish("t", "x", Qos::AtLeastOnce).await;
        }
        subscriber.ping().await;
        subscriber.subscribe("u", Qos::AtLeastOnce).await;
        subscriber.publish("v", "x", Qos::AtLeastOnce).await;
    }

    /// [MQTT-3.3.4-7] Too many QoS 2 messages under way: 0x93.
    /// [MQTT-3.3.4-8]
    async fn a_client_that_exceeds_receive_maximum_is_disconnected(
        site, "mqtt.server_receive_maximum=5"
    ) {
        let mut client = site.builder("greedy").manual().connect().await;
        assert_eq!(client.connack.properties.receive_maximum.map(u16::from), Some(5));
        for _ in 0..5 {
            let publish = client.make_publish(message("t", "x", Qos::ExactlyOnce));
            client.send(&Packet::Publish(publish.clone())).await;
            client.session.keep(&publish); // its identifier stays in use
        }
        client.ping().await;
        let publish = client.make_publish(message("t", "x", Qos::ExactlyOnce));
        client.send(&Packet::Publish(publish)).await;
        client.closed_with(ReasonCode::ReceiveMaximumExceeded).await;
    }

    /// [MQTT-3.1.2-24] [MQTT-3.1.2-25] A packet that is too large is left out, not in the way.
    async fn a_message_too_large_for_the_client_is_skipped(site) {
        let builder = site.builder("small").persistent(100).maximum_packet_size(200);
        let mut subscriber = builder.connect().await;
        subscriber.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        for qos in crate::QOS {
            publisher.publish("t", "before", qos).await;
            publisher.publish("t", vec![b'x'; 300], qos).await;
            publisher.publish("t", "after", qos).await;
            assert_eq!(subscriber.recv_texts(2).await, ["before", "after"]);
        }
        subscriber.assert_silent().await;
        subscriber.vanish().await;
        // [MQTT-3.1.2-25] It counts as delivered: it does not come to a larger connection either.
        let mut subscriber = site.builder("small").persistent(100).connect().await;
        subscriber.assert_silent().await;
        assert!(site.metric("causeway_messages_dropped_total", &[]).await >= 3.0);
    }

    /// [MQTT-3.2.2-15]
    async fn a_packet_too_large_for_the_server_is_refused(
        site, "mqtt.server_maximum_packet_size=1024"
    ) {
        let mut client = site.client("large").await;
        client.publish("t", vec![0; 900], Qos::AtLeastOnce).await;
        client.start(message("t", vec![0; 1100], Qos::AtLeastOnce)).await;
        client.closed_with(ReasonCode::PacketTooLarge).await;
        // Refused as soon as its length is known, not when it has come.
        let mut client = site.client("large").await;
        client.send_bytes(b"\x30\xff\xff\xff\x7f").await;
        client.closed_with(ReasonCode::PacketTooLarge).await;
    }

    /// Section 4.9: the quota begins anew with each connection, whatever was under way before.
    async fn what_was_under_way_on_an_earlier_connection_does_not_count(
        site, "mqtt.server_receive_maximum=3"
    ) {
        let builder = || site.builder("again").persistent(100).manual();
        let mut client = builder().connect().await;
        let publish = |number: u16| mqtt::Publish {
            packet_id: mqtt::PacketId::new(number),
            message: message("t", "x", Qos::ExactlyOnce),
            ..Default::default()
        };
        for number in 1..=3 {
            client.send(&Packet::Publish(publish(number))).await;
            assert!(matches!(client.packet().await, Some(Packet::PubRec(_))));
        }
        client.vanish().await;
        let mut client = builder().connect().await;
        for number in 11..=13 {
            client.send(&Packet::Publish(publish(number))).await;
            assert!(matches!(client.packet().await, Some(Packet::PubRec(_))));
        }
        for number in [1, 2, 3, 11, 12, 13] {
            let packet_id = mqtt::PacketId::new(number).unwrap();
            let ack = Ack::new(packet_id, ReasonCode::Success);
            client.send(&Packet::PubRel(ack.clone())).await;
            assert_eq!(client.packet().await, Some(Packet::PubComp(ack)));
        }
        for number in 21..=23 {
            client.send(&Packet::Publish(publish(number))).await;
        }
        client.send(&Packet::Publish(publish(24))).await;
        client.closed_with(ReasonCode::ReceiveMaximumExceeded).await;
    }
}
