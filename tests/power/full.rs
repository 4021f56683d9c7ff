//! The disk is full under load, and later there is room again.

use std::time::Duration;

use harness::{Client, Event, MessageExt as _, Options, TestNode, message};
use mqtt::{Qos, ReasonCode};
use tokio::task::JoinHandle;

use crate::{
    crowd::{Crowd, persistent},
    disk::Disk,
    judge::judge,
};

/// Clients that send more than may wait in memory.
const FLOODING: usize = 8;
const FLOOD_MESSAGES: usize = 1500;
const FLOOD_BYTES: usize = 32 * 1024;
/// What the node may need for what waits: 64 MiB of messages, as they came and as they are to be written, and
/// buffers. The flood is 375 MiB.
const MOST_GROWTH_BYTES: u64 = 224 << 20;

/// Sends without waiting for acknowledgements, until all are there.
fn flood(mut client: Client) -> JoinHandle<()> {
    tokio::spawn(async move {
        let payload = bytes::Bytes::from(vec![b'x'; FLOOD_BYTES]);
        for _ in 0..FLOOD_MESSAGES {
            client
                .start(message("flood/x", payload.clone(), Qos::AtLeastOnce))
                .await;
        }
        while client.session.unacknowledged() > 0 {
            let event = client.event().await;
            assert!(
                !matches!(event, Event::Closed),
                "the connection did not stay"
            );
        }
    })
}

/// What needs no database goes on.
async fn assert_flowing(publisher: &mut Client, subscriber: &mut Client, round: u32) {
    publisher.ping().await;
    subscriber.ping().await;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let text = format!("{round}:{}", qos.as_u8());
        publisher.publish("live", text.clone(), qos).await;
        assert_eq!(subscriber.recv().await.message.text(), text);
    }
}

async fn unavailable_since(node: &TestNode) -> f64 {
    let metrics = node.metrics().await;
    metrics.sum("causeway_store_unavailable_since_seconds", &[])
}

/// How often the log says that an outage begins.
fn told(node: &TestNode) -> usize {
    let line = "the database takes no changes";
    node.output().matches(line).count()
}

/// When the outage began that has lasted for a second. Before it a checkpoint may have made room for a
/// few commits more.
async fn lasting_outage(node: &TestNode) -> f64 {
    harness::eventually("an outage that lasts", async || {
        let since = unavailable_since(node).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        (since > 0.0 && unavailable_since(node).await == since).then_some(since)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_acknowledgements_back_until_there_is_room() {
    let Some(disk) = Disk::create(384) else {
        return;
    };
    let path = disk.database();
    let path = path.to_str().unwrap();
    let mut node = TestNode::launch(Options {
        settings: vec![
            format!("store.path={path}"),
            "mqtt.connect_timeout=2s".to_owned(),
        ],
        ..Options::default()
    })
    .await;
    let mut hoarder = persistent(&node, "hoarder").connect().await;
    hoarder.subscribe("flood/#", Qos::AtLeastOnce).await;
    hoarder.subscribe("waits", Qos::AtLeastOnce).await;
    hoarder.disconnect().await;
    let mut subscriber = node.client("live-subscriber").await;
    subscriber.subscribe("live", Qos::ExactlyOnce).await;
    let mut publisher = node.client("live-publisher").await;
    let mut waiting = node.client("waiting").await;
    let mut flooding = Vec::new();
    for number in 0..FLOODING {
        flooding.push(node.client(&format!("flood-{number}")).await);
    }
    let mut crowd = Crowd::start(&node).await;
    crowd.warm().await;
    let before = node.resident_bytes();

    let ballast = disk.fill(256 * 1024);
    let line = node.logs(&["the database takes no changes"]).await;
    for word in ["ERROR", "store.path", path, "make room"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    let since = lasting_outage(&node).await;
    assert!(since > 1_600_000_000.0, "{since}");
    let (lines, told) = (node.output().lines().count(), told(&node));

    let flooding: Vec<_> = flooding.into_iter().map(flood).collect();
    let waits = message("waits", "x", Qos::AtLeastOnce);
    let packet_id = waiting.start(waits).await.unwrap();
    for round in 0..3 {
        assert_flowing(&mut publisher, &mut subscriber, round).await;
        let refused = persistent(&node, "late-comer")
            .try_connect()
            .await
            .unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::ServerUnavailable);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let unanswered = tokio::time::timeout(Duration::from_millis(300), waiting.event()).await;
    assert!(
        unanswered.is_err(),
        "acknowledged what the disk has not: {unanswered:?}"
    );
    assert!(!crowd.has_ended() && flooding.iter().all(|task| !task.is_finished()));
    let growth = node.resident_bytes().saturating_sub(before);
    let after = unavailable_since(&node).await;
    assert!(
        (after - since).abs() < 0.5,
        "one outage, {since} and {after}"
    );
    let more = node.output().lines().count() - lines;
    eprintln!(
        "{} MiB more memory, {more} more lines in the log",
        growth >> 20
    );
    assert!(growth < MOST_GROWTH_BYTES, "{growth} bytes");
    assert!(more < 20, "{more} lines:\n{}", node.output());
    node.assert_healthy();

    std::fs::remove_file(ballast).unwrap();
    harness::eventually("the outage is over", async || {
        (unavailable_since(&node).await == 0.0).then_some(())
    })
    .await;
    assert_eq!(waiting.finish(packet_id).await, ReasonCode::Success);
    // What they have in memory is written; the rest of the flood proves no more.
    flooding.iter().for_each(JoinHandle::abort);
    crowd.settle().await;
    assert_flowing(&mut publisher, &mut subscriber, 99).await;
    assert_eq!(told, self::told(&node), "one line for one outage");
    node.assert_healthy();
    node.kill();
    let record = crowd.ended().await;
    node.restart().await;
    let verdict = judge(&node, record).await;
    node.assert_healthy();
    assert!(verdict.wrong.is_empty(), "{:#?}", verdict.wrong);
}
