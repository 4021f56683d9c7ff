//! Keep Alive (section 3.1.2.10).

use std::time::Duration;

use harness::everywhere;
use mqtt::{ProtocolVersion, ReasonCode};

everywhere! {
    /// [MQTT-3.1.2-22]
    /// [MQTT-3.2.2-22] [MQTT3-3.1.2-24]
    async fn a_silent_client_is_disconnected(site) {
        for version in [ProtocolVersion::V5, ProtocolVersion::V3_1_1, ProtocolVersion::V3_1] {
            let mut client = site.builder("silent").version(version).keep_alive(1).connect().await;
            client.closed_with(ReasonCode::KeepAliveTimeout).await;
        }
    }

    /// [MQTT-3.1.2-20] Any packet counts.
    /// [MQTT3-3.1.2-23]
    async fn a_client_that_sends_anything_stays(site) {
        let mut pinging = site.builder("pinging").keep_alive(1).connect().await;
        let mut publishing = site.builder("publishing").keep_alive(1).connect().await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            pinging.ping().await;
            publishing.publish("t", "x", mqtt::Qos::AtLeastOnce).await;
        }
    }

    /// Keep Alive 0: no limit.
    /// [MQTT-3.2.2-22]
    async fn without_keep_alive_silence_is_allowed(site) {
        let mut client = site.builder("silent").keep_alive(0).connect().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        client.ping().await;
    }

    /// [MQTT-3.1.2-21] [MQTT-3.2.2-21] The server's Keep Alive replaces the client's.
    async fn the_servers_keep_alive_counts(site, "mqtt.server_keep_alive=1") {
        let mut client = site.builder("silent").keep_alive(1000).connect().await;
        assert_eq!(client.connack.properties.server_keep_alive, Some(1));
        client.closed_with(ReasonCode::KeepAliveTimeout).await;
    }

    /// A packet counts when it is complete; a byte now and then is not a packet.
    /// [MQTT-3.1.2-22] [MQTT3-3.1.2-24]
    async fn bytes_of_an_unfinished_packet_do_not_count(site) {
        for version in crate::VERSIONS {
            let mut client = site.builder("slow").version(version).keep_alive(1).connect().await;
            client.send_bytes(b"\x30\x64\x00\x01t").await;
            let mut sent = 3;
            let ended = loop {
                assert!(sent < 90, "still connected after 18 s");
                client.send_bytes(b"x").await;
                sent += 1;
                let wait = Duration::from_millis(200);
                if let Ok(event) = tokio::time::timeout(wait, client.event()).await {
                    break event;
                }
            };
            let is_told = version == ProtocolVersion::V5;
            match ended {
                harness::Event::Disconnected(disconnect) if is_told => {
                    assert_eq!(disconnect.reason_code, ReasonCode::KeepAliveTimeout);
                }
                harness::Event::Closed if !is_told => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// MQTT 3 has no way to tell a client another Keep Alive, so its own counts.
    /// [MQTT3-3.1.2-24]
    async fn the_servers_keep_alive_is_not_imposed_on_mqtt_3(site, "mqtt.server_keep_alive=1") {
        for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1] {
            let mut patient = site.builder("patient").version(version).keep_alive(60).connect().await;
            let mut endless = site.builder("endless").version(version).keep_alive(0).connect().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            patient.ping().await;
            endless.ping().await;
        }
    }
}
