//! Shared subscriptions (section 4.8.2).

use std::collections::BTreeMap;

use harness::{Client, MessageExt as _, Site, everywhere, message};
use mqtt::{Qos, ReasonCode};

use crate::QOS;

const FILTER: &str = "$share/g/t/#";

async fn members(site: &Site, count: usize, qos: Qos) -> Vec<Client> {
    let mut members = Vec::new();
    for number in 0..count {
        let mut member = site.client(&format!("member{number}")).await;
        member.subscribe(FILTER, qos).await;
        members.push(member);
    }
    members
}

async fn publish(site: &Site, qos: Qos, numbers: std::ops::Range<u32>) {
    let mut publisher = site.client("publisher").await;
    for number in numbers {
        publisher
            .start(message(
                &format!("t/{}", number % 7),
                number.to_string(),
                qos,
            ))
            .await;
    }
    publisher.settle().await;
    publisher.ping().await; // also QoS 0 is with the server
    publisher.disconnect().await;
}

/// Receives `total` messages with any of the members; how often each number came, and how many
/// each member got.
async fn collect(members: &mut [Client], total: usize) -> (BTreeMap<u32, usize>, Vec<usize>) {
    let mut numbers = BTreeMap::new();
    let mut counts = vec![0; members.len()];
    let deadline = tokio::time::Instant::now() + harness::LIMIT;
    while counts.iter().sum::<usize>() < total {
        assert!(
            tokio::time::Instant::now() < deadline,
            "only {counts:?} of {total} came"
        );
        for (member, count) in members.iter_mut().zip(&mut counts) {
            let wait = std::time::Duration::from_millis(20);
            while let Some(publish) = member.recv_within(wait).await {
                *numbers
                    .entry(publish.message.text().parse().unwrap())
                    .or_default() += 1;
                *count += 1;
            }
        }
    }
    for member in members {
        member.assert_silent().await;
    }
    (numbers, counts)
}

