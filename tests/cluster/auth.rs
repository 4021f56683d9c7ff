//! Authentication while the database is away.

use harness::{Database, MessageExt as _, Options, Scram, TestNode};
use mqtt::{Packet, Qos, ReasonCode};
use sqlx::Connection as _;

use crate::road::Road;

async fn auth_packet(client: &mut harness::Client) -> mqtt::Auth {
    match client.packet().await {
        Some(Packet::Auth(auth)) => auth,
        other => panic!("expected AUTH, got {other:?}"),
    }
}

/// Nobody gets in unchecked (0x88); who is in stays, and a re-authentication waits.
/// [MQTT3-4.8.0-2]
#[tokio::test]
async fn authentication_fails_closed_while_the_database_is_away() {
    let database = Database::create().await;
    let road = Road::to(&database).await;
    let mut node = TestNode::launch(Options {
        name: "a".to_owned(),
        database_url: road.url(),
        settings: ["auth.mode=default", "cluster.lease=60s"]
            .map(str::to_owned)
            .to_vec(),
        ..harness::Options::default()
    })
    .await;
    node.add_user("anna", "secret").await;
    let mut scram = Scram::new("anna", "secret");
    let mut client = node.builder("annas").scram(scram.clone()).connect().await;
    client.subscribe("t", Qos::AtMostOnce).await;
    // It was right a moment ago; that does not count without the database.
    let login = || node.builder("x").credentials("anna", "secret");
    login().connect().await.disconnect().await;

    road.is_open.send_replace(false);
    let builders = [login(), node.builder("x").scram(scram.clone())];
    for builder in builders.into_iter().cycle().take(4) {
        let refused = builder.try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::ServerUnavailable);
    }
    client
        .authenticate(ReasonCode::ReAuthenticate, Some(scram.first()))
        .await;
    client.publish("t", "meanwhile", Qos::AtMostOnce).await;
    assert_eq!(client.recv().await.message.text(), "meanwhile");

    road.is_open.send_replace(true);
    let challenge = auth_packet(&mut client).await;
    client.answer_challenge(&challenge, &mut scram).await;
    assert_eq!(
        auth_packet(&mut client).await.reason_code,
        ReasonCode::Success
    );
    login().connect_eventually().await;
    node.assert_healthy();
}

/// Whoever cannot be checked in time is told so, and not let in.
#[tokio::test]
async fn a_database_that_does_not_answer_is_not_waited_for_for_ever() {
    let settings = ["auth.mode=default", "mqtt.connect_timeout=1s"];
    let mut cluster = harness::Cluster::start_with(1, &settings).await;
    cluster.nodes[0].add_user("anna", "secret").await;
    let url = cluster.database.url();
    let mut holder = sqlx::PgConnection::connect(&url).await.unwrap();
    let lock = "begin; lock table mqtt_user in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let login = || cluster.builder(0, "x").credentials("anna", "secret");
    let scram = cluster.builder(0, "x").scram(Scram::new("anna", "secret"));
    for builder in [login(), scram] {
        let refused = builder.try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::ServerBusy);
    }
    holder.close().await.unwrap();
    login().connect_eventually().await;
    cluster.assert_healthy();
}

/// A table that cannot be read is no reason to let anybody in.
#[tokio::test]
async fn authentication_fails_closed_while_users_cannot_be_read() {
    let mut cluster = harness::Cluster::start_with(1, &["auth.mode=default"]).await;
    cluster.nodes[0].add_user("anna", "secret").await;
    let scram = Scram::new("anna", "secret");
    let mut client = cluster
        .builder(0, "annas")
        .scram(scram.clone())
        .connect()
        .await;
    cluster
        .database
        .execute("alter table mqtt_user rename to elsewhere")
        .await;
    let builders = [
        cluster.builder(0, "x").credentials("anna", "secret"),
        cluster.builder(0, "x").credentials("nobody", "secret"),
        cluster.builder(0, "x").scram(scram.clone()),
    ];
    for builder in builders {
        let refused = builder.try_connect().await.unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::ServerUnavailable);
    }
    // DISCONNECT has no "server unavailable".
    client
        .authenticate(ReasonCode::ReAuthenticate, Some(scram.first()))
        .await;
    client.closed_with(ReasonCode::ServerBusy).await;
    cluster.assert_healthy();
}
