//! SIGTERM: a node leaves without loss.

use harness::{Builder, Client, Cluster, Database, Event, Options, TestNode, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode};
use tokio::task::JoinSet;

use crate::{load::Load, road::Road};

/// A subscriber that goes to `elsewhere` when it is sent away, until it has everything.
async fn subscriber(
    mut client: Client,
    elsewhere: Builder,
    mut expected: tokio::sync::watch::Receiver<u32>,
) {
    let mut seen = crate::load::Seen::default();
    let mut reason = None;
    let mut moves = 0;
    loop {
        let wait = std::time::Duration::from_millis(100);
        match tokio::time::timeout(wait, client.event()).await {
            Ok(Event::Message(publish)) => seen.take(&publish),
            Ok(Event::Disconnected(disconnect)) => reason = Some(disconnect.reason_code),
            Ok(Event::Closed) => {
                moves += 1;
                for publish in client.take_inbox() {
                    seen.take(&publish);
                }
                let session = client.vanish().await;
                client = elsewhere.clone().resume(session).connect_eventually().await;
                assert!(client.session_present());
            }
            Ok(_) => {}
            Err(_) if *expected.borrow_and_update() == seen.total() => break,
            Err(_) => {}
        }
    }
    assert_eq!(moves, 1);
    let reasons = [ReasonCode::UseAnotherServer, ReasonCode::ServerShuttingDown];
    assert!(
        reason.is_some_and(|reason| reasons.contains(&reason)),
        "{reason:?}"
    );
    assert_eq!(seen.duplicates, 0, "exactly once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_moves_its_clients_without_loss() {
    let mut cluster = Cluster::start_with(3, &["drain.rate=40"]).await;
    let (total, expected) = tokio::sync::watch::channel(u32::MAX);
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let builder = |node| {
            cluster
                .builder(node, &format!("subscriber{number}"))
                .persistent(1000)
        };
        let mut client = builder(0).connect().await;
        client.subscribe("load", Qos::ExactlyOnce).await;
        tasks.spawn(subscriber(
            client,
            builder(1 + number % 2),
            expected.clone(),
        ));
    }
    let mut old = cluster
        .builder(0, "old")
        .version(ProtocolVersion::V3_1_1)
        .connect()
        .await;
    let load = Load::start(
        cluster.client(1, "publisher").await,
        "p",
        "load",
        Qos::ExactlyOnce,
        100,
    );
    load.reaches(100).await;

    cluster.nodes[0].terminate();
    let status = harness::eventually("the node says that it is not ready", async || {
        let answer = harness::get(cluster.nodes[0].http(), "/readyz").await;
        answer
            .map_or(Some(0), |answer| {
                (answer.status != 200).then_some(answer.status)
            })
            .filter(|status| *status != 0)
    });
    assert_eq!(status.await, 503);
    assert!(
        cluster.nodes[0]
            .builder("late")
            .try_connect()
            .await
            .is_err(),
        "no new clients"
    );
    let status = cluster.nodes[0].ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(old.closed().await, None);

    load.reaches(load.sent() + 50).await;
    total.send(load.finish().await).unwrap();
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    cluster.assert_healthy();
}

/// Wills of clients that a node sends away: not published, or only after their delay, if they
/// come back. A node that is stopped hands its clients over at once, not after a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_releases_its_sessions_at_once() {
    let mut cluster = Cluster::start_with(2, &["cluster.lease=60s"]).await;
    let will = message("wills/w", "no", Qos::AtLeastOnce);
    let mut watcher = cluster.client(1, "watcher").await;
    watcher.subscribe("wills/#", Qos::AtLeastOnce).await;
    let builder = |node| {
        cluster
            .builder(node, "client")
            .persistent(100)
            .delayed_will(will.clone(), 100)
    };
    let (on_a, on_b) = (builder(0), builder(1));
    let mut client = on_a.connect().await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    cluster.nodes[0].stop().await;
    client.closed().await;
    watcher.publish("t", "queued", Qos::AtLeastOnce).await;
    let mut client = on_b.connect().await;
    assert!(client.session_present());
    assert_eq!(client.recv_texts(1).await, ["queued"]);
    client.disconnect().await;
    watcher.assert_silent().await;
    // Its name is free again at once.
    cluster.nodes[0].restart().await;
    cluster.assert_healthy();
}

