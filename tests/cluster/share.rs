//! G7: shared subscriptions whose members are on different nodes.

use std::collections::BTreeMap;

use harness::{Client, Cluster, Event, MessageExt as _, message};
use mqtt::Qos;

/// Adds what a member gets until its connection ends or `limit` passes in silence.
async fn drain(member: &mut Client, numbers: &mut BTreeMap<u32, u32>, limit: std::time::Duration) {
    for publish in member.take_inbox() {
        *numbers
            .entry(publish.message.text().parse().unwrap())
            .or_default() += 1;
    }
    while let Ok(event) = tokio::time::timeout(limit, member.event()).await {
        match event {
            Event::Message(publish) => {
                *numbers
                    .entry(publish.message.text().parse().unwrap())
                    .or_default() += 1;
            }
            Event::Closed => break,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_on_three_nodes_get_each_message_once() {
    let cluster = Cluster::start(3).await;
    let mut members = Vec::new();
    for index in 0..3 {
        let mut member = cluster.client(index, &format!("member{index}")).await;
        member.subscribe("$share/g/t", Qos::ExactlyOnce).await;
        members.push(member);
    }
    let mut expected = 0;
    for index in 0..3 {
        let mut publisher = cluster.client(index, "publisher").await;
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for _ in 0..100 {
                publisher
                    .start(message("t", expected.to_string(), qos))
                    .await;
                expected += 1;
            }
            publisher.settle().await;
        }
        publisher.ping().await;
        publisher.disconnect().await;
    }
    let mut numbers = BTreeMap::new();
    let mut counts = Vec::new();
    for member in &mut members {
        let before = numbers.len();
        drain(member, &mut numbers, harness::SILENCE).await;
        counts.push(numbers.len() - before);
    }
    assert_eq!(numbers.len(), expected);
    assert!(numbers.values().all(|times| *times == 1), "{numbers:?}");
    assert!(
        counts.iter().all(|count| *count > 90),
        "unbalanced: {counts:?}"
    );
}

/// The node of one member dies: the others get what it did not acknowledge, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_node_of_a_member_is_killed() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..crate::rounds() {
        let (a, b, c) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        // The one on a never acknowledges.
        let mut silent = cluster.builder(a, "silent").manual().connect().await;
        silent.subscribe("$share/g/t", Qos::AtLeastOnce).await;
        let mut members = Vec::new();
        for index in [b, c] {
            let mut member = cluster.client(index, &format!("member{index}")).await;
            member.subscribe("$share/g/t", Qos::AtLeastOnce).await;
            members.push(member);
        }
        let mut publisher = cluster.client(b, "publisher").await;
        for number in 0..150_u32 {
            publisher
                .start(message("t", number.to_string(), Qos::AtLeastOnce))
                .await;
            if number == 100 {
                publisher.settle().await;
                cluster.nodes[a].kill();
            }
        }
        publisher.settle().await;
        let mut numbers = BTreeMap::new();
        harness::eventually("all have come", async || {
            for member in &mut members {
                drain(member, &mut numbers, std::time::Duration::from_millis(100)).await;
            }
            (numbers.len() == 150).then_some(())
        })
        .await;
        for member in &mut members {
            drain(member, &mut numbers, harness::SILENCE).await;
        }
        assert!(numbers.values().all(|times| *times == 1), "{numbers:?}");
        silent.vanish().await;
        for member in members {
            member.disconnect().await;
        }
        cluster.nodes[a].restart().await;
    }
    cluster.assert_healthy();
}

/// A member with a session on a node that dies: it keeps its part until it returns, or others
/// get it; each message reaches somebody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_member_and_the_others_lose_nothing_when_its_node_is_killed() {
    let mut cluster = Cluster::start(3).await;
    let mut durable = cluster
        .builder(0, "durable")
        .persistent(1000)
        .manual()
        .connect()
        .await;
    durable.subscribe("$share/g/t", Qos::AtLeastOnce).await;
    let mut other = cluster.client(1, "other").await;
    other.subscribe("$share/g/t", Qos::AtLeastOnce).await;
    let mut publisher = cluster.client(2, "publisher").await;
    for number in 0..100 {
        publisher
            .publish("t", number.to_string(), Qos::AtLeastOnce)
            .await;
    }
    cluster.nodes[0].kill();
    durable.vanish().await;
    for number in 100..150 {
        publisher
            .publish("t", number.to_string(), Qos::AtLeastOnce)
            .await;
    }
    let builder = cluster.builder(2, "durable").persistent(1000);
    let mut durable = builder.connect_eventually().await;
    assert!(durable.session_present());
    let mut numbers = BTreeMap::new();
    harness::eventually("all have come", async || {
        for member in [&mut durable, &mut other] {
            drain(member, &mut numbers, std::time::Duration::from_millis(100)).await;
        }
        (numbers.len() == 150).then_some(())
    })
    .await;
    cluster.assert_healthy();
}
