//! Enhanced authentication with SCRAM-SHA-256 (sections 3.15 and 4.12).

use bytes::Bytes;
use harness::{Client, Refused, Scram, Site, everywhere};
use mqtt::{ConnAck, Disconnect, Packet, Qos, ReasonCode, Str};

/// A client that has sent CONNECT.
async fn started(site: &Site, scram: &Scram) -> Client {
    let builder = site.builder("someone").scram(scram.clone());
    builder.start().await.expect("the node listens")
}

/// The challenge to a client that has sent CONNECT.
async fn challenged(client: &mut Client) -> mqtt::Auth {
    match client.packet().await {
        Some(Packet::Auth(auth)) => auth,
        other => panic!("expected AUTH, got {other:?}"),
    }
}

fn data(auth: &mqtt::Auth) -> String {
    let data = auth.properties.authentication_data.as_ref().expect("data");
    String::from_utf8(data.to_vec()).unwrap()
}

async fn refused(site: &Site, scram: Scram) -> ConnAck {
    let builder = site.builder("someone").scram(scram);
    match builder.try_connect().await.unwrap_err() {
        Refused::ConnAck(connack) => connack,
        other => panic!("expected CONNACK, got {other:?}"),
    }
}

/// The CONNACK that ends the connection.
async fn last_connack(mut client: Client) -> ConnAck {
    let Some(Packet::ConnAck(connack)) = client.packet().await else {
        panic!("expected CONNACK");
    };
    assert!(client.packet().await.is_none(), "[MQTT-4.12.0-4]");
    connack
}

