//! Everybody talks to everybody.

use harness::{Builder, Cluster, MessageExt as _, message};
use mqtt::Qos;
use tokio::{sync::Barrier, task::JoinSet};

const CLIENTS: usize = 300;
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// One client: it publishes to every other with every QoS, and must hear from every other with
/// every QoS, exactly and in order.
async fn talk(builder: Builder, me: usize, ready: std::sync::Arc<Barrier>) {
    let mut client = builder.connect().await;
    client
        .subscribe(&format!("to/{me}/+"), Qos::ExactlyOnce)
        .await;
    ready.wait().await;
    let mut sent = 0_u32;
    for step in 1..CLIENTS {
        let to = (me + step) % CLIENTS;
        for qos in QOS {
            // One topic for each QoS; the number counts over all that `me` ever sent to `to`.
            let topic = format!("to/{to}/{}", qos.as_u8());
            client.start(message(&topic, format!("{me}:0"), qos)).await;
            if qos != Qos::AtMostOnce {
                client.start(message(&topic, format!("{me}:1"), qos)).await;
            }
            sent += 1;
        }
        if sent.is_multiple_of(60) {
            client.settle().await;
        }
    }
    client.settle().await;
    let mut next = vec![[0_u32; 3]; CLIENTS];
    for _ in 0..(CLIENTS - 1) * 5 {
        let publish = client
            .recv_within(harness::PATIENCE * 2)
            .await
            .unwrap_or_else(|| {
                let missing: Vec<_> = (0..CLIENTS)
                    .filter(|from| *from != me && next[*from] != [1, 2, 2])
                    .map(|from| (from, next[from]))
                    .collect();
                panic!("client {me} waits in vain; of (client, count per QoS) {missing:?}");
            });
        let text = publish.message.text();
        let (from, number) = text.split_once(':').unwrap();
        let topic = publish.message.topic_name.as_str();
        let qos: usize = topic.rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!(usize::from(publish.message.qos.as_u8()), qos);
        let expected = &mut next[from.parse::<usize>().unwrap()][qos];
        assert_eq!(
            number.parse::<u32>().unwrap(),
            *expected,
            "order from {from}, QoS {qos}"
        );
        *expected += 1;
    }
    client.assert_silent().await;
    ready.wait().await;
    client.disconnect().await;
}

/// G1, G4 and G5 without faults: 300 clients spread by nginx, 448 500 messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_reaches_every_other_exactly_and_in_order() {
    let mut cluster = Cluster::balanced().await;
    let ready = std::sync::Arc::new(Barrier::new(CLIENTS + 1));
    let mut tasks = JoinSet::new();
    for me in 0..CLIENTS {
        let builder = cluster.front(&format!("client{me}"));
        tasks.spawn(talk(builder, me, std::sync::Arc::clone(&ready)));
    }
    tokio::time::timeout(harness::PATIENCE, ready.wait())
        .await
        .expect("all connected");
    for node in &cluster.nodes {
        let connections = node.metrics().await.sum("causeway_connections", &[]);
        assert!(
            connections > 50.0,
            "{connections} clients on node {}",
            node.name()
        );
    }
    let end = async {
        tokio::select! {
            _ = ready.wait() => {}
            Some(result) = tasks.join_next() => result.unwrap(), // fails early
        }
    };
    end.await;
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    cluster.assert_healthy();
}
