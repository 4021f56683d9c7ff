//! The nightlight of an IoT lesson: a device that tells how light it is and a program that tells
//! it when to switch on its LED, two processes that know only the load balancer.

use harness::{Cluster, Tool};

const DEVICE: &str = include_str!("nightlight_device.py");
const SERVER: &str = include_str!("nightlight_server.py");

/// How many clients each node has.
async fn connections(cluster: &Cluster) -> Vec<u32> {
    let mut counts = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.is_running()) {
        let count = node.metrics().await.sum("causeway_connections", &[]);
        counts.push(format!("{count}").parse().unwrap());
    }
    counts
}

#[tokio::test]
async fn device_and_server_work_on_different_nodes() {
    let python = harness::paho1();
    let mut cluster = Cluster::balanced().await;
    let port = cluster.nginx.as_ref().unwrap().address().port().to_string();
    let start = |script| {
        Tool::start(
            &python,
            &["-u", "-c", script, "127.0.0.1", &port],
            "make test",
        )
    };
    let server = start(SERVER);
    server.says("Connected").await;
    // nginx gives a new connection to a node with the fewest: the device comes to another node.
    let mut device = start(DEVICE);
    for _ in 0..10 {
        device.says("Connected").await;
        if connections(&cluster).await.into_iter().max() == Some(1) {
            break;
        }
        device = start(DEVICE);
    }
    let mut counts = connections(&cluster).await;
    counts.sort_unstable();
    assert_eq!(
        counts,
        [0, 1, 1],
        "device and server are on different nodes"
    );

    device.says("Message received: {'led_on': True}").await;
    device.says("LED on").await;
    device.says("LED off").await;
    server.says("Message received: {'light': 400}").await;
    server.says("Sending message: {'led_on': False}").await;

    // The node that has neither is killed: nobody notices.
    let mut spare = None;
    for (index, node) in cluster.nodes.iter().enumerate() {
        if node.metrics().await.sum("causeway_connections", &[]) == 0.0 {
            spare = Some(index);
        }
    }
    cluster.nodes[spare.unwrap()].kill();
    let switched = device.output().matches("LED on").count();
    harness::eventually("the LED goes on and off as before", async || {
        (device.output().matches("LED on").count() > switched + 5).then_some(())
    })
    .await;

    // Now the one that has the server: it reconnects through nginx, and all goes on.
    let busy = cluster
        .nodes
        .iter()
        .position(harness::TestNode::is_running)
        .unwrap();
    cluster.nodes[busy].kill();
    let switched = device.output().matches("LED on").count();
    harness::eventually("the LED goes on and off again", async || {
        (device.output().matches("LED on").count() > switched + 5).then_some(())
    })
    .await;
}
