//! Will Messages: published once, after their delay or not at all.

use ibc::{Batch, Store as _, WillFate, WillKey};

use crate::bed::{Bed, LEASE, claim, clean, detached, number, numbered, postgres, with_will};
use crate::{on_both, server};

fn pair(client_id: &str, body: &str) -> (String, String) {
    (client_id.to_owned(), body.to_owned())
}

on_both! {
    async fn a_will_waits_while_its_connection_lives(bed: Bed) {
        bed.claim(with_will(claim("c", 60), "bye", 0)).await;
        assert_eq!(bed.due().await, []);
    }

    /// [MQTT-3.14.4-3]
    async fn a_discarded_will_is_never_due(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 60), "bye", 0)).await;
        bed.commit(detached(&claimed, "c", 60, WillFate::Discard)).await;
        assert_eq!(bed.count("will").await, 0);
    }

    async fn a_will_without_delay_is_due_at_once_and_taken_once(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 60), "bye", 0)).await;
        bed.commit(detached(&claimed, "c", 60, WillFate::Delay)).await;
        assert_eq!(bed.due().await, [pair("c", "bye")]);
        assert_eq!(bed.due().await, []);
        let will = WillKey { client_id: "c".into(), epoch: claimed.epoch };
        bed.commit(Batch { wills: vec![will], ..Batch::default() }).await;
        assert_eq!(bed.count("will").await, 0);
    }

    /// [MQTT-3.1.3-9]
    async fn a_delayed_will_is_due_after_its_delay(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 600), "bye", 60)).await;
        bed.commit(detached(&claimed, "c", 600, WillFate::Delay)).await;
        assert_eq!(bed.due().await, []);
        bed.age("will", "due_at", 55).await;
        assert_eq!(bed.due().await, []);
        bed.age("will", "due_at", 6).await;
        assert_eq!(bed.due().await, [pair("c", "bye")]);
    }

    async fn a_delay_ends_with_the_session(bed: Bed) {
        let short = bed.claim(with_will(claim("short", 5), "bye", 60)).await;
        bed.commit(detached(&short, "short", 5, WillFate::Delay)).await;
        let none = bed.claim(with_will(claim("none", 0), "gone", 60)).await;
        bed.commit(detached(&none, "none", 0, WillFate::Delay)).await;
        assert_eq!(bed.due().await, [pair("none", "gone")]);
        bed.age("will", "due_at", 6).await;
        assert_eq!(bed.due().await, [pair("short", "bye")]);
    }

    async fn expiry_makes_a_will_due(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 600), "bye", 300)).await;
        bed.commit(detached(&claimed, "c", 600, WillFate::Delay)).await;
        bed.age("session", "expires_at", 601).await;
        assert_eq!(bed.store().expire(10).await.unwrap().len(), 1);
        assert_eq!(bed.due().await, [pair("c", "bye")]);
    }

    /// [MQTT-3.1.3-9]
    async fn a_delayed_will_is_not_published_when_the_session_is_resumed(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 600), "bye", 60)).await;
        bed.commit(detached(&claimed, "c", 600, WillFate::Delay)).await;
        assert!(bed.claim(claim("c", 600)).await.is_present);
        assert_eq!(bed.count("will").await, 0);
    }

    async fn a_will_that_is_due_already_is_published_though_the_session_is_resumed(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 600), "bye", 60)).await;
        bed.commit(detached(&claimed, "c", 600, WillFate::Delay)).await;
        bed.age("will", "due_at", 61).await;
        bed.claim(claim("c", 600)).await;
        assert_eq!(bed.due().await, [pair("c", "bye")]);
    }

    async fn clean_start_makes_a_delayed_will_due(bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 600), "bye", 60)).await;
        bed.commit(detached(&claimed, "c", 600, WillFate::Delay)).await;
        bed.claim(with_will(clean("c", 600), "next", 0)).await;
        assert_eq!(bed.due().await, [pair("c", "bye")]);
        assert_eq!(bed.count("will").await, 2);
    }

    async fn a_takeover_publishes_a_will_without_delay_and_drops_a_delayed_one(bed: Bed) {
        let quick = bed.claim(with_will(claim("quick", 60), "quick", 0)).await;
        let slow = bed.claim(with_will(claim("slow", 60), "slow", 9)).await;
        let fresh = bed.claim(with_will(claim("fresh", 60), "fresh", 9)).await;
        bed.claim(claim("quick", 60)).await;
        bed.claim(claim("slow", 60)).await;
        bed.claim(clean("fresh", 60)).await;
        assert_eq!(bed.due().await, []);
        bed.commit(detached(&quick, "quick", 60, WillFate::Delay)).await;
        bed.commit(detached(&slow, "slow", 60, WillFate::Delay)).await;
        bed.commit(detached(&fresh, "fresh", 60, WillFate::Delay)).await;
        assert_eq!(bed.due().await, [pair("fresh", "fresh"), pair("quick", "quick")]);
        assert_eq!(bed.count("will").await, 2);
    }

    async fn a_will_taken_by_a_node_that_died_is_taken_again(mut bed: Bed) {
        let claimed = bed.claim(with_will(claim("c", 60), "bye", 0)).await;
        bed.commit(detached(&claimed, "c", 60, WillFate::Delay)).await;
        assert_eq!(bed.due().await, [pair("c", "bye")]);
        bed.restart().await;
        assert_eq!(bed.due().await, [pair("c", "bye")]);
        assert_eq!(bed.due().await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_each_due_will_is_taken_by_one() {
    let url = server::new_database().await;
    let stores = [
        postgres(&url).await,
        postgres(&url).await,
        postgres(&url).await,
    ];
    let mut nodes = Vec::new();
    for (store, name) in stores.iter().zip(["a", "b", "c"]) {
        nodes.push(store.join(name, "1", LEASE).await.unwrap().node);
    }
    let claims: Vec<_> = (0..300)
        .map(|i| with_will(claim(&format!("c{i}"), 60), "bye", 0))
        .collect();
    let claimed = stores[0].claim(nodes[0], number(), &claims).await.unwrap();
    let mut batch = Batch::default();
    for (claim, claimed) in claims.iter().zip(&claimed) {
        batch
            .detached
            .extend(detached(claimed, &claim.client_id, 60, WillFate::Delay).detached);
    }
    stores[0]
        .commit(nodes[0], &numbered(batch.clone()))
        .await
        .unwrap();
    let all = async |i: usize| {
        let mut taken = Vec::new();
        for _ in 0..60 {
            taken.extend(stores[i].due_wills(nodes[i], 10).await.unwrap());
        }
        taken
    };
    let (a, b, c) = tokio::join!(all(0), all(1), all(2));
    let mut clients: Vec<_> = a
        .into_iter()
        .chain(b)
        .chain(c)
        .map(|will| will.client_id)
        .collect();
    assert_eq!(clients.len(), 300);
    clients.sort();
    clients.dedup();
    assert_eq!(clients.len(), 300);
}
