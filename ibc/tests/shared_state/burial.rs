//! Burial: the clients of a dead node are let go, once.

use bytes::Bytes;
use ibc::{
    Batch, EntryId, NewEntry, NewMessage, NodeState, Sent, Store as _, StoreError, WillFate,
};

use crate::bed::{
    Bed, LEASE, NEVER, claim, detached, entry, message, messages, number, postgres, subscribed,
    subscription, with_will,
};
use crate::{on_both, server};

fn pair(client_id: &str, body: &str) -> (String, String) {
    (client_id.to_owned(), body.to_owned())
}

on_both! {
    async fn a_burial_lets_the_sessions_of_the_dead_go(mut bed: Bed) {
        let none = bed.claim(claim("none", 0)).await;
        bed.commit(subscribed(none.session, vec![subscription("a", 1, None)])).await;
        let some = bed.claim(claim("some", 60)).await;
        bed.commit(messages(vec![message("m", &[some.session])])).await;
        bed.claim(claim("ever", NEVER)).await;
        let joined = bed.restart().await;
        assert_eq!(joined.previous.len(), 1);
        assert!(joined.node > joined.previous[0]);
        assert_eq!(bed.store().sessions(ibc::SessionId(0), 9).await.unwrap()[0].owner, Some(joined.previous[0]));

        let buried = bed.store().bury(bed.node, joined.previous[0]).await.unwrap().unwrap();
        assert_eq!(buried.node, joined.previous[0]);
        assert!(buried.shared.is_empty());
        assert!(bed.store().bury(bed.node, joined.previous[0]).await.unwrap().is_none());
        let sessions = bed.store().sessions(ibc::SessionId(0), 9).await.unwrap();
        assert_eq!(sessions.len(), 2);
        assert!(sessions.iter().all(|session| session.owner.is_none()));
        assert_eq!(bed.count("session").await, 2);
        assert_eq!(bed.count("subscription").await, 0);
        assert_eq!(bed.bodies(some.session).await, ["m"]);
        bed.age("session", "expires_at", 61).await;
        assert_eq!(bed.store().expire(10).await.unwrap().len(), 1);
    }

    async fn a_client_claimed_before_the_burial_stays_claimed(mut bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        let joined = bed.restart().await;
        let second = bed.claim(claim("c", 60)).await;
        assert!(second.is_present);
        assert_eq!(second.previous, None);
        assert!(second.epoch > first.epoch);
        bed.store().bury(bed.node, joined.previous[0]).await.unwrap().unwrap();
        let third = bed.claim(claim("c", 60)).await;
        assert_eq!(third.previous.map(|owner| owner.node), Some(bed.node));
    }

    async fn wills_of_the_dead_become_due_after_their_delay(mut bed: Bed) {
        bed.claim(with_will(claim("now", 60), "now", 0)).await;
        bed.claim(with_will(claim("later", 60), "later", 30)).await;
        bed.claim(with_will(claim("ended", 0), "ended", 30)).await;
        bed.claim(with_will(claim("short", 10), "short", 30)).await;
        bed.claim(with_will(claim("back", 60), "back", 30)).await;
        bed.claim(with_will(claim("back now", 60), "back now", 0)).await;
        bed.claim(with_will(claim("back clean", 60), "back clean", 30)).await;
        let joined = bed.restart().await;
        bed.claim(claim("back", 60)).await;
        bed.claim(claim("back now", 60)).await;
        bed.claim(crate::bed::clean("back clean", 60)).await;
        assert_eq!(bed.due().await, []);
        bed.store().bury(bed.node, joined.previous[0]).await.unwrap().unwrap();
        assert_eq!(bed.due().await, [
            pair("back clean", "back clean"), pair("back now", "back now"),
            pair("ended", "ended"), pair("now", "now"),
        ]);
        bed.age("will", "due_at", 11).await;
        assert_eq!(bed.due().await, [pair("short", "short")]);
        bed.age("will", "due_at", 20).await;
        assert_eq!(bed.due().await, [pair("later", "later")]);
    }

    async fn messages_for_a_member_that_has_ended_are_found(bed: Bed) {
        let member = bed.claim(claim("member", 0)).await;
        let stays = bed.claim(claim("stays", 60)).await;
        bed.commit(detached(&member, "member", 0, WillFate::Discard)).await;
        // Committed by a node that has not heard of it.
        let shared = |session| NewEntry { share: Some("$share/g/t".into()), ..entry(session) };
        let of = |session, share: bool| NewMessage {
            body: Bytes::from_static(b"m"),
            entries: vec![if share { shared(session) } else { entry(session) }],
        };
        let batch = messages(vec![
            of(member.session, true), of(member.session, false), of(stays.session, true), of(member.session, true),
        ]);
        let base = bed.commit(batch).await;
        let first = (ibc::SessionId(0), EntryId(0));
        let found = bed.store().stranded(first, 10).await.unwrap();
        let entries: Vec<_> = found.iter().map(|one| (one.session, one.entry.0)).collect();
        assert_eq!(entries, [(member.session, base), (member.session, base + 3)]);
        let page = bed.store().stranded((member.session, EntryId(base)), 10).await.unwrap();
        assert_eq!(page.len(), 1);
        let moved = vec![ibc::Moved {
            from: member.session,
            entry: found[0].entry,
            message: found[0].message,
            to: shared(stays.session),
        }];
        bed.commit(Batch { moved, ..Batch::default() }).await;
        assert_eq!(bed.store().stranded(first, 10).await.unwrap().len(), 1);
    }

    /// [MQTT-4.8.2-5]
    async fn unsent_messages_of_shared_subscriptions_are_given_back(mut bed: Bed) {
        let a = bed.claim(claim("a", 60)).await.session;
        let b = bed.claim(claim("b", 0)).await.session;
        let shared = |session| NewEntry { share: Some("$share/g/t".into()), ..entry(session) };
        let of = |text: &'static str, session| NewMessage {
            body: Bytes::from_static(text.as_bytes()),
            entries: vec![shared(session)],
        };
        let base = bed.commit(messages(vec![
            of("unsent", a), of("sent", a), message("own", &[a]), of("ends", b),
        ])).await;
        let sent = vec![Sent { session: a, entry: EntryId(base + 1), packet_id: 1 }];
        bed.commit(Batch { sent, ..Batch::default() }).await;
        let joined = bed.restart().await;
        let buried = bed.store().bury(bed.node, joined.previous[0]).await.unwrap().unwrap();
        let mut shared = buried.shared;
        shared.sort_by_key(|entry| entry.entry);
        assert_eq!(shared.len(), 2);
        assert_eq!((shared[0].session, shared[0].entry), (a, EntryId(base)));
        assert_eq!(shared[0].message.0, base);
        assert_eq!((&shared[0].body[..], &*shared[0].share), (&b"unsent"[..], "$share/g/t"));
        assert_eq!(&shared[0].options[..], [1, 2]);
        assert_eq!((shared[1].session, &shared[1].body[..]), (b, &b"ends"[..]));
        // They stay until they are moved, that of the ended session too.
        bed.store().sweep().await.unwrap();
        assert_eq!(bed.count("queue").await, 4);
    }
}

