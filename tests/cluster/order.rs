//! G4: order per publisher, topic and QoS, also when the publisher moves to another node.

use std::time::Duration;

use harness::{Client, Cluster, Session, TestNode, message};
use mqtt::Qos;

use crate::load::{Listener, Seen};

/// [MQTT-4.6.0-5]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_moves_keeps_its_order() {
    let cluster = Cluster::start(3).await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let topic = format!("t/{}", qos.as_u8());
        let mut listeners = Vec::new();
        for index in 0..3 {
            let mut subscriber = cluster.client(index, &format!("subscriber{index}")).await;
            subscriber.subscribe(&topic, qos).await;
            listeners.push(Listener::start(subscriber, Seen::default()));
        }
        let mut session = Session::default();
        let mut number = 0;
        for round in 0..9 {
            let builder = cluster
                .builder(round % 3, "mover")
                .persistent(1000)
                .resume(session);
            let mut publisher = builder.connect().await;
            assert_eq!(publisher.session_present(), round > 0);
            for _ in 0..50 {
                let text = format!("p:{number}");
                publisher.start(message(&topic, text, qos)).await;
                number += 1;
            }
            // Leaves in the middle of it, politely or not.
            session = if round % 2 == 0 {
                publisher.vanish().await
            } else {
                publisher.disconnect().await
            };
        }
        let builder = cluster.builder(1, "mover").persistent(1000).resume(session);
        let mut publisher = builder.connect().await;
        publisher.settle().await;
        publisher
            .disconnect_with(mqtt::ReasonCode::Success, Some(0))
            .await;
        for listener in listeners {
            listener.reaches(number).await;
            let (seen, _) = listener.stop().await;
            if qos == Qos::ExactlyOnce {
                assert_eq!(seen.duplicates, 0);
            }
        }
    }
}

/// Its queue moves with it, again and again, while it grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_moves_keeps_the_order_of_its_queue() {
    let cluster = Cluster::start(3).await;
    let mut subscriber = cluster.builder(0, "mover").persistent(1000).connect().await;
    subscriber.subscribe("t", Qos::ExactlyOnce).await;
    let mut publisher = cluster.client(1, "publisher").await;
    let mut session = subscriber.vanish().await;
    let mut seen = Seen::default();
    let mut number = 0;
    for round in 1..10_usize {
        for _ in 0..40 {
            publisher
                .start(message("t", format!("p:{number}"), Qos::ExactlyOnce))
                .await;
            number += 1;
        }
        let builder = cluster
            .builder(round % 3, "mover")
            .persistent(1000)
            .resume(session);
        let mut subscriber = builder.connect().await;
        assert!(subscriber.session_present());
        for _ in 0..25 {
            let publish = subscriber.recv().await;
            seen.take(&publish);
        }
        for publish in subscriber.take_inbox() {
            seen.take(&publish);
        }
        session = subscriber.vanish().await;
    }
    publisher.settle().await;
    let builder = cluster.builder(2, "mover").persistent(1000);
    let seen = crate::load::resume_until(builder, session, seen, number).await;
    assert_eq!((seen.total(), seen.duplicates), (number, 0));
}

/// The number of a node; frames of smaller numbers are found first.
fn number(node: &TestNode) -> u64 {
    let log = node.output();
    let (_, rest) = log.split_once("\"node_id\":\"").expect("it has joined");
    let (number, _) = rest.split_once('"').expect("a number");
    number.parse().unwrap()
}

/// How long a node may be paused.
const LEASE: Duration = Duration::from_secs(10);

/// Three nodes that have been members for a lease: before, they would not bury anybody.
async fn old_cluster() -> Cluster {
    let cluster = Cluster::start_with(3, &["cluster.lease=10s"]).await;
    tokio::time::sleep(LEASE).await;
    cluster
}

/// Waits until `node` has buried the one that was killed, because somebody waits for its answer: long
/// before the lease of the one that is paused is over.
async fn is_buried(node: &TestNode, mut onlooker: Client) {
    let waiting = tokio::spawn(async move { onlooker.subscribe("other", Qos::AtMostOnce).await });
    node.logs(&["node is dead, its clients were let go"]).await;
    waiting.abort();
}

/// The publisher's node dies, and it goes on at another one; a third one has not heard of either, and
/// then hears both in this order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lags_hears_a_publisher_in_order_when_a_node_died() {
    let mut cluster = old_cluster().await;
    let mut subscriber = cluster.client(2, "subscriber").await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    let listener = Listener::start(subscriber, Seen::default());
    let (one, other) = match cluster.nodes.as_slice() {
        [a, b, _] if number(a) > number(b) => (0, 1),
        _ => (1, 0),
    };
    let mut publisher = cluster.client(one, "mover").await;
    let onlooker = cluster.client(other, "onlooker").await;
    cluster.nodes[2].pause();
    publisher.publish("t", "p:0", Qos::AtLeastOnce).await;
    cluster.nodes[one].kill();
    is_buried(&cluster.nodes[other], onlooker).await;
    let mut publisher = cluster.client(other, "mover").await;
    publisher.publish("t", "p:1", Qos::AtLeastOnce).await;
    cluster.nodes[2].resume();
    listener.reaches(2).await;
    listener.stop().await;
}

/// The publisher's node dies, and it goes on at one that lags behind: it is heard there after what it
/// published before, whatever kind its session is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_comes_to_a_node_that_lags_keeps_its_order() {
    for expiry in [0, 1000] {
        let mut cluster = old_cluster().await;
        let mut subscriber = cluster.client(1, "subscriber").await;
        subscriber.subscribe("t", Qos::AtLeastOnce).await;
        let listener = Listener::start(subscriber, Seen::default());
        let mut idle = cluster.client(1, "idle").await;
        idle.subscribe("backlog", Qos::AtMostOnce).await;
        let builder = cluster.builder(0, "mover").persistent(expiry);
        let mut publisher = builder.connect().await;
        let onlooker = cluster.client(2, "onlooker").await;
        cluster.nodes[1].pause();
        for _ in 0..1500 {
            let message = message("backlog", "-".repeat(7000), Qos::AtLeastOnce);
            publisher.start(message).await;
        }
        publisher.settle().await;
        publisher.publish("t", "p:0", Qos::AtLeastOnce).await;
        cluster.nodes[0].kill();
        is_buried(&cluster.nodes[2], onlooker).await;
        let builder = cluster
            .builder(1, "mover")
            .persistent(expiry)
            .resume(publisher.vanish().await);
        cluster.nodes[1].resume();
        let mut publisher = builder.connect().await;
        publisher.publish("t", "p:1", Qos::AtLeastOnce).await;
        listener.reaches(2).await;
        listener.stop().await;
    }
}
