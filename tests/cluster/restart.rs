//! What is kept when nodes are restarted: alone on SQLite, and all of a cluster.

use harness::{Client, Cluster, MessageExt as _, Session, TestNode, message};
use mqtt::{Qos, ReasonCode};

/// Leaves a bit of everything behind; returns the subscriber's session.
async fn leave_traces(mut subscriber: Client, mut publisher: Client) -> Session {
    subscriber.subscribe("one", Qos::AtLeastOnce).await;
    subscriber.subscribe("two/#", Qos::ExactlyOnce).await;
    subscriber.subscribe("gone", Qos::ExactlyOnce).await;
    subscriber.unsubscribe("gone").await;
    publisher.publish("one", "first", Qos::AtLeastOnce).await;
    assert_eq!(subscriber.recv_texts(1).await, ["first"]);
    subscriber.ping().await;
    let session = subscriber.disconnect().await;
    for number in 0..100 {
        let (topic, qos) = [("one", Qos::AtLeastOnce), ("two/x", Qos::ExactlyOnce)][number % 2];
        publisher
            .start(message(topic, number.to_string(), qos))
            .await;
    }
    publisher.settle().await;
    publisher
        .publish_message(message("kept", "old", Qos::AtLeastOnce).retained())
        .await;
    publisher
        .publish_message(message("kept", "new", Qos::AtLeastOnce).retained())
        .await;
    publisher
        .publish_message(message("deleted", "x", Qos::AtLeastOnce).retained())
        .await;
    publisher
        .publish_message(message("deleted", "", Qos::AtLeastOnce).retained())
        .await;
    publisher.vanish().await;
    session
}

/// Finds all of it, exactly.
async fn find_traces(mut subscriber: Client, mut reader: Client) {
    assert!(subscriber.session_present());
    let mut texts = Vec::new();
    while texts.len() < 100 {
        let publish = subscriber.recv().await;
        if publish.message.text() == "first" {
            // At least once: its PUBACK came just before the end, perhaps before it was written
            // down that it had been sent, so DUP says nothing.
            assert_eq!(publish.message.qos, Qos::AtLeastOnce);
        } else {
            texts.push(publish.message.text());
        }
    }
    for parity in 0..2 {
        let numbers: Vec<usize> = texts
            .iter()
            .map(|text| text.parse().unwrap())
            .filter(|number: &usize| number % 2 == parity)
            .collect();
        assert_eq!(
            numbers,
            (0..100)
                .filter(|number| number % 2 == parity)
                .collect::<Vec<_>>()
        );
    }
    reader.subscribe("#", Qos::AtLeastOnce).await;
    assert_eq!(reader.recv_texts(1).await, ["new"]);
    reader.assert_silent().await;
    for (topic, expected) in [("one", true), ("two/y/z", true), ("gone", false)] {
        reader.publish(topic, topic, Qos::ExactlyOnce).await;
        if expected {
            assert_eq!(subscriber.recv_texts(1).await, [topic]);
        }
    }
    subscriber.assert_silent().await;
    subscriber
        .disconnect_with(ReasonCode::Success, Some(0))
        .await;
}

async fn alone(end: impl AsyncFn(&mut TestNode)) {
    let mut node = TestNode::start().await;
    for _ in 0..crate::rounds() {
        let subscriber = node.builder("subscriber").persistent(1000).connect().await;
        let session = leave_traces(subscriber, node.client("publisher").await).await;
        end(&mut node).await;
        node.restart().await;
        let builder = node.builder("subscriber").persistent(1000).resume(session);
        find_traces(builder.connect().await, node.client("reader").await).await;
    }
    node.assert_healthy();
}

#[tokio::test]
async fn a_node_alone_keeps_everything_over_a_stop() {
    alone(async |node| node.stop().await).await;
}

/// [MQTT3-4.1.0-1]
#[tokio::test]
async fn a_node_alone_keeps_everything_over_a_kill() {
    alone(async |node| node.kill()).await;
}

/// QoS 2 in the middle of its handshake, in both directions.
#[tokio::test]
async fn a_node_alone_keeps_half_done_handshakes_over_a_kill() {
    let mut node = TestNode::start().await;
    for _ in 0..crate::rounds() {
        let connect = |node: &TestNode, id: &str| node.builder(id).persistent(1000);
        let mut subscriber = connect(&node, "subscriber").connect().await;
        subscriber.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = connect(&node, "publisher").connect().await;
        let mut expected = Vec::new();
        for number in 0..30 {
            publisher
                .start(message("t", number.to_string(), Qos::ExactlyOnce))
                .await;
            expected.push(number.to_string());
        }
        // Some steps of some of the handshakes, on both sides.
        for _ in 0..20 {
            publisher.event().await;
        }
        let mut texts = subscriber.recv_texts(10).await;
        node.kill();
        texts.extend(
            subscriber
                .take_inbox()
                .iter()
                .map(|publish| publish.message.text()),
        );
        let (subscriber, publisher) = (subscriber.vanish().await, publisher.vanish().await);
        node.restart().await;
        let mut subscriber = connect(&node, "subscriber")
            .resume(subscriber)
            .connect()
            .await;
        let mut publisher = connect(&node, "publisher")
            .resume(publisher)
            .connect()
            .await;
        assert!(subscriber.session_present() && publisher.session_present());
        publisher.settle().await;
        texts.extend(subscriber.recv_texts(30 - texts.len()).await);
        assert_eq!(texts, expected);
        subscriber.assert_silent().await;
        subscriber
            .disconnect_with(ReasonCode::Success, Some(0))
            .await;
        publisher
            .disconnect_with(ReasonCode::Success, Some(0))
            .await;
    }
    node.assert_healthy();
}

/// Wills of those who were connected when the only node died are published when it is back.
#[tokio::test]
async fn a_node_alone_publishes_wills_after_a_kill() {
    let mut node = TestNode::start().await;
    let mut watcher = node.builder("watcher").persistent(1000).connect().await;
    watcher.subscribe("wills/#", Qos::AtLeastOnce).await;
    let watcher = watcher.disconnect().await;
    let will = message("wills/w", "gone", Qos::AtLeastOnce);
    let mortal = node.builder("mortal").will(will).connect().await;
    node.kill();
    node.restart().await;
    mortal.vanish().await;
    let builder = node.builder("watcher").persistent(1000).resume(watcher);
    let mut watcher = builder.connect().await;
    assert_eq!(watcher.recv_texts(1).await, ["gone"]);
    watcher.assert_silent().await;
}

async fn cluster(end: impl AsyncFn(&mut Cluster)) {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let subscriber = cluster.builder(round % 3, "subscriber").persistent(1000);
        let publisher = cluster.client((round + 1) % 3, "publisher").await;
        let session = leave_traces(subscriber.connect().await, publisher).await;
        end(&mut cluster).await;
        for node in &mut cluster.nodes {
            node.restart().await;
        }
        let builder = cluster
            .builder((round + 2) % 3, "subscriber")
            .persistent(1000);
        let subscriber = builder.resume(session).connect_eventually().await;
        find_traces(subscriber, cluster.client(round % 3, "reader").await).await;
    }
    cluster.assert_healthy();
}

#[tokio::test]
async fn a_cluster_keeps_everything_over_a_stop_of_all_nodes() {
    cluster(async |cluster| {
        for node in &mut cluster.nodes {
            node.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_cluster_keeps_everything_over_a_kill_of_all_nodes() {
    cluster(async |cluster| {
        for node in &mut cluster.nodes {
            node.kill();
        }
    })
    .await;
}
