//! Sessions that end with their connection.

use ibc::{EntryId, NewEntry, NewMessage, Owner, SessionId, WillFate};

use crate::bed::{Bed, claim, clean, detached, entry, message, messages, with_will};
use crate::on_both;

on_both! {
    async fn a_clean_session_is_taken_over_by_a_clean_one(bed: Bed) {
        let first = bed.claim(claim("c", 0)).await;
        let second = bed.claim(claim("c", 0)).await;
        assert!(!second.is_present);
        assert_eq!(second.previous, Some(Owner { node: bed.node, epoch: first.epoch }));
        assert_eq!(second.discarded, Some(first.session));
        assert!(second.epoch > first.epoch && second.session != first.session);
        // The first one ends when the second is there already.
        bed.commit(detached(&first, "c", 0, WillFate::Discard)).await;
        let owned = bed.store().owned(bed.node, &["c".into(), "d".into()]).await.unwrap();
        assert_eq!(owned, ["c"]);
        bed.commit(detached(&second, "c", 0, WillFate::Discard)).await;
        assert!(bed.store().owned(bed.node, &["c".into()]).await.unwrap().is_empty());
        let third = bed.claim(claim("c", 0)).await;
        assert_eq!((third.previous, third.discarded), (None, None));
        assert!(third.epoch > second.epoch);
    }

    async fn clean_and_persistent_sessions_take_over_from_each_other(bed: Bed) {
        let mut last = bed.claim(claim("c", 0)).await;
        for (expiry, has_will) in [(60, false), (0, false), (0, true), (0, false), (60, true), (60, false)] {
            let next = match has_will {
                true => bed.claim(with_will(clean("c", expiry), "will", 0)).await,
                false => bed.claim(clean("c", expiry)).await,
            };
            assert_eq!(next.previous, Some(Owner { node: bed.node, epoch: last.epoch }));
            assert_eq!(next.discarded, Some(last.session));
            assert!(next.epoch > last.epoch);
            bed.commit(detached(&last, "c", 0, WillFate::Discard)).await;
            last = next;
        }
        bed.commit(detached(&last, "c", 60, WillFate::Discard)).await;
        let resumed = bed.claim(claim("c", 0)).await;
        assert!(resumed.is_present, "a clean connection goes on with a stored session, and ends it");
        bed.commit(detached(&resumed, "c", 0, WillFate::Discard)).await;
        assert!(!bed.claim(claim("c", 60)).await.is_present);
    }

    async fn a_message_for_a_clean_session_is_there_until_it_ends(bed: Bed) {
        let member = bed.claim(claim("c", 0)).await;
        let shared = NewEntry { share: Some("$share/g/t".into()), ..entry(member.session) };
        let body = "m".into();
        bed.commit(messages(vec![NewMessage { body, entries: vec![shared] }])).await;
        assert_eq!(bed.bodies(member.session).await, ["m"]);
        bed.store().sweep().await.unwrap();
        assert_eq!(bed.bodies(member.session).await, ["m"]);
        let from = (SessionId(0), EntryId(0));
        assert!(bed.store().stranded(from, 9).await.unwrap().is_empty());
        bed.commit(detached(&member, "c", 0, WillFate::Discard)).await;
        assert_eq!(bed.store().stranded(from, 9).await.unwrap().len(), 1);
        assert!(!bed.claim(claim("c", 60)).await.is_present);
    }

    async fn an_end_and_a_message_in_one_batch_leave_the_message_to_others(bed: Bed) {
        let member = bed.claim(claim("c", 0)).await;
        let shared = NewEntry { share: Some("$share/g/t".into()), ..entry(member.session) };
        let mut batch = detached(&member, "c", 0, WillFate::Discard);
        batch.messages.push(NewMessage { body: "m".into(), entries: vec![shared] });
        bed.commit(batch).await;
        let from = (SessionId(0), EntryId(0));
        assert_eq!(bed.store().stranded(from, 9).await.unwrap().len(), 1);
        assert_eq!(bed.count("session").await, 0);
    }

    async fn numbers_grow_over_a_restart(mut bed: Bed) {
        let first = bed.claim(claim("c", 60)).await;
        let clean = bed.claim(claim("d", 0)).await;
        let joined = bed.restart().await;
        let stays = bed.claim(claim("e", 60)).await;
        bed.commit(messages(vec![message("m", &[stays.session])])).await;
        let second = bed.claim(claim("d", 0)).await;
        assert!(stays.epoch > first.epoch && stays.epoch > clean.epoch && second.epoch > stays.epoch);
        assert!(stays.session > first.session && stays.session > clean.session);
        assert_ne!(second.session, clean.session);
        bed.store().bury(bed.node, joined.previous[0]).await.unwrap().unwrap();
        assert_eq!(bed.bodies(stays.session).await, ["m"]);
    }
}

/// On a node alone they cost the disk nothing.
#[tokio::test]
async fn a_clean_session_is_in_memory_only() {
    let bed = Bed::sqlite().await;
    let first = bed.claim(claim("c", 0)).await;
    assert_eq!(bed.count("session").await, 0);
    bed.claim(with_will(claim("w", 0), "will", 0)).await;
    assert_eq!(bed.count("session").await, 1);
    bed.commit(messages(vec![message("m", &[first.session])]))
        .await;
    assert_eq!(bed.count("session").await, 2);
    bed.commit(detached(&first, "c", 0, WillFate::Discard))
        .await;
    assert_eq!(bed.count("session").await, 1);
    bed.claim(claim("c", 0)).await;
    assert_eq!(bed.count("session").await, 1, "it is in memory again");
}
