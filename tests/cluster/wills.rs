//! G6: a will is published once, also when its node cannot do it.

use std::{collections::BTreeMap, time::Duration};

use harness::{Cluster, MessageExt as _, message};
use mqtt::Qos;

/// Sixty wills of a killed node: each once, although two nodes could publish it.
/// [MQTT-3.1.2-7]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wills_of_a_killed_node_are_published_once() {
    let mut cluster = Cluster::start(3).await;
    let mut watchers = Vec::new();
    for index in 1..3 {
        let mut watcher = cluster.client(index, &format!("watcher{index}")).await;
        watcher.subscribe("wills/#", Qos::ExactlyOnce).await;
        watchers.push(watcher);
    }
    let mut mortals = Vec::new();
    for number in 0..60 {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][number % 3];
        let will = message(&format!("wills/{number}"), number.to_string(), qos);
        let builder = cluster.builder(0, &format!("mortal{number}"));
        mortals.push(match number % 4 {
            0 => builder.will(will).connect().await,
            1 => builder.persistent(1000).will(will).connect().await,
            2 => {
                builder
                    .persistent(1000)
                    .delayed_will(will, 1)
                    .connect()
                    .await
            }
            _ => builder.delayed_will(will, 1000).connect().await, // its session ends at once
        });
    }
    mortals.remove(0).disconnect().await; // no will
    tokio::time::sleep(harness::SILENCE).await; // nothing acknowledges a DISCONNECT
    cluster.nodes[0].kill();
    for watcher in &mut watchers {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 1..60 {
            let publish = watcher
                .recv_within(harness::PATIENCE)
                .await
                .expect("all wills");
            *counts.entry(publish.message.text()).or_default() += 1;
        }
        assert_eq!(counts.len(), 59, "{counts:?}");
        assert!(!counts.contains_key("0"));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for watcher in &mut watchers {
        watcher.assert_silent().await;
    }
    cluster.assert_healthy();
}

/// The client of a killed node comes back in time: no will.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_will_is_cancelled_by_a_return_to_another_node() {
    let mut cluster = Cluster::start_with(2, &["cluster.lease=2s"]).await;
    let mut watcher = cluster.client(1, "watcher").await;
    watcher.subscribe("wills/#", Qos::AtLeastOnce).await;
    let will = message("wills/w", "no", Qos::AtLeastOnce);
    let builder = |node| {
        cluster
            .builder(node, "mortal")
            .persistent(1000)
            .delayed_will(will.clone(), 8)
    };
    let (on_a, on_b) = (builder(0), builder(1));
    let first = on_a.connect().await;
    cluster.nodes[0].kill();
    let second = on_b.resume(first.vanish().await).connect_eventually().await;
    assert!(second.session_present());
    tokio::time::sleep(Duration::from_secs(10)).await;
    watcher.assert_silent().await;
    second.disconnect().await;
    watcher.assert_silent().await;
    cluster.assert_healthy();
}
