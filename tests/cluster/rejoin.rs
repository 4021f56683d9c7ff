//! G8: a node that was declared dead does nothing more, and joins again by itself.

use harness::{Builder, Cluster, eventually};
use mqtt::Qos;

/// The addresses at which a node has ever listened for MQTT, by its log.
fn addresses(log: &str) -> Vec<std::net::SocketAddr> {
    let of_tcp = log.lines().filter(|line| {
        line.contains("\"message\":\"listening\"") && line.contains("\"listener\":\"tcp\"")
    });
    let address = |line: &str| {
        let (_, rest) = line.split_once("\"address\":\"")?;
        rest.split_once('"')?.0.parse().ok()
    };
    of_tcp.filter_map(address).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_slept_through_its_lease_joins_again() {
    let cluster = Cluster::start_with(3, &["cluster.lease=1s"]).await;
    let [a, b, c] = cluster.nodes.as_slice() else {
        panic!("three nodes");
    };
    let mut sleeper = a.builder("sleeper").persistent(600).connect().await;
    sleeper.subscribe("to/sleeper", Qos::AtLeastOnce).await;
    a.pause();
    eventually("one of the others lets its clients go", async || {
        let line = "node is dead, its clients were let go";
        [b, c].into_iter().find(|node| node.output().contains(line))
    })
    .await;
    let mut publisher = b.client("publisher").await;
    publisher
        .publish("to/sleeper", "while it slept", Qos::AtLeastOnce)
        .await;
    a.resume();
    a.logs(&["declared dead by the cluster", "joining the cluster again"])
        .await;
    sleeper.closed().await;
    let address = eventually("the node takes clients again", async || {
        let log = a.output();
        let addresses = addresses(&log);
        let is_ready = log.matches("node is ready").count() == 2;
        addresses.get(1).copied().filter(|_| is_ready)
    })
    .await;
    let session = sleeper.vanish().await;
    let mut sleeper = Builder::new(address, "sleeper")
        .persistent(600)
        .resume(session)
        .connect()
        .await;
    assert!(sleeper.session_present());
    assert_eq!(sleeper.recv().await.message.payload, "while it slept");
    publisher
        .publish("to/sleeper", "after", Qos::AtLeastOnce)
        .await;
    assert_eq!(sleeper.recv().await.message.payload, "after");
}
