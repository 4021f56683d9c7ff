//! CONNECT, CONNACK, PINGREQ, DISCONNECT (sections 3.1, 3.2, 3.12, 3.14).

use std::collections::HashSet;

use harness::{Client, everywhere, message};
use mqtt::{Packet, ProtocolVersion, Qos, ReasonCode, Str};

use crate::{Raw, VERSIONS, wire};

everywhere! {
    /// [MQTT-3.2.0-1] [MQTT-3.2.2-2] [MQTT-3.12.4-1]
    /// [MQTT-3.1.4-5] [MQTT3-3.1.4-4] [MQTT3-3.12.4-1]
    async fn a_client_of_each_version_connects_and_pings(site) {
        for version in VERSIONS {
            let id = format!("v{}", version.level());
            let mut client = site.builder(&id).version(version).connect().await;
            assert!(!client.session_present());
            client.ping().await;
            client.disconnect().await;
        }
    }

    /// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
    async fn a_client_without_an_identifier_is_given_a_unique_one(site) {
        let mut given = HashSet::new();
        let mut clients = Vec::new();
        for _ in 0..6 {
            let client = site.client("").await;
            let id = client.assigned_client_id().expect("an assigned client identifier");
            assert!(!id.is_empty());
            assert!(given.insert(id), "given twice");
            clients.push(client);
        }
        for client in &mut clients {
            client.ping().await; // nobody was taken over
        }
    }

    /// An identifier that the server has chosen names a session like any other.
    /// [MQTT-3.1.3-7]
    async fn an_assigned_identifier_can_be_used_again(site) {
        let mut client = site.builder("").with(|connect| {
            connect.properties.session_expiry_interval = Some(100);
        }).connect().await;
        let id = client.assigned_client_id().unwrap();
        client.subscribe("a/b", Qos::AtLeastOnce).await;
        client.vanish().await;
        let client = site.builder(&id).persistent(100).connect().await;
        assert!(client.session_present());
        assert_eq!(client.assigned_client_id(), None);
    }

    /// [MQTT3-3.1.3-6]
    async fn an_empty_identifier_is_accepted_in_3_1_1_with_clean_session(site) {
        for _ in 0..2 {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00").await;
            assert_eq!(raw.read(4).await, [0x20, 2, 0, 0]);
        }
    }

    /// [MQTT3-3.1.3-8] [MQTT3-3.1.3-9]
    /// [MQTT3-3.1.3-7]
    async fn an_empty_identifier_is_refused_in_3_1_1_without_clean_session(site) {
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00").await;
        assert_eq!(raw.rest().await, [0x20, 2, 0, 2]);
    }

    /// MQTT 3.1 has no anonymous clients: identifier rejected.
    async fn an_empty_identifier_is_refused_in_3_1(site) {
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00").await;
        assert_eq!(raw.rest().await, [0x20, 2, 0, 2]);
    }

    /// [MQTT-3.1.2-2] [MQTT3-3.1.2-2]
    async fn an_unknown_protocol_level_is_refused(site) {
        for level in [0, 1, 2, 3, 6, 255] {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 60, 0, 1, b'x']).await;
            let answer = raw.rest().await;
            let is_refusal = answer.is_empty()
                || answer == [0x20, 2, 0, 1]
                || (answer.starts_with(&[0x20]) && answer.get(3) == Some(&0x84));
            assert!(is_refusal, "level {level} answered with {answer:02x?}");
        }
    }

    /// [MQTT-3.1.2-1]
    /// [MQTT3-3.1.2-1]
    async fn an_unknown_protocol_name_is_refused(site) {
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"\x10\x0d\x00\x04MQTX\x05\x02\x00\x3c\x00\x00\x00").await;
        let answer = raw.rest().await;
        assert!(answer.is_empty() || answer[0] == 0x20 && answer[3] != 0, "{answer:02x?}");
    }

    /// [MQTT-3.1.0-1]
    /// [MQTT3-3.1.0-1]
    async fn the_first_packet_must_be_connect(site) {
        for bytes in [&b"\xc0\x00"[..], b"\xe0\x00", b"\x30\x03\x00\x01a", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(bytes).await;
            assert_eq!(raw.rest().await, b"", "after {bytes:02x?}");
        }
    }

    /// [MQTT-3.1.0-2]
    /// [MQTT-3.2.0-2] [MQTT3-3.1.0-2]
    async fn a_second_connect_is_a_protocol_error(site) {
        let mut client = site.client("twice").await;
        client.send_bytes(b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05twice").await;
        client.closed_with(ReasonCode::ProtocolError).await;
        let mut client = site.builder("twice").version(ProtocolVersion::V3_1_1).connect().await;
        client.send_bytes(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05twice").await;
        client.closed_with(ReasonCode::ProtocolError).await;
    }

    /// [MQTT-3.1.2-3] The reserved flag of CONNECT.
    async fn a_reserved_connect_flag_is_malformed(site) {
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"\x10\x0e\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x01x").await;
        let answer = raw.rest().await;
        assert!(answer.is_empty() || answer[..1] == [0x20] && answer[3] == 0x81, "{answer:02x?}");
    }

    /// [MQTT-3.1.3-4] The Client Identifier is UTF-8.
    async fn a_client_identifier_that_is_not_utf_8_is_refused(site) {
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02\xff\xfe").await;
        let answer = raw.rest().await;
        assert!(answer.is_empty() || answer[..1] == [0x20] && answer[3] >= 0x80, "{answer:02x?}");
    }

    /// Section 4.12: without a method that the server knows.
    /// [MQTT-4.12.0-1]
    async fn an_unknown_authentication_method_is_refused(site) {
        let refused = site.builder("method").with(|connect| {
            connect.properties.authentication_method = Some(Str::new("no-such").unwrap());
        }).try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::BadAuthenticationMethod);
    }

    /// Nothing is checked while `auth.mode` is `disabled`.
    async fn user_name_and_password_are_accepted_without_authentication(site) {
        for version in VERSIONS {
            site.builder("named").version(version).credentials("u", "p").connect().await;
        }
    }

    /// TCP may split packets anywhere.
    /// [MQTT-4.2.0-1] [MQTT3-3.1.4-4] [MQTT3-7.1.1-1]
    async fn packets_may_arrive_byte_by_byte(site) {
        let mut raw = Raw::connect(site.address()).await;
        let packets = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc\x82\x06\x00\x01\x00\x01t\x00\x30\x05\x00\x01thi";
        for byte in packets {
            raw.send(&[*byte]).await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(raw.read(16).await, b"\x20\x02\x00\x00\x90\x03\x00\x01\x00\x30\x05\x00\x01thi");
    }

    /// [MQTT-3.1.4-5] A client need not wait for CONNACK; what it sends is answered after it.
    /// [MQTT-3.2.0-1] [MQTT3-3.2.0-1]
    async fn a_client_may_send_before_connack(site) {
        for version in VERSIONS {
            let connect = wire::connect(version, 2, &wire::field(b"abd"));
            let none = wire::properties(version, &[]);
            let topic = wire::field(b"u");
            let subscribe = wire::frame(0x82, &[&[0, 1], &none, &topic, &[0]]);
            let publish = wire::frame(0x30, &[&topic, &none, b"hi"]);
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&[&connect[..], &subscribe, &publish, b"\xc0\x00"].concat()).await;
            assert_eq!(raw.packet().await[0], 0x20);
            assert_eq!(raw.packet().await, wire::frame(0x90, &[&[0, 1], &none, &[0]]));
            let mut rest = [raw.packet().await, raw.packet().await];
            rest.sort();
            assert_eq!(rest, [publish, b"\xd0\x00".to_vec()]);
        }
    }

    /// [MQTT-3.14.4-2] After DISCONNECT the server closes and sends nothing.
    /// [MQTT3-3.14.4-1]
    async fn disconnect_closes_the_connection(site) {
        for version in VERSIONS {
            let mut client = site.builder("leaver").version(version).connect().await;
            let packet = Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::Success));
            client.send(&packet).await;
            assert_eq!(client.closed().await, None);
        }
    }

    async fn a_client_that_never_sends_connect_is_closed(site, "mqtt.connect_timeout=1s") {
        let mut raw = Raw::connect(site.address()).await;
        raw.send(b"\x10").await;
        assert_eq!(raw.rest().await, b"");
    }

    /// Section 3.2.2.3
    /// [MQTT-3.2.2-9]
    async fn connack_announces_what_is_configured(
        site,
        "mqtt.server_receive_maximum=7",
        "mqtt.server_maximum_packet_size=4096",
        "mqtt.server_topic_alias_maximum=3",
        "mqtt.server_keep_alive=33",
        "mqtt.maximum_qos=1"
    ) {
        let client = site.client("reader").await;
        let properties = &client.connack.properties;
        assert_eq!(properties.receive_maximum.map(u16::from), Some(7));
        assert_eq!(properties.maximum_packet_size.map(u32::from), Some(4096));
        assert_eq!(properties.topic_alias_maximum, Some(3));
        assert_eq!(properties.server_keep_alive, Some(33));
        assert_eq!(properties.maximum_qos, Some(Qos::AtLeastOnce));
        assert_ne!(properties.retain_available, Some(false));
        assert_ne!(properties.wildcard_subscription_available, Some(false));
        assert_ne!(properties.shared_subscription_available, Some(false));
        assert_ne!(properties.subscription_identifiers_available, Some(false));
    }

    /// [MQTT-3.2.2-9] [MQTT-3.2.2-11] [MQTT-3.2.2-12]
    /// [MQTT-3.1.4-2]
    async fn a_lower_maximum_qos_is_kept(site, "mqtt.maximum_qos=1") {
        let mut subscriber = site.client("subscriber").await;
        let options = mqtt::SubscriptionOptions { qos: Qos::ExactlyOnce, ..Default::default() };
        let granted = subscriber.subscribe_with("a", options, None).await;
        assert!(!granted.is_error(), "[MQTT-3.2.2-10] {granted}");
        let mut publisher = site.client("publisher").await;
        publisher.start(message("a", "x", Qos::ExactlyOnce)).await;
        publisher.closed_with(ReasonCode::QosNotSupported).await;
        let will = message("a", "x", Qos::ExactlyOnce);
        let refused = site.builder("will").will(will).try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::QosNotSupported);
        subscriber.assert_silent().await;
    }

    /// The server has no Response Information, so it cannot come unasked either.
    /// [MQTT-3.1.2-28]
    async fn no_response_information_comes_unasked(site) {
        for asked in [None, Some(false), Some(true)] {
            let client = site.builder("asking").with(|connect| {
                connect.properties.request_response_information = asked;
            }).connect().await;
            assert_eq!(client.connack.properties.response_information, None);
        }
    }
}

/// What a client may count on without configuration.
#[tokio::test]
async fn the_default_limits_are_generous() {
    let node = harness::TestNode::start().await;
    let client: Client = node.client("reader").await;
    let properties = &client.connack.properties;
    assert!(
        properties
            .receive_maximum
            .is_none_or(|maximum| maximum.get() >= 16)
    );
    assert!(
        properties
            .maximum_packet_size
            .is_none_or(|size| (1 << 20..=268_435_455).contains(&size.get())),
        "paho-mqtt refuses a larger one"
    );
    assert!(
        properties.maximum_qos.is_none(),
        "QoS 2 (section 3.2.2.3.4)"
    );
    assert!(properties.server_keep_alive.is_none());
    assert_eq!(properties.session_expiry_interval, None);
}
