//! G9: while the database is away.

use harness::{Database, MessageExt as _, Options, TestNode, eventually, message};
use mqtt::{Qos, ReasonCode};

use crate::road::Road;

async fn node(road: &Road) -> TestNode {
    let settings = [
        "cluster.lease=5s",
        "mqtt.connect_timeout=2s",
        "mqtt.acknowledge_timeout=3s",
    ];
    TestNode::launch(Options {
        name: "a".to_owned(),
        database_url: road.url(),
        settings: settings.map(str::to_owned).to_vec(),
        ..Options::default()
    })
    .await
}

/// Connections stay, QoS 0 flows, what needs the database waits; each wait has an end and a reason
/// code; and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_the_database_waits_and_is_told_in_the_end() {
    let database = Database::create().await;
    let road = Road::to(&database).await;
    let mut node = node(&road).await;
    let mut queue = node.builder("queue").persistent(600).connect().await;
    queue.subscribe("t", Qos::ExactlyOnce).await;
    let mut listener = node.client("listener").await;
    listener.subscribe("t", Qos::AtMostOnce).await;
    let mut publisher = node.builder("publisher").persistent(600).connect().await;
    let mut subscriber = node.client("subscriber").await;
    road.is_open.send_replace(false);
    node.logs(&["the database takes no changes"]).await;

    publisher.publish("t", "quick", Qos::AtMostOnce).await;
    assert_eq!(listener.recv().await.message.text(), "quick");
    publisher
        .start(message("t", "slow", Qos::ExactlyOnce))
        .await;
    // A local message above QoS 0 that nobody must store is on its way at once, too.
    assert_eq!(listener.recv().await.message.text(), "slow");
    listener.ping().await;

    let late = node.builder("late").persistent(600).try_connect();
    let refused = late.await.expect_err("no session without the database");
    assert_eq!(refused.reason_code(), ReasonCode::ServerUnavailable);
    subscriber.ask_to_subscribe("other", Qos::AtLeastOnce).await;
    publisher.closed_with(ReasonCode::ServerBusy).await;
    let metrics = node.metrics().await;
    assert!(metrics.sum("causeway_store_unavailable_since_seconds", &[]) > 1e9);

    road.is_open.send_replace(true);
    node.logs(&["the database takes changes again"]).await;
    let session = publisher.vanish().await;
    let builder = node.builder("publisher").persistent(600).resume(session);
    let mut publisher = builder.connect_eventually().await;
    assert!(publisher.session_present());
    publisher.settle().await;
    publisher.publish("t", "last", Qos::ExactlyOnce).await;
    assert_eq!(
        queue.recv().await.message.text(),
        "quick",
        "QoS 0, as it was sent"
    );
    assert_eq!(queue.recv_texts(2).await, ["slow", "last"]);
    let late = node.builder("late").persistent(600).connect().await;
    assert!(
        !late.session_present(),
        "the refused claim has left nothing"
    );
    eventually("the gauge is 0 again", async || {
        let since = node.metrics().await;
        let since = since.sum("causeway_store_unavailable_since_seconds", &[]);
        (since == 0.0).then_some(())
    })
    .await;
    node.assert_healthy();
}

/// What is for other nodes fills a bounded place in memory; QoS 0 beyond it is dropped and counted,
/// and nobody else stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_for_other_nodes_stops_nobody() {
    const MESSAGES: usize = 400;
    let database = Database::create().await;
    let (road, direct) = (Road::to(&database).await, Road::to(&database).await);
    let launch = async |name: &str, road: &Road| {
        TestNode::launch(Options {
            name: name.to_owned(),
            database_url: road.url(),
            settings: vec!["cluster.lease=5min".to_owned()],
            ..Options::default()
        })
        .await
    };
    let (mut a, b) = (launch("a", &road).await, launch("b", &direct).await);
    let mut far = b.client("far").await;
    far.subscribe("t", Qos::AtMostOnce).await;
    let mut near = a.client("near").await;
    near.subscribe("u", Qos::AtMostOnce).await;
    let mut publisher = a.client("publisher").await;
    road.is_open.send_replace(false);
    for _ in 0..MESSAGES {
        let payload = vec![0_u8; 256 * 1024];
        publisher.publish("t", payload, Qos::AtMostOnce).await;
    }
    publisher.publish("u", "local", Qos::AtMostOnce).await;
    assert_eq!(near.recv().await.message.text(), "local");
    near.ping().await;
    let metrics = a.metrics().await;
    let dropped = metrics.sum("causeway_messages_dropped_total", &[]);
    assert!(dropped > 100.0 && dropped < MESSAGES as f64, "{dropped}");
    a.assert_healthy();
}