async fn node_by(road: &Road, name: &str, settings: &[&str]) -> TestNode {
    TestNode::launch(Options {
        name: name.to_owned(),
        database_url: road.url(),
        settings: settings.iter().map(ToString::to_string).collect(),
        ..Options::default()
    })
    .await
}

/// The database does not come back: the node says what it leaves, and ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_ends_when_the_database_stays_away() {
    let database = Database::create().await;
    let (road, direct) = (Road::to(&database).await, Road::to(&database).await);
    let settings = ["drain.timeout=1s", "cluster.lease=2s"];
    let mut a = node_by(&road, "a", &settings).await;
    let b = node_by(&direct, "b", &settings).await;
    let stored = |node: &TestNode, id: &str| node.builder(id).persistent(1000);
    let mut subscriber = stored(&a, "subscriber").connect().await;
    subscriber.subscribe("t", Qos::ExactlyOnce).await;
    let subscriber = subscriber.disconnect().await;
    let mut publisher = stored(&a, "publisher").connect().await;
    for number in 0..10 {
        publisher
            .publish("t", number.to_string(), Qos::ExactlyOnce)
            .await;
    }

    road.is_open.send_replace(false);
    // This one cannot be acknowledged.
    publisher.start(message("t", "10", Qos::ExactlyOnce)).await;
    a.terminate();
    publisher.closed_with(ReasonCode::UseAnotherServer).await;
    assert_eq!(publisher.session.unacknowledged(), 1);
    let publisher = publisher.vanish().await;
    let status = a.ended().await;
    assert_eq!(status.code(), Some(1));
    let log = a.output();
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("drain.timeout") && last.contains("sessions not released: 1"),
        "{last}"
    );

    let publisher = stored(&b, "publisher").resume(publisher);
    let mut publisher = publisher.connect_eventually().await;
    assert!(publisher.session_present());
    publisher.settle().await;
    let subscriber = stored(&b, "subscriber").resume(subscriber);
    let mut subscriber = subscriber.connect_eventually().await;
    assert!(subscriber.session_present());
    let expected: Vec<String> = (0..=10).map(|number| number.to_string()).collect();
    assert_eq!(subscriber.recv_texts(11).await, expected);
    subscriber.assert_silent().await;
}

/// It comes back in time: nothing is left behind, long before the lease would have run out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_waits_for_a_database_that_comes_back() {
    let database = Database::create().await;
    let (road, direct) = (Road::to(&database).await, Road::to(&database).await);
    let settings = ["cluster.lease=5min"];
    let mut a = node_by(&road, "a", &settings).await;
    let b = node_by(&direct, "b", &settings).await;
    let mut client = a.builder("client").persistent(1000).connect().await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    road.is_open.send_replace(false);
    a.terminate();
    client.closed_with(ReasonCode::UseAnotherServer).await;
    tokio::time::sleep(harness::SILENCE).await;
    road.is_open.send_replace(true);
    assert_eq!(a.ended().await.code(), Some(0));
    let client = b.builder("client").persistent(1000).connect().await;
    assert!(client.session_present());
}

/// Whoever has connected and says nothing is not waited for.
#[tokio::test]
async fn a_silent_connection_does_not_keep_a_node() {
    let mut node = TestNode::start_with(&["mqtt.connect_timeout=10min"]).await;
    let silent = tokio::net::TcpStream::connect(node.tcp()).await.unwrap();
    harness::eventually("it is accepted", async || {
        let metrics = node.metrics().await;
        (metrics.sum("causeway_connections_total", &[]) > 0.0).then_some(())
    })
    .await;
    node.stop().await;
    drop(silent);
}
