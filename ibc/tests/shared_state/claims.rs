//! Claims of client IDs: what is resumed, what is discarded, who had it before.

use ibc::{Batch, Owner, ReceivedId, Store as _, StoreError, WillFate};

use crate::bed::{
    Bed, NEVER, claim, clean, detached, message, messages, number, numbered, postgres, subscribed,
    subscription,
};
use crate::{on_both, server};

on_both! {
    async fn a_new_client_gets_a_session_that_is_not_present(bed: Bed) {
        let claimed = bed.claim(claim("c", 60)).await;
        assert!(!claimed.is_present);
        assert!(claimed.session.0 > 0 && claimed.epoch.0 > 0);
        assert_eq!((claimed.previous, claimed.discarded), (None, None));
        assert!(claimed.kept.subscriptions.is_empty() && claimed.kept.received.is_empty());
    }

    /// [MQTT-3.1.2-5] [MQTT-4.3.3-10]
    async fn a_persistent_session_is_resumed_with_what_was_stored(bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        let filter = subscription("a/+/ü", 0b10_1110, Some(268_435_455));
        bed.commit(subscribed(first.session, vec![filter.clone(), subscription("b", 1, None)])).await;
        let received = [3, 65_535].map(|packet_id| ReceivedId { session: first.session, packet_id });
        bed.commit(Batch { received: received.to_vec(), ..Batch::default() }).await;
        bed.commit(detached(&first, "c", 60, WillFate::Discard)).await;

        let second = bed.claim(claim("c", 60)).await;
        assert!(second.is_present);
        assert_eq!(second.session, first.session);
        assert!(second.epoch > first.epoch);
        assert_eq!((second.previous, second.discarded), (None, None));
        assert_eq!(second.kept.received, [3, 65_535]);
        let kept = bed.store().kept(second.session).await.unwrap();
        assert_eq!(kept.received, second.kept.received);
        assert_eq!(kept.subscriptions.len(), 2);
        assert_eq!(second.kept.subscriptions.len(), 2);
        assert!(second.kept.subscriptions.contains(&filter));
    }

    /// [MQTT-3.1.2-4]
    async fn clean_start_discards_the_session(bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        bed.commit(subscribed(first.session, vec![subscription("a", 1, None)])).await;
        bed.commit(detached(&first, "c", 60, WillFate::Discard)).await;

        let second = bed.claim(clean("c", 60)).await;
        assert!(!second.is_present);
        assert_ne!(second.session, first.session);
        assert_eq!(second.discarded, Some(first.session));
        assert!(second.kept.subscriptions.is_empty());
        assert_eq!(bed.count("subscription").await, 0);
    }

    async fn a_connected_client_must_be_handed_over(bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        let second = bed.claim(claim("c", 60)).await;
        assert_eq!(second.previous, Some(Owner { node: bed.node, epoch: first.epoch }));
        assert!(second.is_present);
    }

    async fn a_session_that_ends_with_its_connection_is_not_resumed(bed: Bed) {
        let first = bed.claim(claim("c", 0)).await;
        let second = bed.claim(claim("c", 60)).await;
        assert!(!second.is_present);
        assert_eq!(second.discarded, Some(first.session));
        assert_eq!(second.previous.map(|owner| owner.epoch), Some(first.epoch));
    }

    async fn an_expired_session_is_not_resumed(bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        bed.commit(detached(&first, "c", 60, WillFate::Discard)).await;
        bed.age("session", "expires_at", 61).await;
        let second = bed.claim(claim("c", 60)).await;
        assert!(!second.is_present);
        assert_eq!(second.discarded, Some(first.session));
    }

    async fn a_session_that_never_expires_stays(bed: Bed) {
        let first = bed.claim(claim("c", NEVER)).await;
        bed.commit(detached(&first, "c", NEVER, WillFate::Discard)).await;
        assert!(bed.store().expire(10).await.unwrap().is_empty());
        assert!(bed.claim(claim("c", NEVER)).await.is_present);
    }

    async fn the_interval_of_disconnect_counts(bed: Bed) {
        let first = bed.claim(claim("c", 3600)).await;
        bed.commit(detached(&first, "c", 5, WillFate::Discard)).await;
        bed.age("session", "expires_at", 6).await;
        let ended = bed.store().expire(10).await.unwrap();
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].session, ended[0].epoch), (first.session, first.epoch));
        assert_eq!(ended[0].client_id, "c");
        assert!(bed.store().expire(10).await.unwrap().is_empty());
    }

    async fn an_epoch_is_larger_than_all_before_even_when_the_session_was_deleted(bed: Bed) {
        let mut last = bed.claim(claim("c", 60)).await;
        for _ in 0..5 {
            last = bed.claim(claim("c", 60)).await;
        }
        bed.commit(detached(&last, "c", 0, WillFate::Discard)).await;
        assert_eq!(bed.count("session").await, 0);
        assert!(bed.claim(claim("c", 60)).await.epoch > last.epoch);
    }

    async fn the_end_of_an_old_claim_changes_nothing(bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        let second = bed.claim(claim("c", 60)).await;
        bed.commit(detached(&first, "c", 0, WillFate::Discard)).await;
        let third = bed.claim(claim("c", 60)).await;
        assert!(third.is_present);
        assert_eq!(third.previous.map(|owner| owner.epoch), Some(second.epoch));
    }

    async fn many_clients_are_claimed_at_once_and_answered_in_order(bed: Bed) {
        let claims: Vec<_> = (0..4500).rev().map(|i| claim(&format!("client {i}"), 60)).collect();
        let first = bed.store().claim(bed.node, number(), &claims).await.unwrap();
        let second = bed.store().claim(bed.node, number(), &claims).await.unwrap();
        for (first, second) in first.iter().zip(&second) {
            assert_eq!(first.session, second.session);
            assert_eq!(second.previous.map(|owner| owner.epoch), Some(first.epoch));
        }
        assert_eq!(bed.store().claim(bed.node, number(), &[]).await.unwrap().len(), 0);
    }

    async fn client_ids_may_be_long(bed: Bed) {
        let long: String = (0..65_535_u32).map(|i| char::from(b'!' + (i * i % 89) as u8)).collect();
        let first = bed.claim(claim(&long, 60)).await;
        assert_eq!(bed.claim(claim(&long, 60)).await.session, first.session);
    }

    async fn sessions_are_read_page_by_page(bed: Bed) {
        for i in 0..7 {
            let claimed = bed.claim(claim(&format!("c{i}"), if i == 3 { 0 } else { 60 })).await;
            bed.commit(subscribed(claimed.session, vec![subscription(&format!("f/{i}"), 2, None)])).await;
            if i == 5 {
                bed.commit(detached(&claimed, "c5", 60, WillFate::Discard)).await;
            }
        }
        let mut after = ibc::SessionId(0);
        let mut seen = Vec::new();
        loop {
            let page = bed.store().sessions(after, 4).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.session;
            seen.extend(page);
        }
        let clients: Vec<&str> = seen.iter().map(|session| &*session.client_id).collect();
        assert_eq!(clients, ["c0", "c1", "c2", "c4", "c5", "c6"]);
        assert_eq!(seen[0].owner, Some(bed.node));
        assert_eq!(seen[4].owner, None);
        assert_eq!(seen[4].subscriptions, [subscription("f/5", 2, None)]);
    }

    /// A page of 2 sessions holds up to 16 subscriptions, or else one session with all it has.
    async fn a_page_of_sessions_is_small_if_they_subscribe_to_much(bed: Bed) {
        let counts = [0, 20, 6, 6, 6, 16, 17, 1, 0, 2];
        for (i, count) in counts.into_iter().enumerate() {
            let claimed = bed.claim(claim(&format!("c{i}"), 60)).await;
            let all = (0..count).map(|f| subscription(&format!("f/{i}/{f}"), 1, None)).collect();
            bed.commit(subscribed(claimed.session, all)).await;
        }
        let mut after = ibc::SessionId(0);
        let mut seen = Vec::new();
        loop {
            let page = bed.store().sessions(after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            after = last.session;
            seen.extend(page);
        }
        let clients: Vec<String> = seen.iter().map(|session| session.client_id.clone()).collect();
        assert_eq!(clients, (0..counts.len()).map(|i| format!("c{i}")).collect::<Vec<_>>());
        let found: Vec<usize> = seen.iter().map(|session| session.subscriptions.len()).collect();
        assert_eq!(found, counts);
        assert!(seen[6].subscriptions.contains(&subscription("f/6/16", 1, None)));
    }

    async fn a_node_that_left_may_do_nothing_more(bed: Bed) {
        let claimed = bed.claim(claim("c", 60)).await;
        bed.store().leave(bed.node).await.unwrap();
        let store = bed.store();
        let fenced = |error| assert!(matches!(error, StoreError::Fenced), "{error:?}");
        fenced(store.claim(bed.node, number(), &[claim("d", 1)]).await.unwrap_err());
        let batch = messages(vec![message("m", &[claimed.session])]);
        fenced(store.commit(bed.node, &numbered(batch.clone())).await.unwrap_err());
        let mut batch = batch;
        batch.received.push(ReceivedId { session: claimed.session, packet_id: 1 });
        fenced(store.commit(bed.node, &numbered(batch.clone())).await.unwrap_err());
        let live = ibc::NodeState::Live;
        fenced(store.renew(bed.node, live, crate::bed::LEASE).await.unwrap_err());
        assert_eq!(bed.count("message").await + bed.count("received").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_claim_one_client_the_later_is_told_of_the_earlier() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    use ibc::Store as _;
    let node_a = a.join("a", "1", crate::bed::LEASE).await.unwrap().node;
    let node_b = b.join("b", "1", crate::bed::LEASE).await.unwrap().node;
    let mut previous = None;
    for _ in 0..50 {
        // In opposite order, many at once: no deadlock.
        let names: Vec<String> = (0..20).map(|i| format!("client {i}")).collect();
        let claims_a: Vec<_> = names.iter().map(|name| claim(name, 60)).collect();
        let claims_b: Vec<_> = names.iter().rev().map(|name| claim(name, 60)).collect();
        let (from_a, from_b) = tokio::join!(
            a.claim(node_a, number(), &claims_a),
            b.claim(node_b, number(), &claims_b)
        );
        let (from_a, mut from_b) = (from_a.unwrap(), from_b.unwrap());
        from_b.reverse();
        for (from_a, from_b) in from_a.iter().zip(&from_b) {
            assert_eq!(from_a.session, from_b.session);
            let (early, late, early_node) = if from_a.epoch < from_b.epoch {
                (from_a, from_b, node_a)
            } else {
                (from_b, from_a, node_b)
            };
            assert_eq!(
                late.previous,
                Some(Owner {
                    node: early_node,
                    epoch: early.epoch
                })
            );
            assert!(late.is_present);
        }
        let first = &from_a[0];
        assert!(previous < Some(first.epoch));
        previous = Some(first.epoch.max(from_b[0].epoch));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_detachments_and_expiry_at_once_lose_nothing() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    use ibc::Store as _;
    let node_a = a.join("a", "1", crate::bed::LEASE).await.unwrap().node;
    let node_b = b.join("b", "1", crate::bed::LEASE).await.unwrap().node;
    let work = async |store: &ibc::postgres::Postgres, node| {
        for round in 0..60 {
            let claims: Vec<_> = (0..10)
                .map(|i| claim(&format!("c{i}"), round % 2))
                .collect();
            let claimed = store.claim(node, number(), &claims).await.unwrap();
            assert_eq!(claimed.len(), 10);
            let mut batch = Batch::default();
            for (claim, claimed) in claims.iter().zip(&claimed) {
                let one = detached(claimed, &claim.client_id, 0, WillFate::Discard);
                batch.detached.extend(one.detached);
            }
            store.commit(node, &numbered(batch.clone())).await.unwrap();
            store.expire(100).await.unwrap();
        }
    };
    tokio::join!(work(&a, node_a), work(&b, node_b));
    assert_eq!(
        server::number(&url, "select count(*) from session").await,
        0
    );
}

#[tokio::test]
async fn a_node_owns_what_it_claimed_last() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let node_a = a.join("a", "1", crate::bed::LEASE).await.unwrap().node;
    let node_b = b.join("b", "1", crate::bed::LEASE).await.unwrap().node;
    let claims = ["x", "y", "z"].map(|name| claim(name, 60));
    a.claim(node_a, number(), &claims).await.unwrap();
    b.claim(node_b, number(), &[claim("y", 60)]).await.unwrap();
    let clients = ["z", "nobody", "y", "x"].map(str::to_owned);
    assert_eq!(a.owned(node_a, &clients).await.unwrap(), ["z", "x"]);
    assert_eq!(b.owned(node_b, &clients).await.unwrap(), ["y"]);
}

/// The answer of a claim can be lost with the connection, and the claim made all the same.
#[tokio::test]
async fn a_claim_repeated_under_its_number_is_made_once() {
    let url = server::new_database().await;
    let store = postgres(&url).await;
    let node = store
        .join("a", "1.0", crate::bed::LEASE)
        .await
        .unwrap()
        .node;
    let first = store
        .claim(node, number(), &[claim("old", 60)])
        .await
        .unwrap()
        .remove(0);
    let batch = subscribed(first.session, vec![subscription("a", 1, None)]);
    store.commit(node, &numbered(batch)).await.unwrap();
    let claims = [claim("new", 60), claim("old", 60), clean("clean", 0)];
    let number = number();
    let once = store.claim(node, number, &claims).await.unwrap();
    let again = store.claim(node, number, &claims).await.unwrap();
    assert!(!once[0].is_present && once[1].is_present);
    assert_eq!(once[1].previous.unwrap().epoch, first.epoch);
    assert_eq!(format!("{once:?}"), format!("{again:?}"));
    let late = store.claim(node, number - 1, &claims).await;
    assert!(late.is_err(), "its answer is not known any more: {late:?}");
}
