//! G2 for QoS 2: exactly once, whoever dies.

use harness::{Cluster, message};
use mqtt::Qos;

use crate::load::{Listener, Load, Seen, resume_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qos_2_arrives_exactly_once_when_the_subscribers_node_is_killed() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let (a, b, c) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        let id = format!("subscriber{round}");
        let topic = format!("load{round}");
        let mut subscriber = cluster.builder(a, &id).persistent(10_000).connect().await;
        subscriber.subscribe(&topic, Qos::ExactlyOnce).await;
        let listener = Listener::start(subscriber, Seen::default());
        let publisher = cluster.client(b, "publisher").await;
        let load = Load::start(publisher, "p", &topic, Qos::ExactlyOnce, 500);
        load.reaches(300).await;
        cluster.nodes[a].kill();
        let (seen, session) = listener.ended().await;
        load.reaches(600).await;
        let sent = load.finish().await;
        let builder = cluster.builder(c, &id).persistent(10_000);
        let seen = resume_until(builder, session, seen, sent).await;
        assert_eq!((seen.total(), seen.duplicates), (sent, 0));
        cluster.nodes[a].restart().await;
    }
    cluster.assert_healthy();
}

/// [MQTT-4.3.3-8]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qos_2_arrives_exactly_once_when_the_publishers_node_is_killed() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let (a, b, c) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        let topic = format!("load{round}");
        // One subscriber that is connected and one that is not.
        let absent_id = format!("absent{round}");
        let mut absent = cluster
            .builder(b, &absent_id)
            .persistent(10_000)
            .connect()
            .await;
        absent.subscribe(&topic, Qos::ExactlyOnce).await;
        let absent = absent.disconnect().await;
        let mut subscriber = cluster
            .builder(c, "subscriber")
            .persistent(100)
            .connect()
            .await;
        subscriber.subscribe(&topic, Qos::ExactlyOnce).await;
        let listener = Listener::start(subscriber, Seen::default());
        let mut publisher = cluster
            .builder(a, "publisher")
            .persistent(1000)
            .connect()
            .await;
        for number in 0..300_u32 {
            if number == 200 {
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
                .start(message(&topic, text, Qos::ExactlyOnce))
                .await;
        }
        publisher.settle().await;
        listener.reaches(300).await;
        tokio::time::sleep(harness::SILENCE).await;
        let (seen, _) = listener.stop().await;
        assert_eq!((seen.total(), seen.duplicates), (300, 0));
        let builder = cluster.builder(c, &absent_id).persistent(10_000);
        let seen = resume_until(builder, absent, Seen::default(), 300).await;
        assert_eq!((seen.total(), seen.duplicates), (300, 0));
        publisher
            .disconnect_with(mqtt::ReasonCode::Success, Some(0))
            .await;
        cluster.nodes[a].restart().await;
    }
    cluster.assert_healthy();
}