/// Pretends that all nodes have renewed without pause for a while.
async fn steady(url: &str) {
    let sql = "update node set steady_since = steady_since - interval '1 hour'";
    server::execute(url, sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_node_is_not_buried() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let node_a = a.join("a", "1", LEASE).await.unwrap().node;
    let node_b = b.join("b", "1", LEASE).await.unwrap().node;
    steady(&url).await;
    assert!(b.bury(node_b, node_a).await.unwrap().is_none());
    assert!(b.bury(node_b, ibc::NodeId(12_345)).await.unwrap().is_none());
    assert_eq!(
        a.renew(node_a, NodeState::Live, LEASE).await.unwrap().len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_one_buries_whose_lease_has_run_out() {
    let url = server::new_database().await;
    let dead = postgres(&url).await;
    let node = dead.join("dead", "1", LEASE).await.unwrap().node;
    dead.claim(node, number(), &[claim("c", 60), claim("d", 0)])
        .await
        .unwrap();
    let mut alive = Vec::new();
    for name in ["a", "b", "c"] {
        let store = postgres(&url).await;
        let node = store.join(name, "1", LEASE).await.unwrap().node;
        alive.push((store, node));
    }
    let expire =
        format!("update node set lease_until = now() - interval '1 s' where incarnation = {node}");
    server::execute(&url, &expire).await.unwrap();
    // Whoever came a moment ago cannot judge: perhaps nobody could reach the database.
    assert!(alive[0].0.bury(alive[0].1, node).await.unwrap().is_none());
    steady(&url).await;
    let members = alive[0]
        .0
        .renew(alive[0].1, NodeState::Live, LEASE)
        .await
        .unwrap();
    assert!(
        members
            .iter()
            .any(|member| member.node == node && member.is_expired)
    );
    let (a, b, c) = tokio::join!(
        alive[0].0.bury(alive[0].1, node),
        alive[1].0.bury(alive[1].1, node),
        alive[2].0.bury(alive[2].1, node),
    );
    let buried: Vec<_> = [a, b, c].into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(buried.len(), 1);
    assert_eq!(
        server::number(&url, "select count(*) from session where owner is null").await,
        1
    );
    let error = dead
        .claim(node, number(), &[claim("e", 0)])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Fenced));
    let error = dead.renew(node, NodeState::Live, LEASE).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced));
    let error = dead.bury(node, alive[0].1).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced));
}