everywhere! {
    /// [MQTT-4.8.2-4] G7
    async fn each_message_goes_to_one_member(site) {
        for qos in QOS {
            let mut members = members(site, 3, qos).await;
            publish(site, qos, 0..300).await;
            let (numbers, counts) = collect(&mut members, 300).await;
            assert_eq!(numbers.len(), 300);
            assert!(numbers.values().all(|times| *times == 1), "{qos:?}: {numbers:?}");
            assert!(counts.iter().all(|count| *count > 20), "unbalanced: {counts:?}");
        }
    }

    /// Groups are independent of each other and of plain subscriptions.
    async fn every_group_gets_every_message(site) {
        let mut clients = Vec::new();
        for filter in ["$share/g/t/#", "$share/h/t/#", "$share/h/t/+", "t/#"] {
            let mut client = site.client(&format!("client{}", clients.len())).await;
            client.subscribe(filter, Qos::AtLeastOnce).await;
            clients.push(client);
        }
        publish(site, Qos::AtLeastOnce, 0..20).await;
        for client in &mut clients {
            let texts = client.recv_texts(20).await;
            let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
            assert_eq!(texts, expected);
            client.assert_silent().await;
        }
    }

    /// One client may have both, and then gets both.
    async fn a_member_may_subscribe_plainly_too(site) {
        let mut client = site.client("both").await;
        client.subscribe("$share/g/t", Qos::AtLeastOnce).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        site.client("publisher").await.publish("t", "x", Qos::AtLeastOnce).await;
        assert_eq!(client.recv_texts(1).await, ["x"]);
        while client.recv_within(harness::SILENCE).await.is_some() {}
    }

    /// A member that unsubscribes or leaves gets nothing more; the others get all.
    async fn the_rest_take_over_when_members_leave(site) {
        let mut members = members(site, 3, Qos::AtLeastOnce).await;
        assert_eq!(members[0].unsubscribe(FILTER).await, ReasonCode::Success);
        publish(site, Qos::AtLeastOnce, 0..30).await;
        let (numbers, counts) = collect(&mut members, 30).await;
        assert_eq!((numbers.len(), counts[0]), (30, 0));
        members.pop().unwrap().disconnect().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        publish(site, Qos::AtLeastOnce, 30..60).await;
        let (numbers, counts) = collect(&mut members, 30).await;
        assert_eq!((numbers.len(), counts[1]), (30, 30));
    }

    /// [MQTT-4.8.2-6] and G7: what a member did not acknowledge goes to another when it leaves.
    async fn unacknowledged_messages_go_to_another_member(site) {
        let mut silent = site.builder("silent").manual().connect().await;
        silent.subscribe(FILTER, Qos::AtLeastOnce).await;
        publish(site, Qos::AtLeastOnce, 0..10).await;
        assert_eq!(silent.recv_texts(10).await.len(), 10);
        let mut members = members(site, 2, Qos::AtLeastOnce).await;
        silent.vanish().await;
        let (numbers, _) = collect(&mut members, 10).await;
        assert_eq!(numbers.len(), 10);
        assert!(numbers.values().all(|times| *times == 1), "{numbers:?}");
    }

    /// [MQTT-4.8.2-5] A QoS 2 message that was sent is not given to anybody else.
    async fn a_qos_2_message_under_way_is_not_given_to_another_member(site) {
        let mut silent = site.builder("silent").persistent(100).manual().connect().await;
        silent.subscribe(FILTER, Qos::ExactlyOnce).await;
        publish(site, Qos::ExactlyOnce, 0..5).await;
        assert_eq!(silent.recv_texts(5).await.len(), 5);
        let mut members = members(site, 2, Qos::ExactlyOnce).await;
        silent.vanish().await;
        for member in &mut members {
            member.assert_silent().await;
        }
        // [MQTT-4.8.2-4] Its session goes on: delivery is completed there.
        let mut silent = site.builder("silent").persistent(100).connect().await;
        assert_eq!(silent.recv_texts(5).await.len(), 5);
    }

    /// A group of absent members with sessions keeps the message for one of them.
    async fn a_group_of_absent_members_keeps_each_message_once(site) {
        for number in 0..3 {
            let builder = site.builder(&format!("durable{number}")).persistent(1000);
            let mut member = builder.connect().await;
            member.subscribe(FILTER, Qos::AtLeastOnce).await;
            member.disconnect().await;
        }
        publish(site, Qos::AtLeastOnce, 0..30).await;
        let mut members = Vec::new();
        for number in 0..3 {
            let builder = site.builder(&format!("durable{number}")).persistent(1000);
            members.push(builder.connect().await);
        }
        let (numbers, _) = collect(&mut members, 30).await;
        assert_eq!(numbers.len(), 30);
        assert!(numbers.values().all(|times| *times == 1), "{numbers:?}");
    }

    /// A durable and a passing member share: nothing is lost, whoever is there.
    async fn durable_and_passing_members_share(site) {
        let mut durable = site.builder("durable").persistent(1000).connect().await;
        durable.subscribe(FILTER, Qos::AtLeastOnce).await;
        let mut passing = site.client("passing").await;
        passing.subscribe(FILTER, Qos::AtLeastOnce).await;
        let mut members = vec![durable, passing];
        publish(site, Qos::AtLeastOnce, 0..30).await;
        let (numbers, _) = collect(&mut members, 30).await;
        assert_eq!(numbers.len(), 30);
        members.pop().unwrap().disconnect().await;
        members.pop().unwrap().disconnect().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        publish(site, Qos::AtLeastOnce, 30..60).await;
        let mut members = vec![site.builder("durable").persistent(1000).connect().await];
        let (numbers, _) = collect(&mut members, 30).await;
        assert_eq!(numbers.len(), 30);
    }

    /// [MQTT-4.8.2-3]
    async fn each_member_gets_the_qos_it_was_granted(site) {
        let mut members = Vec::new();
        for (number, qos) in QOS.into_iter().enumerate() {
            let mut member = site.client(&format!("member{number}")).await;
            member.subscribe(FILTER, qos).await;
            members.push((member, qos));
        }
        publish(site, Qos::ExactlyOnce, 0..60).await;
        for (member, qos) in &mut members {
            let mut count = 0;
            while let Some(publish) = member.recv_within(harness::SILENCE).await {
                assert_eq!(publish.message.qos, *qos);
                count += 1;
            }
            assert!(count > 5, "a member with {qos:?} got {count}");
        }
    }

    /// A member that says no has answered: nobody else gets the message.
    /// [MQTT-4.8.2-6]
    async fn a_message_that_a_member_refuses_goes_to_nobody_else(site) {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut picky = site.builder("picky").persistent(100).manual().connect().await;
            picky.subscribe(FILTER, qos).await;
            publish(site, qos, 0..3).await;
            for _ in 0..3 {
                let packet_id = picky.recv().await.packet_id.unwrap();
                let no = mqtt::Ack::new(packet_id, ReasonCode::QuotaExceeded);
                picky.send(&match qos {
                    Qos::ExactlyOnce => mqtt::Packet::PubRec(no),
                    _ => mqtt::Packet::PubAck(no),
                }).await;
            }
            picky.ping().await;
            let mut others = members(site, 2, qos).await;
            picky.vanish().await;
            for other in &mut others {
                other.assert_silent().await;
            }
            let picky = site.builder("picky").connect().await;
            for other in &mut others {
                other.assert_silent().await;
            }
            picky.disconnect().await;
        }
    }

    /// Nor does a QoS 2 message that a member had when its session ended.
    /// [MQTT-4.8.2-5]
    async fn a_qos_2_message_ends_with_the_session_that_was_sent_it(site) {
        for expiry_interval in [0, 100] {
            let builder = || site.builder("silent").persistent(expiry_interval);
            let mut silent = builder().manual().connect().await;
            silent.subscribe(FILTER, Qos::ExactlyOnce).await;
            publish(site, Qos::ExactlyOnce, 0..3).await;
            assert_eq!(silent.recv_texts(3).await.len(), 3);
            let mut others = members(site, 2, Qos::ExactlyOnce).await;
            silent.vanish().await;
            site.client("silent").await.disconnect().await; // Clean Start ends the session
            for other in &mut others {
                other.assert_silent().await;
            }
        }
    }
}
