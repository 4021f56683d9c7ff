//! Limits of the broker, and that slow clients stay within them (G10).

use harness::{MessageExt as _, everywhere, message};
use mqtt::{Packet, Qos, ReasonCode};

everywhere! {
    /// A subscriber that does not read costs bounded memory and delays nobody; what it loses is
    /// counted.
    async fn a_subscriber_that_does_not_read_delays_nobody(site, "mqtt.max_queued_messages=100") {
        let mut stuck = site.client("stuck").await;
        stuck.subscribe("flood", Qos::AtMostOnce).await;
        let mut reader = site.client("reader").await;
        reader.subscribe("flood", Qos::AtLeastOnce).await;
        let mut publisher = site.client("publisher").await;
        for round in 0..300 {
            for number in 0..10 {
                let mut payload = format!("{round}:{number} ").into_bytes();
                payload.resize(50_000, b'x');
                publisher.start(message("flood", payload, Qos::AtLeastOnce)).await;
            }
            for number in 0..10 {
                let text = reader.recv().await.message.text();
                assert!(text.starts_with(&format!("{round}:{number} ")), "not {round}:{number}");
            }
        }
        publisher.settle().await;
        let dropped = site.metric("causeway_messages_dropped_total", &["reason=\"queue_full\""]).await;
        assert!(dropped > 0.0, "nothing is counted as dropped");
        // It is still connected, and hears what it reads in order.
        let mut last = -1;
        while let Some(publish) = stuck.recv_within(harness::SILENCE).await {
            let text = publish.message.text();
            let (round, rest) = text.split_once(':').unwrap();
            let number: i32 = rest.split_once(' ').unwrap().0.parse().unwrap();
            let position = round.parse::<i32>().unwrap() * 10 + number;
            assert!(position > last);
            last = position;
        }
        stuck.ping().await;
    }

    /// With a stored session nothing is lost: what does not fit into memory waits in the database.
    async fn a_slow_stored_session_loses_nothing(site) {
        let builder = site.builder("slow").persistent(1000).receive_maximum(10).manual();
        let mut slow = builder.connect().await;
        slow.subscribe("t", Qos::AtLeastOnce).await;
        let mut publisher = site.client("publisher").await;
        for number in 0..2000 {
            let text = format!("{number:>8000}");
            publisher.start(message("t", text, Qos::AtLeastOnce)).await;
        }
        publisher.settle().await;
        for number in 0..2000 {
            let publish = slow.recv().await;
            assert_eq!(publish.message.text().trim(), number.to_string());
            slow.acknowledge(&publish).await;
        }
        slow.assert_silent().await;
    }

    /// [MQTT-3.2.2-7] The broker may set the Session Expiry Interval, and says so.
    async fn a_session_expiry_of_the_broker_is_announced(site, "mqtt.session_expiry_interval=1") {
        let mut client = site.builder("long").persistent(1000).connect().await;
        assert_eq!(client.connack.properties.session_expiry_interval, Some(1));
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.vanish().await;
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        assert!(!site.builder("long").persistent(1000).connect().await.session_present());
    }

    /// [MQTT-3.1.2-29] Without Request Problem Information no reason strings come.
    async fn reason_strings_can_be_declined(site) {
        let mut client = site.builder("terse").with(|connect| {
            connect.properties.request_problem_information = Some(false);
        }).connect().await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.send(&Packet::PubRel(mqtt::Ack::new(
            mqtt::PacketId::new(9).unwrap(),
            ReasonCode::Success,
        ))).await;
        match client.packet().await {
            Some(Packet::PubComp(ack)) => assert!(ack.properties.is_empty()),
            other => panic!("expected PUBCOMP, got {other:?}"),
        }
    }
}
