//! Nodes that join under load know all that the others know.

use harness::{Cluster, MessageExt as _, message};
use mqtt::Qos;

use crate::load::{Listener, Load, Seen, resume_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joining_node_sees_all_routes_retained_messages_and_sessions() {
    let mut cluster = Cluster::start(2).await;
    let mut setup = cluster.client(0, "setup").await;
    for number in 0..200 {
        let sent = message(
            &format!("kept/{number}"),
            number.to_string(),
            Qos::AtLeastOnce,
        );
        setup.start(sent.retained()).await;
    }
    setup.settle().await;
    let mut sessions = Vec::new();
    for number in 0..20 {
        let builder = cluster.builder(number % 2, &format!("durable{number}"));
        let mut client = builder.persistent(1000).connect().await;
        client.subscribe("load", Qos::AtLeastOnce).await;
        client
            .subscribe(&format!("own/{number}"), Qos::AtLeastOnce)
            .await;
        sessions.push(client.disconnect().await);
    }
    let mut listeners = Vec::new();
    for index in 0..2 {
        let mut client = cluster.client(index, &format!("listener{index}")).await;
        client.subscribe("load", Qos::AtLeastOnce).await;
        listeners.push(Listener::start(client, Seen::default()));
    }
    let publisher = cluster.client(0, "publisher").await;
    let load = Load::start(publisher, "p", "load", Qos::AtLeastOnce, 500);
    load.reaches(100).await;

    for index in 2..4 {
        cluster.join().await;
        // Ready means: it knows the routes, from and to it.
        let mut publisher = cluster.client(index, &format!("publisher{index}")).await;
        let mut subscriber = cluster.client(1, &format!("subscriber{index}")).await;
        subscriber
            .subscribe(&format!("new/{index}"), Qos::AtMostOnce)
            .await;
        publisher
            .publish(&format!("new/{index}"), "x", Qos::AtMostOnce)
            .await;
        assert_eq!(subscriber.recv_texts(1).await, ["x"]);
        for number in 0..20 {
            publisher
                .publish(
                    &format!("own/{number}"),
                    index.to_string(),
                    Qos::AtLeastOnce,
                )
                .await;
        }
        let mut reader = cluster.client(index, &format!("reader{index}")).await;
        reader.subscribe("kept/#", Qos::AtLeastOnce).await;
        assert_eq!(reader.recv_texts(200).await.len(), 200);
        // And it hears the load from now on.
        let mut client = cluster.client(index, &format!("listener{index}")).await;
        client.subscribe("load", Qos::AtLeastOnce).await;
        let mut last: Option<u32> = None;
        for _ in 0..200 {
            let text = client.recv().await.message.text();
            let number = text.strip_prefix("p:").unwrap().parse().unwrap();
            assert!(
                last.is_none_or(|last| number == last + 1),
                "{number} after {last:?}"
            );
            last = Some(number);
        }
    }
    let sent = load.finish().await;
    for listener in listeners {
        listener.reaches(sent).await;
        listener.stop().await;
    }
    // The sessions are complete on a node that did not exist when they began.
    for (number, session) in sessions.into_iter().enumerate() {
        let builder = cluster.builder(2 + number % 2, &format!("durable{number}"));
        let mut client = builder.persistent(1000).resume(session).connect().await;
        assert!(client.session_present());
        let mut own = 0;
        let mut seen = Seen::default();
        while own < 2 || seen.total() < sent {
            let publish = client.recv().await;
            if publish.message.topic_name == "load" {
                seen.take(&publish)
            } else {
                own += 1
            }
        }
        client.assert_silent().await;
    }
    cluster.assert_healthy();
}

/// A node that joins while a session's messages are under way does not confuse them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_to_a_node_that_has_just_joined() {
    let mut cluster = Cluster::start(1).await;
    let mut client = cluster.builder(0, "mover").persistent(1000).connect().await;
    client.subscribe("load", Qos::ExactlyOnce).await;
    let publisher = cluster.client(0, "publisher").await;
    let load = Load::start(publisher, "p", "load", Qos::ExactlyOnce, 300);
    let mut listener = Listener::start(client, Seen::default());
    for index in 1..3 {
        load.reaches(load.sent() + 100).await;
        cluster.join().await;
        let (seen, session) = listener.stop().await;
        let builder = cluster
            .builder(index, "mover")
            .persistent(1000)
            .resume(session);
        let client = builder.connect().await;
        assert!(client.session_present());
        listener = Listener::start(client, seen);
    }
    load.reaches(load.sent() + 100).await;
    let (seen, session) = listener.stop().await;
    let sent = load.finish().await;
    let builder = cluster.builder(0, "mover").persistent(1000);
    let seen = resume_until(builder, session, seen, sent).await;
    assert_eq!((seen.total(), seen.duplicates), (sent, 0));
    cluster.assert_healthy();
}
