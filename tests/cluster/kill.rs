//! G1, G2 and G6 through `kill -9`: what was acknowledged arrives.

use harness::{Cluster, MessageExt as _, message};
use mqtt::Qos;

use crate::load::{Listener, Load, Seen, resume_until};

/// The subscriber's node dies while others publish about 2,000 QoS 1 messages a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persistent_subscriber_misses_nothing_when_its_node_is_killed() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let (a, b, c) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        let id = format!("subscriber{round}");
        let mut watcher = cluster.client(c, &format!("watcher{round}")).await;
        watcher.subscribe("wills/#", Qos::ExactlyOnce).await;
        let will = message("wills/w", id.clone(), Qos::AtLeastOnce);
        let builder = cluster.builder(a, &id).persistent(10_000).will(will);
        let mut subscriber = builder.connect().await;
        subscriber
            .subscribe(&format!("load{round}/#"), Qos::AtLeastOnce)
            .await;
        let listener = Listener::start(subscriber, Seen::default());
        let mut loads = Vec::new();
        for number in 0..4 {
            let client = cluster.client(b, &format!("publisher{number}")).await;
            let topic = format!("load{round}/{number}");
            loads.push(Load::start(
                client,
                &number.to_string(),
                &topic,
                Qos::AtLeastOnce,
                500,
            ));
        }
        loads[0].reaches(400).await;
        cluster.nodes[a].kill();
        let (seen, session) = listener.ended().await;
        loads[0].reaches(1200).await;
        let mut sent = 0;
        for load in loads {
            sent += load.finish().await;
        }
        let builder = cluster.builder(c, &id).persistent(10_000);
        let seen = resume_until(builder, session, seen, sent).await;
        assert_eq!(seen.total(), sent);

        // G6: its will was published once.
        let publish = watcher
            .recv_within(harness::PATIENCE)
            .await
            .expect("the will");
        assert_eq!(publish.message.text(), id);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        watcher.assert_silent().await;
        cluster.nodes[a].restart().await;
    }
    cluster.assert_healthy();
}

/// The subscriber comes back while its old node is just dying, and the load goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_returns_at_once_misses_nothing() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let (a, b, c) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        let id = format!("subscriber{round}");
        let mut subscriber = cluster.builder(a, &id).persistent(10_000).connect().await;
        subscriber
            .subscribe(&format!("load{round}/#"), Qos::AtLeastOnce)
            .await;
        let listener = Listener::start(subscriber, Seen::default());
        let publisher = cluster.client(b, "publisher").await;
        let topic = format!("load{round}/x");
        let load = Load::start(publisher, "p", &topic, Qos::AtLeastOnce, 1000);
        load.reaches(500).await;
        cluster.nodes[a].kill();
        let (seen, session) = listener.ended().await;
        let builder = cluster.builder(c, &id).persistent(10_000).resume(session);
        let client = builder.connect_eventually().await;
        assert!(client.session_present());
        let listener = Listener::start(client, seen);
        load.reaches(load.sent() + 500).await;
        let sent = load.finish().await;
        listener.reaches(sent).await;
        listener.stop().await;
        cluster.nodes[a].restart().await;
    }
    cluster.assert_healthy();
}

/// The publisher's node dies; the publisher repeats elsewhere what was not acknowledged.
/// [MQTT-4.3.2-4]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_publishers_node_is_killed() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let (a, b, c) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        let topic = format!("load{round}");
        let mut subscriber = cluster.client(c, "subscriber").await;
        subscriber.subscribe(&topic, Qos::AtLeastOnce).await;
        let listener = Listener::start(subscriber, Seen::default());
        let mut publisher = cluster
            .builder(a, "publisher")
            .persistent(1000)
            .connect()
            .await;
        let mut number = 0;
        for step in 0..600 {
            if step == 400 {
                cluster.nodes[a].kill();
                let session = publisher.vanish().await;
                let builder = cluster
                    .builder(b, "publisher")
                    .persistent(1000)
                    .resume(session);
                publisher = builder.connect_eventually().await;
                assert!(publisher.session_present());
            }
            let text = format!("p:{number}");
            publisher
                .start(message(&topic, text, Qos::AtLeastOnce))
                .await;
            number += 1;
        }
        publisher.settle().await;
        listener.reaches(number).await;
        listener.stop().await;
        publisher
            .disconnect_with(mqtt::ReasonCode::Success, Some(0))
            .await;
        cluster.nodes[a].restart().await;
    }
    cluster.assert_healthy();
}

/// All nodes at once: everything acknowledged was durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_all_nodes_are_killed() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let id = format!("subscriber{round}");
        let topic = format!("load{round}");
        let mut subscriber = cluster.builder(0, &id).persistent(10_000).connect().await;
        subscriber.subscribe(&topic, Qos::ExactlyOnce).await;
        let session = if round % 2 == 0 {
            subscriber.disconnect().await // all of it is queued
        } else {
            subscriber.vanish().await
        };
        let mut publisher = cluster.client(1, "publisher").await;
        let mut acknowledged = 0;
        for number in 0..200 {
            let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][round % 2];
            publisher.publish(&topic, format!("p:{number}"), qos).await;
            acknowledged += 1;
        }
        for node in &mut cluster.nodes {
            node.kill();
        }
        for node in &mut cluster.nodes {
            node.restart().await;
        }
        let builder = cluster.builder(2, &id).persistent(10_000);
        let seen = resume_until(builder, session, Seen::default(), acknowledged).await;
        assert_eq!((seen.total(), seen.duplicates), (acknowledged, 0));
    }
    cluster.assert_healthy();
}
