//! One client identifier, one connection (section 3.1.4; G5).

use harness::{MessageExt as _, everywhere};
use mqtt::{ProtocolVersion, Qos, ReasonCode};

use crate::VERSIONS;

everywhere! {
    /// [MQTT-3.1.4-3]
    /// [MQTT-3.1.3-2] [MQTT3-3.1.3-2] [MQTT3-3.1.4-2]
    async fn a_second_connection_takes_over(site) {
        for old in VERSIONS {
            for new in VERSIONS {
                let mut first = site.builder("moved").version(old).connect().await;
                let mut second = site.builder("moved").version(new).connect().await;
                first.closed_with(ReasonCode::SessionTakenOver).await;
                second.ping().await;
                second.disconnect().await;
            }
        }
    }

    /// Also without going to another node.
    async fn a_second_connection_takes_over_on_the_same_node(site) {
        let address = site.address();
        let mut first = site.builder("moved").at(address).connect().await;
        let mut second = site.builder("moved").at(address).connect().await;
        first.closed_with(ReasonCode::SessionTakenOver).await;
        second.ping().await;
    }

    /// The session moves with what is in flight and in the queue, and nothing is doubled.
    async fn a_takeover_moves_what_is_in_flight(site) {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let connect = || site.builder("moved").persistent(100).receive_maximum(5);
            let mut first = connect().manual().connect().await;
            first.subscribe("t", qos).await;
            let mut publisher = site.client("publisher").await;
            for number in 0..20 {
                publisher.publish("t", number.to_string(), qos).await;
            }
            let mut packet_ids = Vec::new();
            for _ in 0..5 {
                packet_ids.push(first.recv().await.packet_id);
            }
            let mut second = connect().connect().await;
            assert!(second.session_present());
            for number in 0..20 {
                let publish = second.recv().await;
                assert_eq!(publish.message.text(), number.to_string());
                if let Some(packet_id) = packet_ids.get(number) {
                    assert_eq!((publish.dup, &publish.packet_id), (true, packet_id));
                }
            }
            second.assert_silent().await;
            first.closed_with(ReasonCode::SessionTakenOver).await;
            second.disconnect_with(ReasonCode::Success, Some(0)).await;
        }
    }

    /// Messages that come during takeovers are neither lost nor doubled.
    async fn messages_during_takeovers_arrive(site) {
        let mut client = site.builder("moved").persistent(100).connect().await;
        client.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        let mut seen = Vec::new();
        for number in 0..60 {
            publisher.start(harness::message("t", number.to_string(), Qos::ExactlyOnce)).await;
            if number % 6 == 5 {
                // The old connection is forgotten by the client, but not closed by it.
                let session = client.session.clone();
                seen.extend(client.take_inbox());
                let builder = site.builder("moved").persistent(100).resume(session);
                client = builder.connect().await;
            }
        }
        publisher.settle().await;
        while seen.len() < 60 {
            seen.push(client.recv().await);
        }
        client.assert_silent().await;
        let texts: Vec<String> = seen.iter().map(|publish| publish.message.text()).collect();
        let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected);
    }

    /// Many at once: one stays.
    async fn of_many_connections_at_once_one_stays(site) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let builder = site.builder("wanted").version(VERSIONS[number % 3]);
            tasks.spawn(async move { builder.try_connect().await });
        }
        let mut connected = Vec::new();
        while let Some(result) = tasks.join_next().await {
            connected.extend(result.unwrap());
        }
        assert!(!connected.is_empty());
        let mut alive = 0;
        for client in &mut connected {
            client.send(&mqtt::Packet::PingReq).await;
            let answered = async {
                loop {
                    match client.event().await {
                        harness::Event::Pong => return true,
                        harness::Event::Closed => return false,
                        _ => {}
                    }
                }
            };
            alive += u32::from(tokio::time::timeout(harness::LIMIT, answered).await.unwrap());
        }
        assert!(alive <= 1, "{alive} connections of one client");
        // And whoever stays hears each message once.
        let mut client = site.builder("wanted").version(ProtocolVersion::V3_1_1).connect().await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        site.client("publisher").await.publish("t", "x", Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["x"]);
        client.assert_silent().await;
    }
}