everywhere! {
    /// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
    async fn a_user_connects_by_scram(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        for gs2_header in ["n,,", "y,,", "n,a=anna,"] {
            let scram = Scram { gs2_header: gs2_header.to_owned(), ..Scram::new("anna", "secret") };
            let mut client = site.builder("someone").scram(scram).connect().await;
            let method = client.connack.properties.authentication_method.clone();
            assert_eq!(method.as_ref().map(Str::as_str), Some(Scram::METHOD), "[MQTT-4.12.0-5]");
            client.subscribe("a", Qos::AtLeastOnce).await;
            client.publish("a", "x", Qos::AtLeastOnce).await;
            client.recv().await;
            client.disconnect().await;
        }
    }

    /// Section 4.12: the server asks for what it needs.
    async fn the_first_message_may_be_left_out_of_connect(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut scram = Scram::new("anna", "secret");
        let builder = site.builder("someone").with(|connect| {
            connect.properties.authentication_method = Some(Str::from_static(Scram::METHOD));
        });
        let mut client = builder.start().await.unwrap();
        let asked = challenged(&mut client).await;
        assert_eq!(asked.reason_code, ReasonCode::ContinueAuthentication);
        assert_eq!(asked.properties.authentication_data, None);
        client.authenticate(ReasonCode::ContinueAuthentication, Some(scram.first())).await;
        let challenge = challenged(&mut client).await;
        client.answer_challenge(&challenge, &mut scram).await;
        let Some(Packet::ConnAck(connack)) = client.packet().await else { panic!("no CONNACK") };
        assert_eq!(connack.reason_code, ReasonCode::Success);
        assert!(scram.trusts(connack.properties.authentication_data.as_ref()));
    }

    /// It is asked once.
    async fn a_client_that_never_begins_is_refused(site, "auth.mode=default") {
        let builder = site.builder("someone").with(|connect| {
            connect.properties.authentication_method = Some(Str::from_static(Scram::METHOD));
        });
        let mut client = builder.start().await.unwrap();
        challenged(&mut client).await;
        client.authenticate(ReasonCode::ContinueAuthentication, None).await;
        assert_eq!(last_connack(client).await.reason_code, ReasonCode::NotAuthorized);
    }

    /// [MQTT-4.12.0-4] Nobody can tell a wrong password from a user who does not exist, at any node
    /// and however often they ask.
    async fn a_wrong_password_and_an_unknown_user_look_alike(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut seen = Vec::new();
        for username in ["anna", "nobody", "anna", "nobody", "anna", "nobody"] {
            let mut scram = Scram::new(username, "wrong");
            let mut client = started(site, &scram).await;
            let challenge = challenged(&mut client).await;
            let text = data(&challenge);
            let rest = text.split_once(',').unwrap().1.to_owned(); // without the nonce
            client.answer_challenge(&challenge, &mut scram).await;
            let connack = last_connack(client).await;
            assert_eq!(connack.reason_code, ReasonCode::NotAuthorized);
            seen.push((rest, connack));
        }
        for pair in seen.windows(3) {
            assert_eq!(pair[0].0, pair[2].0, "salt and iterations stay");
            assert_eq!(pair[0].1, pair[1].1, "the refusals are the same");
        }
        let (anna, nobody) = (&seen[0].0, &seen[1].0);
        assert_ne!(anna, nobody);
        assert_eq!(anna.len(), nobody.len());
        assert_eq!(anna.rsplit_once(','), Some((anna.rsplit_once(',').unwrap().0, "i=4096")));
        assert!(nobody.ends_with(",i=4096"));
        let data = seen[0].1.properties.authentication_data.as_deref();
        assert_eq!(data, Some(&b"e=invalid-proof"[..]));
    }

    /// [MQTT-3.1.2-30]
    async fn nothing_but_auth_and_disconnect_may_come_before_connack(site, "auth.mode=default") {
        let scram = Scram::new("anna", "secret");
        for bytes in [&b"\xc0\x00"[..], b"\x30\x05\x00\x01t\x00x", b"\x82\x07\x00\x01\x00\x00\x01t\x00"] {
            let mut client = started(site, &scram).await;
            challenged(&mut client).await;
            client.send_bytes(bytes).await;
            let connack = last_connack(client).await;
            assert_eq!(connack.reason_code, ReasonCode::ProtocolError, "after {bytes:02x?}");
        }
        let mut client = started(site, &scram).await;
        challenged(&mut client).await;
        client.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success))).await;
        assert!(client.packet().await.is_none());
    }

    /// [MQTT-3.15.1-1] [MQTT-3.15.2-1] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
    async fn an_auth_packet_that_is_wrong_ends_the_exchange(site, "auth.mode=default") {
        let method = b"\x15\x00\x0dSCRAM-SHA-256";
        let auth = |first: u8, reason: u8, properties: &[u8]| {
            let length = u8::try_from(properties.len()).unwrap();
            [&[first, length + 2, reason, length][..], properties].concat()
        };
        let cases = [
            (auth(0xf1, 0x18, method), ReasonCode::MalformedPacket),
            (auth(0xf0, 0x00, method), ReasonCode::MalformedPacket),
            (auth(0xf0, 0x87, method), ReasonCode::MalformedPacket),
            (vec![0xf0, 0], ReasonCode::MalformedPacket),
            (auth(0xf0, 0x18, b""), ReasonCode::ProtocolError),
            (auth(0xf0, 0x19, method), ReasonCode::ProtocolError),
            (auth(0xf0, 0x18, b"\x15\x00\x0bSCRAM-SHA-1"), ReasonCode::ProtocolError),
            (auth(0xf0, 0x18, &[&method[..], &method[..]].concat()), ReasonCode::ProtocolError),
            // Well-formed, and no proof.
            (auth(0xf0, 0x18, method), ReasonCode::NotAuthorized),
        ];
        for (bytes, reason_code) in cases {
            let mut client = started(site, &Scram::new("anna", "secret")).await;
            challenged(&mut client).await;
            client.send_bytes(&bytes).await;
            assert_eq!(last_connack(client).await.reason_code, reason_code, "after {bytes:02x?}");
        }
    }

    /// RFC 5802, section 7, `server-error`.
    async fn what_is_wrong_with_a_scram_message_is_told(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let good = || Scram::new("anna", "secret");
        let cases = [
            (Scram { gs2_header: "p=tls-unique,,".into(), ..good() }, "channel-binding-not-supported"),
            (Scram { gs2_header: "n,a=bert,".into(), ..good() }, "other-error"),
            (Scram { gs2_header: "q,,".into(), ..good() }, "other-error"),
            (Scram { bare: format!("m=x,{}", good().bare), ..good() }, "extensions-not-supported"),
            (Scram { bare: "n=an=na,r=x".into(), ..good() }, "invalid-username-encoding"),
            (Scram { bare: "n=anna".into(), ..good() }, "other-error"),
            (Scram { bare: format!("n=anna,r={}", "x".repeat(5000)), ..good() }, "other-error"),
            (Scram { binding: Some("y,,".into()), ..good() }, "channel-bindings-dont-match"),
            (Scram { nonce: Some("another".into()), ..good() }, "other-error"),
            (Scram { extension: ",m=x".into(), ..good() }, "extensions-not-supported"),
            (Scram { password: "Secret".into(), ..good() }, "invalid-proof"),
        ];
        for (scram, error) in cases {
            let connack = refused(site, scram).await;
            assert_eq!(connack.reason_code, ReasonCode::NotAuthorized);
            let data = connack.properties.authentication_data.as_deref();
            assert_eq!(data, Some(format!("e={error}").as_bytes()));
            let method = connack.properties.authentication_method.as_ref();
            assert_eq!(method.map(Str::as_str), Some(Scram::METHOD), "[MQTT-4.12.0-5]");
            assert!(connack.properties.reason_string.is_some());
        }
        // What is not mandatory may be there.
        let scram = Scram { bare: format!("{},x=y", good().bare), extension: ",z=1".into(), ..good() };
        site.builder("someone").scram(scram).connect().await;
    }

    /// [MQTT-4.12.0-1]
    async fn a_method_that_is_not_there_is_refused(site, "auth.mode=default") {
        for method in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "PLAIN", ""] {
            let refused = site.builder("method").with(|connect| {
                connect.properties.authentication_method = Some(Str::new(method).unwrap());
                connect.properties.authentication_data = Some(Bytes::from_static(b"x"));
            }).try_connect().await.unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::BadAuthenticationMethod, "{method}");
        }
    }

    async fn a_client_that_does_not_answer_is_closed(
        site,
        "auth.mode=default",
        "mqtt.connect_timeout=1s"
    ) {
        let mut client = started(site, &Scram::new("anna", "secret")).await;
        challenged(&mut client).await;
        assert!(client.packet().await.is_none());
    }

    /// Who proves to be anna connects as anna, whatever else CONNECT says.
    async fn the_user_name_of_connect_must_be_that_of_the_proof(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        site.add_user("bert", "secret").await;
        let builder = |username| site.builder("x").scram(Scram::new("anna", "secret"))
            .with(|connect| connect.username = Some(Str::from_static(username)));
        builder("anna").connect().await;
        builder("an\u{ad}na").connect().await; // the same to SASLprep
        for username in ["bert", "", "Anna"] {
            let refused = builder(username).try_connect().await.unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::NotAuthorized, "{username}");
        }
    }

    /// RFC 4013: names and passwords that look the same are the same.
    async fn names_are_prepared(site, "auth.mode=default") {
        site.add_user("\u{2168},=\u{e9}", "p\u{a0}w\u{ad}").await; // stored as "IX,=é" and "p w"
        site.builder("x").scram(Scram::new("IX,=e\u{301}", "p w")).connect().await;
        site.builder("x").credentials("IX,=\u{e9}", "p w").connect().await;
        let connack = refused(site, Scram::new("ix,=\u{e9}", "p w")).await;
        assert_eq!(connack.reason_code, ReasonCode::NotAuthorized);
    }

    /// [MQTT-3.1.2-24] [MQTT-3.2.2-19] [MQTT-3.15.2-2]
    /// [MQTT-3.15.2-3]
    async fn packets_stay_below_the_maximum_of_the_client(site, "auth.mode=default") {
        let scram = Scram::new("anna", "secret");
        let small = |bytes| site.builder("x").scram(scram.clone()).maximum_packet_size(bytes);
        let refused = small(60).try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::PacketTooLarge);
        let Refused::ConnAck(full) = small(200).try_connect().await.unwrap_err() else {
            panic!("no CONNACK");
        };
        assert!(full.properties.reason_string.is_some());
        let bad = Scram { gs2_header: "p=x,,".into(), ..scram.clone() };
        let bad = site.builder("x").scram(bad).maximum_packet_size(20);
        let Refused::ConnAck(short) = bad.try_connect().await.unwrap_err() else {
            panic!("no CONNACK");
        };
        assert_eq!(short, ConnAck::new(false, ReasonCode::NotAuthorized));
    }

    /// A change of users counts at once, at every node, without a restart.
    async fn a_new_password_counts_at_once_at_every_node(site, "auth.mode=default") {
        for password in ["first", "second", "third"] {
            site.add_user("anna", password).await;
            for _ in site.nodes() {
                site.builder("x").scram(Scram::new("anna", password)).connect().await;
                site.builder("x").credentials("anna", password).connect().await;
            }
        }
        for _ in site.nodes() {
            let old = Scram::new("anna", "first");
            assert_eq!(refused(site, old).await.reason_code, ReasonCode::NotAuthorized);
            let old = site.builder("x").credentials("anna", "first");
            let refused = old.try_connect().await.unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::BadUserNameOrPassword);
        }
        let removed = site.nodes()[0].user_command(&["remove", "anna"]).run().await;
        assert_eq!(removed.code, Some(0), "{removed:?}");
        for _ in site.nodes() {
            let gone = Scram::new("anna", "third");
            assert_eq!(refused(site, gone).await.reason_code, ReasonCode::NotAuthorized);
            let gone = site.builder("x").credentials("anna", "third");
            let refused = gone.try_connect().await.unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::BadUserNameOrPassword);
        }
    }
}
