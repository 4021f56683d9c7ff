//! User name and password (sections 3.1.2.8, 3.1.2.9, 3.1.3.5 and 3.1.3.6).

use bytes::Bytes;
use harness::{MessageExt as _, TestNode, everywhere};
use mqtt::{ProtocolVersion, Qos, ReasonCode, Str};

use crate::{Raw, VERSIONS};

/// What a client of each version is told.
fn told(version: ProtocolVersion, v5: ReasonCode) -> ReasonCode {
    match (version, v5) {
        (ProtocolVersion::V5, reason_code) => reason_code,
        // The harness reads the return codes 4 and 5 of MQTT 3 as these.
        (_, ReasonCode::BadUserNameOrPassword) => ReasonCode::BadUserNameOrPassword,
        (_, _) => ReasonCode::NotAuthorized,
    }
}

everywhere! {
    /// [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.3-12]
    async fn a_user_connects_with_a_password(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        for version in VERSIONS {
            for _ in 0..2 {
                let builder = site.builder("x").version(version).credentials("anna", "secret");
                builder.connect().await.ping().await;
            }
        }
    }

    /// [MQTT-3.1.4-2]
    async fn whoever_is_not_known_is_refused(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let wrong = ReasonCode::BadUserNameOrPassword;
        let cases: [(_, Option<&'static [u8]>, _); 8] = [
            (Some("anna"), Some(b"Secret"), wrong),
            (Some("anna"), Some(b"secret\0"), wrong),
            (Some("anna"), Some(b"\xff\xfe"), wrong),
            (Some("anna"), Some(b""), wrong),
            (Some("anna"), None, wrong),
            (Some("nobody"), Some(b"secret"), wrong),
            (Some(""), Some(b"secret"), wrong),
            (None, None, ReasonCode::NotAuthorized),
        ];
        for version in VERSIONS {
            for (username, password, reason_code) in cases {
                let refused = site.builder("x").version(version).with(|connect| {
                    connect.username = username.map(Str::from_static);
                    connect.password = password.map(Bytes::from_static);
                }).try_connect().await.unwrap_err();
                let case = format!("{version:?} {username:?} {password:?}");
                assert_eq!(refused.reason_code(), told(version, reason_code), "{case}");
            }
        }
        // MQTT 5 has passwords without a user name.
        let refused = site.builder("x").with(|connect| {
            connect.password = Some(Bytes::from_static(b"secret"));
        }).try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::NotAuthorized);
    }

    /// [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19] The flags say what is there.
    async fn fields_and_flags_must_agree(site, "auth.mode=default") {
        site.add_user("u", "p").await;
        let connect = |flags: u8, payload: &[u8]| {
            let rest = [&b"\x00\x04MQTT\x05"[..], &[flags, 0, 60, 0, 0, 1, b'x'], payload].concat();
            [&[0x10, u8::try_from(rest.len()).unwrap()][..], &rest].concat()
        };
        let cases = [
            (connect(0xc2, b"\x00\x01u\x00\x01p"), 0x00),
            (connect(0x82, b"\x00\x01u"), 0x86),
            (connect(0x42, b"\x00\x01p"), 0x87),
            (connect(0x02, b"\x00\x01u\x00\x01p"), 0x81),
            (connect(0x82, b"\x00\x01u\x00\x01p"), 0x81),
            (connect(0x42, b"\x00\x01u\x00\x01p"), 0x81),
            (connect(0xc2, b"\x00\x01u"), 0x81),
            // [MQTT-3.1.3-12]
            (connect(0xc2, b"\x00\x01\xff\x00\x01p"), 0x81),
        ];
        for (bytes, reason_code) in cases {
            let mut raw = Raw::connect(site.address()).await;
            raw.send(&bytes).await;
            let connack = raw.read(4).await;
            assert_eq!((connack[0], connack[3]), (0x20, reason_code), "{bytes:02x?}");
        }
    }

    /// A refused client has no session, and takes none from others.
    async fn a_refused_client_disturbs_nobody(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut client = site.builder("same").credentials("anna", "secret").connect().await;
        for _ in site.nodes() {
            site.builder("same").credentials("anna", "wrong").try_connect().await.unwrap_err();
            site.builder("same").try_connect().await.unwrap_err();
        }
        client.ping().await;
    }

    /// All clients at once, and none of them seen before: others are served meanwhile.
    async fn a_storm_of_clients_is_let_in(site, "auth.mode=default", "mqtt.connect_timeout=60s") {
        for number in 0..5 {
            site.add_user(&format!("user{number}"), &format!("password{number}")).await;
        }
        let mut client = site.builder("before").credentials("user0", "password0").connect().await;
        client.subscribe("s", Qos::AtLeastOnce).await;
        let mut storm = tokio::task::JoinSet::new();
        for number in 0..300 {
            let (user, other) = (number % 5, (number + 1) % 5);
            let (name, password) = (format!("user{user}"), format!("password{user}"));
            let is_right = number % 3 != 0;
            let password = if is_right { password } else { format!("password{other}") };
            let builder = site.builder(&format!("storm{number}")).credentials(&name, &password);
            storm.spawn(async move {
                let result = builder.try_connect().await;
                match (is_right, &result) {
                    (true, Ok(_)) => {}
                    (false, Err(refused)) => {
                        assert_eq!(refused.reason_code(), ReasonCode::BadUserNameOrPassword);
                    }
                    _ => panic!("{is_right}: {result:?}"),
                }
            });
        }
        for number in 0..50 {
            client.publish("s", number.to_string(), Qos::AtLeastOnce).await;
            assert_eq!(client.recv().await.message.text(), number.to_string());
        }
        while let Some(done) = storm.join_next().await {
            done.unwrap();
        }
    }
}

/// The users of a node alone are in its file.
#[tokio::test]
async fn users_outlive_their_node() {
    let mut node = TestNode::start_with(&["auth.mode=default"]).await;
    node.add_user("anna", "secret").await;
    node.stop().await;
    node.add_user("bert", "secret").await;
    node.restart().await;
    for name in ["anna", "bert"] {
        let builder = node.builder("x").credentials(name, "secret");
        builder.connect().await.ping().await;
    }
}
