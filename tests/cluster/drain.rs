//! SIGTERM: a node leaves without loss.

use harness::{Builder, Client, Cluster, Event, message};
use mqtt::{ProtocolVersion, Qos, ReasonCode};
use tokio::task::JoinSet;

use crate::load::Load;

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
