//! Batches: every kind of change, and the identifiers they are given.

use std::time::Duration;

use bytes::Bytes;
use ibc::{
    Acknowledged, Batch, EntryId, Epoch, MessageId, Moved, NewEntry, NodeId, ReceivedId,
    RetainedChange, Sent, SessionId, Store as _, StoreError, WillKey,
};
use sqlx::{Connection as _, PgConnection};

use crate::bed::{
    Bed, LEASE, claim, entry, message, messages, number, numbered, page, postgres, subscribed,
    subscription,
};
use crate::{on_both, server};

fn retained(topic_name: &str, body: Option<&str>, expiry_interval: Option<u32>) -> RetainedChange {
    RetainedChange {
        topic_name: topic_name.into(),
        body: body.map(|body| Bytes::copy_from_slice(body.as_bytes())),
        expiry_interval,
    }
}

fn changes(retained: Vec<RetainedChange>) -> Batch {
    Batch {
        retained,
        ..Batch::default()
    }
}

async fn topics(bed: &Bed) -> Vec<String> {
    let page = bed.store().retained("", 100).await.unwrap();
    page.into_iter().map(|message| message.topic_name).collect()
}

on_both! {
    async fn an_empty_batch_needs_no_identifiers(bed: Bed) {
        assert_eq!(bed.commit(Batch::default()).await, 0);
        let received = vec![ReceivedId { session: SessionId(1), packet_id: 1 }];
        assert_eq!(bed.commit(Batch { received, ..Batch::default() }).await, 0);
    }

    async fn messages_are_queued_in_order_with_the_identifiers_promised(bed: Bed) {
        let (a, b) = (bed.claim(claim("a", 60)).await.session, bed.claim(claim("b", 60)).await.session);
        let first = bed.commit(messages(vec![message("0", &[a, b]), message("1", &[b])])).await;
        let second = bed.commit(messages(vec![message("2", &[a])])).await;
        assert!(second > first + 1);
        assert_eq!(bed.bodies(a).await, ["0", "2"]);
        assert_eq!(bed.bodies(b).await, ["0", "1"]);
        let queue = bed.store().queued(b, &[], page(10)).await.unwrap().entries;
        assert_eq!(queue[1].entry, EntryId(first + 1));
        assert_eq!(queue[1].message, MessageId(first + 1));
        assert_eq!(queue[1].source, bed.node);
        assert_eq!(&queue[1].options[..], [1, 2]);
        assert_eq!((queue[1].packet_id, queue[1].is_released), (None, false));
        assert_eq!(queue[1].share, None);
    }

    async fn a_large_batch_keeps_its_order(bed: Bed) {
        let session = bed.claim(claim("a", 60)).await.session;
        let many: Vec<_> = (0..1003).map(|i| message(i.to_string(), &[session])).collect();
        bed.commit(messages(many)).await;
        let queue = bed.store().queued(session, &[], page(2000)).await.unwrap().entries;
        assert_eq!(queue.len(), 1003);
        for (i, entry) in queue.iter().enumerate() {
            assert_eq!(entry.body, i.to_string().as_bytes());
        }
    }

    async fn what_was_seen_is_not_read_again(bed: Bed) {
        let session = bed.claim(claim("a", 60)).await.session;
        let base = bed.commit(messages((0..5).map(|i| message(i.to_string(), &[session])).collect())).await;
        let read = async |seen: &[(NodeId, EntryId)], limit| {
            let queue = bed.store().queued(session, seen, page(limit)).await.unwrap().entries;
            queue.iter().map(|entry| entry.entry.0 - base).collect::<Vec<_>>()
        };
        assert_eq!(read(&[], 3).await, [0, 1, 2]);
        assert_eq!(read(&[(bed.node, EntryId(base + 2))], 3).await, [3, 4]);
        assert_eq!(read(&[(NodeId(999), EntryId(base + 2))], 9).await, [0, 1, 2, 3, 4]);
        assert_eq!(read(&[(bed.node, EntryId(base + 1)), (NodeId(999), EntryId(0))], 2).await, [2, 3]);
    }

    /// However large the bodies are, a page has only so many bytes of them, and at least one entry.
    async fn a_page_ends_where_its_bytes_end(bed: Bed) {
        let session = bed.claim(claim("a", 60)).await.session;
        let base = bed.commit(messages((0..6).map(|_| message("x".repeat(100), &[session])).collect())).await;
        let sent = [0, 1, 4].map(|i| Sent { session, entry: EntryId(base + i), packet_id: 10 + i as u16 });
        bed.commit(Batch { sent: sent.to_vec(), ..Batch::default() }).await;
        let read = async |entries, bytes| {
            let limit = ibc::PageLimit { entries, bytes };
            let page = bed.store().queued(session, &[], limit).await.unwrap();
            (page.entries.len(), page.reserved, page.is_cut)
        };
        assert_eq!(read(10, 1).await, (1, vec![11, 14], true));
        assert_eq!(read(10, 250).await, (3, vec![14], true));
        assert_eq!(read(10, 600).await, (6, vec![], false));
        assert_eq!(read(6, 600).await, (6, vec![], true));
        assert_eq!(read(2, 600).await, (2, vec![], true));
    }

    async fn a_queue_is_cut_back_at_the_end_that_was_asked_for(bed: Bed) {
        let session = bed.claim(claim("a", 60)).await.session;
        let base = bed.commit(messages((0..9).map(|i| message(i.to_string().repeat(10), &[session])).collect())).await;
        let sent = vec![Sent { session, entry: EntryId(base), packet_id: 1 }];
        bed.commit(Batch { sent, ..Batch::default() }).await;
        let seen = vec![(bed.node, EntryId(base + 1))];
        let trim = async |owner, max_entries, max_bytes, surplus| {
            let trim = ibc::Trim { session, owner, seen: seen.clone(), max_entries, max_bytes, surplus };
            let trimmed = bed.store().trim(bed.node, &trim).await.unwrap();
            let left = bed.bodies(session).await.iter().map(|body| body.chars().take(1).collect::<String>()).collect::<String>();
            (trimmed.dropped, trimmed.left_entries, trimmed.left_bytes, left)
        };
        // Somebody else has the client.
        assert_eq!(trim(None, 1, 1, ibc::Surplus::Newest).await.3, "012345678");
        let here = Some(bed.node);
        assert_eq!(trim(here, 7, 70, ibc::Surplus::Newest).await, (0, 7, 70, "012345678".to_owned()));
        assert_eq!(trim(here, 6, 1000, ibc::Surplus::Newest).await, (1, 6, 60, "01234567".to_owned()));
        assert_eq!(trim(here, 9, 45, ibc::Surplus::Oldest).await, (2, 4, 40, "014567".to_owned()));
        assert_eq!(trim(here, 9, 5, ibc::Surplus::Newest).await, (3, 1, 10, "014".to_owned()));
        assert_eq!(trim(here, 0, 5, ibc::Surplus::Oldest).await, (1, 0, 0, "01".to_owned()));
    }

    async fn an_entry_goes_through_its_life(bed: Bed) {
        let (a, b) = (bed.claim(claim("a", 60)).await.session, bed.claim(claim("b", 60)).await.session);
        let base = bed.commit(messages(vec![message("m", &[a, b])])).await;
        let sent = vec![Sent { session: a, entry: EntryId(base), packet_id: 65_535 }];
        bed.commit(Batch { sent, ..Batch::default() }).await;
        let released = vec![(a, EntryId(base))];
        bed.commit(Batch { released, ..Batch::default() }).await;
        let queue = bed.store().queued(a, &[], page(10)).await.unwrap().entries;
        assert_eq!((queue[0].packet_id, queue[0].is_released), (Some(65_535), true));
        let done = |session| Acknowledged { session, entry: EntryId(base), message: MessageId(base) };
        bed.commit(Batch { acknowledged: vec![done(a)], ..Batch::default() }).await;
        assert_eq!((bed.count("queue").await, bed.count("message").await), (1, 1));
        bed.commit(Batch { acknowledged: vec![done(b)], ..Batch::default() }).await;
        assert_eq!((bed.count("queue").await, bed.count("message").await), (0, 0));
    }

    /// [MQTT-4.8.2-5]
    async fn entries_move_from_session_to_session_once(bed: Bed) {
        let (a, b) = (bed.claim(claim("a", 60)).await.session, bed.claim(claim("b", 60)).await.session);
        let shared = |session| NewEntry { share: Some("$share/g/t".into()), ..entry(session) };
        let base = bed.commit(messages(vec![
            ibc::NewMessage { body: Bytes::from_static(b"m"), entries: vec![shared(a)] },
        ])).await;
        let moved = Moved { from: a, entry: EntryId(base), message: MessageId(base), to: shared(b) };
        let batch = Batch {
            messages: vec![message("new", &[b])],
            moved: vec![moved.clone()],
            ..Batch::default()
        };
        let second = bed.commit(batch.clone()).await;
        assert_eq!(bed.bodies(a).await, [""; 0]);
        assert_eq!(bed.bodies(b).await, ["new", "m"]);
        let queue = bed.store().queued(b, &[], page(10)).await.unwrap().entries;
        assert_eq!(queue[1].entry, EntryId(second + 1));
        assert_eq!(queue[1].message, MessageId(base));
        assert_eq!(queue[1].share.as_deref(), Some("$share/g/t"));
        // It is not there any more, and must not be sent.
        bed.commit(Batch { moved: vec![moved], ..Batch::default() }).await;
        let sent = |session, entry| Sent { session, entry: EntryId(entry), packet_id: 7 };
        let sent = vec![sent(b, second), sent(a, base), sent(b, second + 1)];
        let batch = numbered(Batch { sent, ..Batch::default() });
        let committed = bed.store().commit(bed.node, &batch).await.unwrap();
        assert_eq!(committed.moved_on, [(a, EntryId(base))]);
        assert_eq!(bed.bodies(b).await.len(), 2);
    }

    async fn received_identifiers_are_remembered_until_released(bed: Bed) {
        let session = bed.claim(claim("a", 60)).await.session;
        let ids = |ids: &[u16]| ids.iter().map(|id| ReceivedId { session, packet_id: *id }).collect();
        bed.commit(Batch { received: ids(&[1, 2, 2, 3]), ..Batch::default() }).await;
        bed.commit(Batch { received: ids(&[3, 4]), ..Batch::default() }).await;
        bed.commit(Batch { forgotten: ids(&[2, 9]), ..Batch::default() }).await;
        assert_eq!(bed.claim(claim("a", 60)).await.kept.received, [1, 3, 4]);
    }

    async fn subscriptions_are_made_changed_and_removed(bed: Bed) {
        let session = bed.claim(claim("a", 60)).await.session;
        let long = format!("{}/#", "ü/x".repeat(13_000));
        bed.commit(subscribed(session, vec![
            subscription("a/#", 0, Some(1)),
            subscription(&long, 1, None),
            subscription("a/#", 2, Some(2)),
        ])).await;
        bed.commit(subscribed(session, vec![subscription(&long, 2, None)])).await;
        let mut stored = bed.claim(claim("a", 60)).await.kept.subscriptions;
        stored.sort_by_key(|subscription| subscription.filter.as_str().len());
        assert_eq!(stored, [subscription("a/#", 2, Some(2)), subscription(&long, 2, None)]);
        let unsubscribed = vec![(session, long), (session, "not/there".into())];
        bed.commit(Batch { unsubscribed, ..Batch::default() }).await;
        assert_eq!(bed.claim(claim("a", 60)).await.kept.subscriptions.len(), 1);
    }

    /// [MQTT-3.3.1-5] [MQTT-3.3.1-6]
    async fn retained_messages_are_set_replaced_and_removed(bed: Bed) {
        let first = bed.commit(changes(vec![
            retained("b", Some("1"), None), retained("a", Some("2"), None), retained("c", Some("3"), None),
        ])).await;
        let second = bed.commit(changes(vec![retained("c", None, None), retained("a", Some("4"), None)])).await;
        let page = bed.store().retained("", 10).await.unwrap();
        assert_eq!(page.len(), 2);
        assert_eq!((&*page[0].topic_name, page[0].version), ("a", second + 1));
        assert_eq!(page[0].body.as_deref(), Some(&b"4"[..]));
        assert_eq!((&*page[1].topic_name, page[1].version), ("b", first));
        assert_eq!(bed.store().retained("a", 10).await.unwrap().len(), 1);
        assert_eq!(bed.store().retained("", 1).await.unwrap().len(), 1);
        let changed = bed.store().retained_since(Duration::from_secs(60)).await.unwrap();
        let removed = changed.iter().find(|message| message.topic_name == "c").unwrap();
        assert_eq!((changed.len(), removed.body.as_ref()), (3, None));
        assert_eq!(removed.version, second);
        bed.age("retained", "updated_at", 61).await;
        assert!(bed.store().retained_since(Duration::from_secs(60)).await.unwrap().is_empty());
    }

    async fn retained_messages_come_in_the_order_of_their_topics(bed: Bed) {
        let start: String = (0..700).map(|i| char::from(b'a' + (i * 7 % 26) as u8)).collect();
        let mut names = ["a", "a/b", "Z", "ä", "/", "$x", "a b", "𝄞", "\u{ffff}"].map(String::from).to_vec();
        names.extend((0..5).map(|i| format!("{start}{i}")));
        names.push(format!("{start}{}", "long".repeat(15_000)));
        bed.commit(changes(names.iter().map(|name| retained(name, Some("x"), None)).collect())).await;
        names.sort();
        assert_eq!(topics(&bed).await, names);
        let mut paged: Vec<String> = Vec::new();
        loop {
            let after = paged.last().cloned().unwrap_or_default();
            let page = bed.store().retained(&after, 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page.into_iter().map(|message| message.topic_name));
        }
        assert_eq!(paged, names);
    }

    /// [MQTT-3.3.2-5]
    async fn an_expired_retained_message_is_not_read(bed: Bed) {
        bed.commit(changes(vec![retained("t", Some("1"), Some(60)), retained("u", Some("1"), Some(u32::MAX))])).await;
        assert_eq!(topics(&bed).await, ["t", "u"]);
        bed.age("retained", "expires_at", 61).await;
        assert_eq!(topics(&bed).await, ["u"]);
        bed.commit(changes(vec![retained("t", Some("2"), None)])).await;
        assert_eq!(topics(&bed).await, ["t", "u"]);
    }

    async fn a_batch_of_every_kind_is_committed_together(bed: Bed) {
        let a = bed.claim(claim("a", 60)).await;
        let base = bed.commit(messages(vec![message("0", &[a.session]), message("1", &[a.session]), message("2", &[a.session])])).await;
        let b = bed.claim(claim("b", 60)).await;
        let mut batch = subscribed(a.session, vec![subscription("x", 1, None)]);
        batch.messages = vec![message("3", &[a.session]), message("4", &[b.session])];
        batch.moved = vec![Moved { from: a.session, entry: EntryId(base), message: MessageId(base), to: entry(b.session) }];
        batch.retained = vec![retained("t", Some("r"), None)];
        batch.received = vec![ReceivedId { session: a.session, packet_id: 7 }];
        batch.forgotten = vec![ReceivedId { session: a.session, packet_id: 8 }];
        batch.sent = vec![Sent { session: a.session, entry: EntryId(base + 1), packet_id: 9 }];
        batch.released = vec![(a.session, EntryId(base + 1))];
        batch.acknowledged = vec![Acknowledged { session: a.session, entry: EntryId(base + 2), message: MessageId(base + 2) }];
        batch.unsubscribed = vec![(a.session, "y".into())];
        batch.wills = vec![ibc::WillKey { client_id: "z".into(), epoch: ibc::Epoch(1) }];
        batch.detached = crate::bed::detached(&b, "b", 60, ibc::WillFate::Delay).detached;
        let base = bed.commit(batch).await;
        assert_eq!(bed.bodies(a.session).await, ["1", "3"]);
        assert_eq!(bed.bodies(b.session).await, ["4", "0"]);
        assert_eq!(bed.store().retained("", 10).await.unwrap()[0].version, base + 3);
        assert_eq!(bed.store().queued(b.session, &[], page(9)).await.unwrap().entries[1].entry, EntryId(base + 2));
        assert_eq!(bed.count("message").await, 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_write_into_one_queue_and_each_is_read_in_its_order() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let node_a = a.join("a", "1", LEASE).await.unwrap().node;
    let node_b = b.join("b", "1", LEASE).await.unwrap().node;
    let session = a.claim(node_a, number(), &[claim("c", 60)]).await.unwrap()[0].session;
    let write = async |store: &ibc::postgres::Postgres, node| {
        for i in 0..50 {
            let many = (0..4)
                .map(|j| message(format!("{}", i * 4 + j), &[session]))
                .collect();
            store.commit(node, &numbered(messages(many))).await.unwrap();
        }
    };
    let read = async || {
        let mut seen: Vec<(NodeId, EntryId)> = Vec::new();
        let mut counts = std::collections::HashMap::new();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while counts.values().sum::<i32>() < 400 && tokio::time::Instant::now() < deadline {
            for entry in b.queued(session, &seen, page(33)).await.unwrap().entries {
                let count: &mut i32 = counts.entry(entry.source).or_default();
                assert_eq!(entry.body, count.to_string().as_bytes());
                *count += 1;
                seen.retain(|(node, _)| *node != entry.source);
                seen.push((entry.source, entry.entry));
            }
        }
        assert_eq!(counts.get(&node_a), Some(&200));
        assert_eq!(counts.get(&node_b), Some(&200));
    };
    tokio::join!(write(&a, node_a), write(&b, node_b), read());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_retained_changes_the_larger_version_wins() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let node_a = a.join("a", "1", LEASE).await.unwrap().node;
    let node_b = b.join("b", "1", LEASE).await.unwrap().node;
    for i in 0..100 {
        let topics = ["x", "y", "z"];
        let of = |text: &str| changes(topics.map(|t| retained(t, Some(text), None)).to_vec());
        let (batch_a, mut batch_b) = (
            numbered(of(&format!("a{i}"))),
            numbered(of(&format!("b{i}"))),
        );
        batch_b.retained.reverse();
        let (from_a, from_b) = tokio::join!(a.commit(node_a, &batch_a), b.commit(node_b, &batch_b));
        let (base_a, base_b) = (from_a.unwrap().base, from_b.unwrap().base);
        let winner = if base_a > base_b { "a" } else { "b" };
        for message in a.retained("", 9).await.unwrap() {
            assert_eq!(message.body.unwrap(), format!("{winner}{i}").as_bytes());
            assert!(message.version >= base_a.max(base_b));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_while_somebody_decides_whether_its_node_is_dead() {
    let url = server::new_database().await;
    let store = postgres(&url).await;
    let node = store.join("a", "1", LEASE).await.unwrap().node;
    let session = store
        .claim(node, number(), &[claim("c", 60)])
        .await
        .unwrap()[0]
        .session;
    // The key of the lock, as a transaction of the node has it.
    let mut undertaker = PgConnection::connect(&url).await.unwrap();
    let mut classes: Vec<(i32, i32)> = Vec::new();
    let watched = async {
        // What its lasting connections hold is no such lock; they are in no transaction.
        let locks = "select distinct l.classid::bigint::int, l.objid::bigint::int
                       from pg_locks l join pg_stat_activity a on a.pid = l.pid
                      where l.locktype = 'advisory' and l.mode = 'ShareLock'
                        and a.datname = current_database() and a.xact_start is not null";
        while classes.is_empty() {
            classes = sqlx::query_as(locks)
                .fetch_all(&mut undertaker)
                .await
                .unwrap();
        }
    };
    let many = || {
        messages(
            (0..2000)
                .map(|i| message(i.to_string(), &[session]))
                .collect(),
        )
    };
    let writing = async {
        for _ in 0..20 {
            store.commit(node, &numbered(many())).await.unwrap();
        }
    };
    tokio::join!(watched, writing);

    for is_dead in [false, true] {
        let mut tx = undertaker.begin().await.unwrap();
        let (class, object) = classes[0];
        let lock = "select pg_advisory_xact_lock($1, $2)";
        sqlx::query(lock)
            .bind(class)
            .bind(object)
            .execute(&mut *tx)
            .await
            .unwrap();
        let decide = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if is_dead {
                let sql = "update node set state = 'dead'";
                sqlx::query(sql).execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        };
        let started = std::time::Instant::now();
        let batch = numbered(many());
        let (result, ()) = tokio::join!(store.commit(node, &batch), decide);
        assert!(started.elapsed() >= Duration::from_millis(200));
        assert_eq!(
            matches!(result, Err(StoreError::Fenced)),
            is_dead,
            "{result:?}"
        );
    }
    assert_eq!(
        server::number(&url, "select count(*) from message").await,
        21 * 2000
    );
}

/// The answer of a commit can be lost with the connection, and the batch be durable all the same.
#[tokio::test]
async fn a_batch_committed_again_under_its_number_is_made_once() {
    let url = server::new_database().await;
    let store = postgres(&url).await;
    let node = store.join("a", "1.0", LEASE).await.unwrap().node;
    let session = store
        .claim(node, number(), &[claim("c", 60)])
        .await
        .unwrap()[0]
        .session;
    let batches = [
        messages(vec![message("m", &[session])]),
        Batch {
            retained: vec![retained("r", Some("r"), None)],
            wills: vec![WillKey {
                client_id: "c".into(),
                epoch: Epoch(1),
            }],
            ..messages(vec![message("n", &[session])])
        },
        Batch {
            retained: vec![retained("r", None, None)],
            ..Batch::default()
        },
    ];
    for batch in batches {
        let batch = numbered(batch);
        let once = store.commit(node, &batch).await.unwrap();
        assert_eq!(store.commit(node, &batch).await.unwrap(), once);
    }
    let queued = store.queued(session, &[], page(10)).await.unwrap().entries;
    assert_eq!(queued.len(), 2);
}

/// The transaction whose answer was lost may still be under way.
#[tokio::test]
async fn a_batch_committed_again_waits_for_the_first_try() {
    let url = server::new_database().await;
    let store = postgres(&url).await;
    let node = store.join("a", "1.0", LEASE).await.unwrap().node;
    let session = store
        .claim(node, number(), &[claim("c", 60)])
        .await
        .unwrap()[0]
        .session;
    let first = numbered(messages(vec![message("m", &[session])]));
    let committed = store.commit(node, &numbered(first.clone())).await.unwrap();
    for is_committed in [true, false] {
        let batch = numbered(messages(vec![message("n", &[session])]));
        let mut other = sqlx::PgConnection::connect(&url).await.unwrap();
        let mut tx = other.begin().await.unwrap();
        let sql = "update outcome set number = $1, base = 77 where node = $2 and kind = 0";
        let number = i64::try_from(batch.number).unwrap();
        sqlx::query(sql)
            .bind(number)
            .bind(node.0)
            .execute(&mut *tx)
            .await
            .unwrap();
        let end = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if is_committed {
                tx.commit().await.unwrap()
            } else {
                tx.rollback().await.unwrap()
            }
        };
        let (result, ()) = tokio::join!(store.commit(node, &batch), end);
        let base = result.unwrap().base;
        assert_eq!(base == 77, is_committed);
        assert!(base == 77 || base > committed.base);
        let queued = store.queued(session, &[], page(10)).await.unwrap().entries;
        assert_eq!(queued.len(), if is_committed { 1 } else { 2 });
    }
}
