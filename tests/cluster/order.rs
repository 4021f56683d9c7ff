//! G4: order per publisher, topic and QoS, also when the publisher moves to another node.

use harness::{Cluster, Session, message};
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
