//! The sweep: nothing stays that nothing refers to.

use ibc::{Batch, ReceivedId, SessionId, WillFate};

use crate::bed::{Bed, claim, clean, detached, message, messages, subscribed, subscription};
use crate::on_both;

async fn sweep_all(bed: &Bed) -> u64 {
    let mut rows = 0;
    loop {
        let swept = bed.store().sweep().await.unwrap();
        rows += swept;
        if swept == 0 {
            return rows;
        }
    }
}

async fn fill(bed: &Bed, session: SessionId) {
    bed.commit(messages(
        (0..50)
            .map(|i| message(i.to_string(), &[session]))
            .collect(),
    ))
    .await;
    bed.commit(subscribed(session, vec![subscription("a", 1, None)]))
        .await;
    let received = vec![ReceivedId {
        session,
        packet_id: 5,
    }];
    bed.commit(Batch {
        received,
        ..Batch::default()
    })
    .await;
}

on_both! {
    async fn the_sweep_leaves_nothing_of_ended_sessions(bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        fill(&bed, first.session).await;
        let second = bed.claim(clean("c", 60)).await;
        fill(&bed, second.session).await;
        bed.commit(detached(&second, "c", 0, WillFate::Delay)).await;
        let third = bed.claim(claim("d", 60)).await;
        fill(&bed, third.session).await;
        bed.commit(detached(&third, "d", 60, WillFate::Delay)).await;
        bed.age("session", "expires_at", 61).await;
        bed.store().expire(10).await.unwrap();
        let alive = bed.claim(claim("alive", 60)).await;
        fill(&bed, alive.session).await;

        // What ended a moment ago may still be moved.
        sweep_all(&bed).await;
        assert_eq!(bed.count("queue").await, 200);
        bed.age("ended_session", "ended_at", 61).await;
        sweep_all(&bed).await;
        assert_eq!(bed.count("queue").await, 50);
        assert_eq!(bed.count("message").await, 50);
        assert_eq!(bed.count("received").await, 1);
        assert_eq!(bed.count("subscription").await, 1);
        assert_eq!(bed.count("ended_session").await, 0);

        // Somebody was late.
        fill(&bed, first.session).await;
        fill(&bed, third.session).await;
        sweep_all(&bed).await;
        assert_eq!(bed.count("queue").await, 50);
        assert_eq!(bed.count("message").await, 50);
        assert_eq!(bed.count("received").await, 1);
        assert_eq!(bed.count("subscription").await, 1);
        assert_eq!(bed.bodies(alive.session).await.len(), 50);
    }

    async fn the_sweep_forgets_what_was_removed_long_ago(mut bed: Bed) {
        let change = |name: &str, body: Option<&'static [u8]>, expiry_interval| ibc::RetainedChange {
            topic_name: name.into(),
            body: body.map(bytes::Bytes::from_static),
            expiry_interval,
        };
        let retained = vec![
            change("removed", None, None),
            change("expired", Some(b"x"), Some(1)),
            change("kept", Some(b"x"), None),
        ];
        bed.commit(Batch { retained, ..Batch::default() }).await;
        sweep_all(&bed).await;
        assert_eq!(bed.count("retained").await, 3);
        bed.age("retained", "updated_at", 4000).await;
        bed.age("retained", "expires_at", 4000).await;
        sweep_all(&bed).await;
        assert_eq!(bed.count("retained").await, 1);

        let previous = bed.restart().await.previous;
        assert!(bed.store().bury(bed.node, previous[0]).await.unwrap().is_some());
        sweep_all(&bed).await;
        assert_eq!(bed.count("node").await, 2);
        bed.age("node", "buried_at", 4000).await;
        sweep_all(&bed).await;
        assert_eq!(bed.count("node").await, 1);
    }
}
