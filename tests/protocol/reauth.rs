//! Re-authentication (section 4.12.1).

use harness::{Client, MessageExt as _, Scram, Site, everywhere};
use mqtt::{Auth, AuthProperties, Packet, Qos, ReasonCode, Str};

async fn anna(site: &Site) -> Client {
    let builder = site.builder("annas").scram(Scram::new("anna", "secret"));
    builder.connect().await
}

async fn auth_packet(client: &mut Client) -> Auth {
    match client.packet().await {
        Some(Packet::Auth(auth)) => auth,
        other => panic!("expected AUTH, got {other:?}"),
    }
}

/// Begins, and returns the challenge.
async fn begin(client: &mut Client, scram: &Scram) -> Auth {
    client
        .authenticate(ReasonCode::ReAuthenticate, Some(scram.first()))
        .await;
    auth_packet(client).await
}

everywhere! {
    /// [MQTT-4.12.1-1] [MQTT-4.12.0-5]
    async fn a_client_authenticates_again_as_often_as_it_likes(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut client = anna(site).await;
        for password in ["secret", "secret", "changed"] {
            site.add_user("anna", password).await;
            let mut scram = Scram::new("anna", password);
            let challenge = begin(&mut client, &scram).await;
            client.answer_challenge(&challenge, &mut scram).await;
            let done = auth_packet(&mut client).await;
            assert_eq!(done.reason_code, ReasonCode::Success);
            let method = done.properties.authentication_method.as_ref();
            assert_eq!(method.map(Str::as_str), Some(Scram::METHOD));
            assert!(scram.trusts(done.properties.authentication_data.as_ref()));
            client.ping().await;
        }
    }

    /// Section 4.12.1: the client is who it was until that is over.
    async fn traffic_goes_on_meanwhile(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut client = anna(site).await;
        client.subscribe("t/#", Qos::ExactlyOnce).await;
        let mut other = site.builder("other").credentials("anna", "secret").connect().await;
        let mut scram = Scram::new("anna", "secret");
        let challenge = begin(&mut client, &scram).await;
        for qos in crate::QOS {
            other.publish("t/in", "in", qos).await;
            assert_eq!(client.recv().await.message.text(), "in");
            client.publish("t/out", "out", qos).await;
            assert_eq!(client.recv().await.message.text(), "out");
        }
        client.ping().await;
        client.answer_challenge(&challenge, &mut scram).await;
        assert_eq!(auth_packet(&mut client).await.reason_code, ReasonCode::Success);
    }

    /// What is pipelined behind AUTH is handled, too.
    async fn packets_right_behind_auth_are_served(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut client = anna(site).await;
        let scram = Scram::new("anna", "secret");
        client.authenticate(ReasonCode::ReAuthenticate, Some(scram.first())).await;
        client.send(&Packet::PingReq).await;
        let (mut challenged, mut ponged) = (false, false);
        while !(challenged && ponged) {
            match client.packet().await {
                Some(Packet::Auth(_)) => challenged = true,
                Some(Packet::PingResp) => ponged = true,
                other => panic!("got {other:?}"),
            }
        }
    }

    /// [MQTT-4.12.1-2]
    async fn a_failure_ends_the_connection(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        site.add_user("bert", "secret").await;
        // A wrong password.
        let mut client = anna(site).await;
        let mut scram = Scram::new("anna", "wrong");
        let challenge = begin(&mut client, &scram).await;
        client.answer_challenge(&challenge, &mut scram).await;
        client.closed_with(ReasonCode::NotAuthorized).await;
        // Somebody else.
        let mut client = anna(site).await;
        let first = Scram::new("bert", "secret").first();
        client.authenticate(ReasonCode::ReAuthenticate, Some(first)).await;
        client.closed_with(ReasonCode::NotAuthorized).await;
        // Nonsense.
        let mut client = anna(site).await;
        client.authenticate(ReasonCode::ReAuthenticate, Some("nonsense".into())).await;
        client.closed_with(ReasonCode::NotAuthorized).await;
        // A user who has been removed since.
        let mut client = anna(site).await;
        let removed = site.nodes()[0].user_command(&["remove", "anna"]).run().await;
        assert_eq!(removed.code, Some(0), "{removed:?}");
        client.ping().await;
        let mut scram = Scram::new("anna", "secret");
        let challenge = begin(&mut client, &scram).await;
        client.answer_challenge(&challenge, &mut scram).await;
        client.closed_with(ReasonCode::NotAuthorized).await;
    }

    /// What was known of the user when the challenge was made counts for as long as a client may take.
    async fn an_answer_that_comes_too_late_fails(
        site,
        "auth.mode=default",
        "mqtt.connect_timeout=1s"
    ) {
        site.add_user("anna", "secret").await;
        let mut client = anna(site).await;
        let mut scram = Scram::new("anna", "secret");
        let challenge = begin(&mut client, &scram).await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        client.ping().await;
        client.answer_challenge(&challenge, &mut scram).await;
        client.closed_with(ReasonCode::NotAuthorized).await;
    }

    /// A re-authentication that failed has a Will like any other end.
    async fn a_failure_publishes_the_will(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut watcher = site.builder("watcher").credentials("anna", "secret").connect().await;
        watcher.subscribe("will", Qos::AtLeastOnce).await;
        let mut client = site.builder("annas")
            .scram(Scram::new("anna", "secret"))
            .will(harness::message("will", "gone", Qos::AtLeastOnce))
            .connect().await;
        client.authenticate(ReasonCode::ReAuthenticate, Some("nonsense".into())).await;
        client.closed_with(ReasonCode::NotAuthorized).await;
        assert_eq!(watcher.recv().await.message.text(), "gone");
    }

    /// [MQTT-4.12.0-3] [MQTT-4.12.1-1]
    async fn auth_out_of_turn_is_a_protocol_error(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let scram = Scram::new("anna", "secret");
        // It continues nothing.
        let mut client = anna(site).await;
        client.authenticate(ReasonCode::ContinueAuthentication, Some(scram.first())).await;
        client.closed_with(ReasonCode::ProtocolError).await;
        // Twice at one time.
        let mut client = anna(site).await;
        begin(&mut client, &scram).await;
        client.authenticate(ReasonCode::ReAuthenticate, Some(scram.first())).await;
        client.closed_with(ReasonCode::ProtocolError).await;
        // Another method.
        let mut client = anna(site).await;
        let properties = AuthProperties {
            authentication_method: Some(Str::from_static("SCRAM-SHA-1")),
            authentication_data: Some(scram.first()),
            ..AuthProperties::default()
        };
        let reason_code = ReasonCode::ReAuthenticate;
        client.send(&Packet::Auth(Auth { reason_code, properties })).await;
        client.closed_with(ReasonCode::ProtocolError).await;
        // It is over: nothing continues.
        let mut client = anna(site).await;
        let mut again = scram.clone();
        let challenge = begin(&mut client, &again).await;
        client.answer_challenge(&challenge, &mut again).await;
        assert_eq!(auth_packet(&mut client).await.reason_code, ReasonCode::Success);
        client.answer_challenge(&challenge, &mut again).await;
        client.closed_with(ReasonCode::ProtocolError).await;
    }

    /// [MQTT-4.12.0-6] [MQTT-4.12.0-7]
    async fn who_connects_without_a_method_has_none(site, "auth.mode=default") {
        site.add_user("anna", "secret").await;
        let mut client = site.builder("x").credentials("anna", "secret").connect().await;
        assert_eq!(client.connack.properties.authentication_method, None);
        assert_eq!(client.connack.properties.authentication_data, None);
        let first = Scram::new("anna", "secret").first();
        client.authenticate(ReasonCode::ReAuthenticate, Some(first)).await;
        client.closed_with(ReasonCode::ProtocolError).await;
    }

    /// [MQTT-4.12.0-7]
    async fn without_authentication_there_is_no_auth(site) {
        let mut client = site.client("x").await;
        let first = Scram::new("anna", "secret").first();
        client.authenticate(ReasonCode::ReAuthenticate, Some(first)).await;
        client.closed_with(ReasonCode::ProtocolError).await;
        let refused = site.builder("x").scram(Scram::new("anna", "secret")).try_connect().await;
        assert_eq!(refused.unwrap_err().reason_code(), ReasonCode::BadAuthenticationMethod);
    }
}
