#![allow(clippy::unwrap_used)]

use std::sync::{Arc, atomic::AtomicI64};

use bytes::Bytes;
use ibc::MessageId;
use mqtt::{Message, MessageProperties, Qos, Str, TopicName};

use super::*;
use crate::{
    config::DropPolicy,
    delivery::{Publication, Stored},
};

fn outbox(messages: usize, is_stored: bool) -> Outbox {
    with_policy(messages, is_stored, DropPolicy::Newest)
}

fn with_policy(messages: usize, is_stored: bool, policy: DropPolicy) -> Outbox {
    let limits = QueueLimits {
        messages,
        bytes: 1000,
        policy,
    };
    Outbox::new(limits, is_stored)
}

/// Without looking at what goes.
fn put(outbox: &Outbox, delivery: Delivery) -> Pushed {
    outbox.push(delivery, &mut Vec::new())
}

fn delivery(qos: Qos, stored: Option<(i64, i64)>) -> Delivery {
    carrying(b"", qos, stored)
}

fn carrying(payload: &[u8], qos: Qos, stored: Option<(i64, i64)>) -> Delivery {
    let message = Message {
        topic_name: TopicName::new("t").unwrap(),
        payload: Bytes::copy_from_slice(payload),
        qos,
        retain: false,
        properties: MessageProperties::default(),
    };
    Delivery {
        publication: Arc::new(Publication::new(Str::default(), message)),
        qos,
        retain: false,
        identifiers: None,
        stored: stored.map(|(source, entry)| Stored {
            source: NodeId(source),
            entry: EntryId(entry),
            message: MessageId(entry),
            packet_id: None,
            is_released: false,
        }),
        share: None,
    }
}

fn push(outbox: &Outbox, source: i64, entry: i64) -> Pushed {
    put(outbox, delivery(Qos::AtLeastOnce, Some((source, entry))))
}

/// Takes a page in, and returns what goes for it.
fn page(outbox: &Outbox, entries: &[(i64, i64)], is_cut: bool) -> Vec<i64> {
    let entries = entries
        .iter()
        .map(|(source, entry)| QueuedEntry {
            entry: EntryId(*entry),
            source: NodeId(*source),
            message: MessageId(*entry),
            body: Bytes::new(),
            options: Bytes::new(),
            share: None,
            packet_id: None,
            is_released: false,
        })
        .collect();
    let page = QueuePage {
        entries,
        reserved: Vec::new(),
        is_cut,
    };
    let gone = outbox.finish_page(page, |entry| {
        Some(delivery(
            Qos::AtLeastOnce,
            Some((entry.source.0, entry.entry.0)),
        ))
    });
    gone.iter()
        .filter_map(|delivery| delivery.stored)
        .map(|stored| stored.entry.0)
        .collect()
}

fn taken(outbox: &Outbox) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    outbox.take(usize::MAX, usize::MAX, &mut all);
    all.iter()
        .filter_map(|delivery| delivery.stored)
        .map(|stored| (stored.source.0, stored.entry.0))
        .collect()
}

/// A resumed session: what is stored comes first, and what came live meanwhile is neither lost
/// nor doubled.
#[test]
fn a_stored_session_reads_its_queue_before_live_entries() {
    let outbox = outbox(100, true);
    assert_eq!(push(&outbox, 1, 5), Pushed::LeftBehind);
    assert_eq!(outbox.start_page(), Some(vec![]));
    page(&outbox, &[(1, 3), (2, 4), (1, 5)], false);
    assert_eq!(push(&outbox, 1, 5), Pushed::Kept); // late news of what the page had
    assert_eq!(push(&outbox, 1, 6), Pushed::Kept);
    assert_eq!(push(&outbox, 2, 4), Pushed::Kept);
    assert_eq!(taken(&outbox), [(1, 3), (2, 4), (1, 5), (1, 6)]);
    assert_eq!(outbox.start_page(), None);
}

/// An entry that was committed after the page was read, and came by before it was taken in.
#[test]
fn an_entry_that_passes_while_a_page_is_read_is_asked_for_again() {
    let outbox = outbox(100, true);
    outbox.start_page().unwrap();
    assert_eq!(push(&outbox, 1, 7), Pushed::LeftBehind);
    page(&outbox, &[(1, 6)], false);
    assert_eq!(push(&outbox, 1, 8), Pushed::LeftBehind);
    assert_eq!(outbox.start_page(), Some(vec![(NodeId(1), EntryId(6))]));
    page(&outbox, &[(1, 7), (1, 8)], false);
    assert_eq!(taken(&outbox), [(1, 6), (1, 7), (1, 8)]);
    assert_eq!(push(&outbox, 1, 9), Pushed::Kept);
}

/// What memory does not hold waits in the database, in order.
#[test]
fn a_full_buffer_leaves_stored_entries_behind() {
    let limits = QueueLimits {
        messages: usize::MAX,
        bytes: usize::MAX,
        policy: DropPolicy::Newest,
    };
    let outbox = Outbox::new(limits, false);
    let most = i64::try_from(BUFFER.messages).unwrap();
    for entry in 1..=most {
        assert_eq!(push(&outbox, 1, entry), Pushed::Kept);
    }
    assert_eq!(push(&outbox, 1, most + 1), Pushed::LeftBehind);
    assert_eq!(taken(&outbox).len(), BUFFER.messages);
    assert_eq!(push(&outbox, 1, most + 2), Pushed::LeftBehind); // not before the one above
    let seen = vec![(NodeId(1), EntryId(most))];
    assert_eq!(outbox.standing().seen, seen);
    assert_eq!(outbox.start_page(), Some(seen));
    page(&outbox, &[(1, most + 1), (1, most + 2)], false);
    assert_eq!(taken(&outbox), [(1, most + 1), (1, most + 2)]);
}

/// What is dropped, by its payload, when `messages` come one after the other into a mailbox for
/// three, and what is left.
fn overflow(policy: DropPolicy, messages: &[(&'static str, Qos)]) -> (Vec<String>, Vec<String>) {
    let outbox = with_policy(3, false, policy);
    let mut gone = Vec::new();
    let text = |delivery: &Delivery| {
        String::from_utf8_lossy(&delivery.publication.message().payload).into_owned()
    };
    for (payload, qos) in messages {
        let mut displaced = Vec::new();
        let pushed = outbox.push(carrying(payload.as_bytes(), *qos, None), &mut displaced);
        gone.extend(displaced.iter().map(text));
        if pushed == Pushed::Dropped {
            gone.push((*payload).to_owned());
        }
    }
    let mut left = Vec::new();
    outbox.take(usize::MAX, usize::MAX, &mut left);
    (gone, left.iter().map(text).collect())
}

#[test]
fn the_policy_decides_what_goes() {
    let (zero, one) = (Qos::AtMostOnce, Qos::AtLeastOnce);
    let messages = [
        ("a", one),
        ("b", zero),
        ("c", one),
        ("d", zero),
        ("e", one),
        ("f", one),
    ];
    let cases = [
        (DropPolicy::Newest, ["d", "e", "f"], ["b", "a", "c"]),
        (DropPolicy::Oldest, ["a", "b", "c"], ["d", "e", "f"]),
        (DropPolicy::Qos0First, ["b", "d", "f"], ["a", "c", "e"]),
    ];
    for (policy, gone, left) in cases {
        let expected = (
            gone.map(str::to_owned).to_vec(),
            left.map(str::to_owned).to_vec(),
        );
        assert_eq!(overflow(policy, &messages), expected, "{policy:?}");
    }
}

/// The limit of these mailboxes is 1,000 bytes, topics included.
#[test]
fn bytes_are_limited_too_but_a_message_alone_has_room() {
    let outbox = with_policy(100, false, DropPolicy::Oldest);
    let push = |size: usize| {
        let payload = vec![b'x'; size];
        let mut displaced = Vec::new();
        let pushed = outbox.push(carrying(&payload, Qos::AtLeastOnce, None), &mut displaced);
        (pushed, displaced.len())
    };
    assert_eq!(push(5000), (Pushed::Kept, 0));
    assert_eq!(push(499), (Pushed::Kept, 1));
    assert_eq!(push(499), (Pushed::Kept, 0));
    assert_eq!(push(1), (Pushed::Kept, 1));
    assert_eq!(outbox.count().0.bytes, 502);
    assert_eq!(outbox.discard(0, 501).len(), 2);
    assert_eq!(outbox.count().0, Amount::default());
}

/// A page may hold more than may wait: it was read before somebody cut the queue back.
#[test]
fn a_page_keeps_to_the_limit() {
    for (policy, gone, left) in [
        (DropPolicy::Newest, [4, 5], [(1, 1), (1, 2), (1, 3)]),
        (DropPolicy::Qos0First, [4, 5], [(1, 1), (1, 2), (1, 3)]),
        (DropPolicy::Oldest, [1, 2], [(1, 3), (1, 4), (1, 5)]),
    ] {
        let outbox = with_policy(3, true, policy);
        outbox.start_page().unwrap();
        let entries: Vec<_> = (1..=5).map(|entry| (1, entry)).collect();
        assert_eq!(page(&outbox, &entries, false), gone, "{policy:?}");
        assert_eq!(taken(&outbox), left, "{policy:?}");
        assert_eq!(push(&outbox, 1, 4), Pushed::Kept, "seen");
        assert!(taken(&outbox).is_empty());
    }
}

#[test]
fn large_messages_are_taken_a_few_at_a_time() {
    let limits = QueueLimits {
        messages: 100,
        bytes: 10_000_000,
        policy: DropPolicy::Newest,
    };
    let outbox = Outbox::new(limits, false);
    let payload = vec![b'x'; 200_000];
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::AtLeastOnce] {
        put(&outbox, carrying(&payload, qos, None));
    }
    for count in [2, 1, 0] {
        let mut taken = Vec::new();
        outbox.take(usize::MAX, usize::MAX, &mut taken);
        assert_eq!(taken.len(), count);
    }
}

#[test]
fn a_cut_page_is_followed_by_another_when_there_is_room() {
    let outbox = outbox(4, true);
    outbox.start_page().unwrap();
    page(&outbox, &[(1, 1), (1, 2), (1, 3)], true);
    assert_eq!(outbox.start_page(), None, "more than half full");
    assert_eq!(taken(&outbox).len(), 3);
    assert_eq!(outbox.start_page(), Some(vec![(NodeId(1), EntryId(3))]));
    page(&outbox, &[], false);
    assert_eq!(outbox.start_page(), None);
}

/// [MQTT-3.3.4-9] Only QoS 1 and 2 wait for the window.
#[test]
fn the_window_holds_back_only_what_is_acknowledged() {
    let outbox = outbox(100, false);
    for qos in [Qos::AtLeastOnce, Qos::AtMostOnce, Qos::ExactlyOnce] {
        put(&outbox, delivery(qos, None));
    }
    let mut all = Vec::new();
    outbox.take(1, 10, &mut all);
    let order: Vec<Qos> = all.iter().map(|delivery| delivery.qos).collect();
    assert_eq!(order, [Qos::AtMostOnce, Qos::AtLeastOnce]);
}

#[test]
fn a_closed_mailbox_takes_nothing_and_gives_back_the_rest() {
    let outbox = outbox(100, false);
    push(&outbox, 1, 1);
    assert_eq!(outbox.close().len(), 1);
    assert_eq!(push(&outbox, 1, 2), Pushed::Closed);
    assert!(outbox.is_closing());
}

#[test]
fn a_push_wakes_once_until_the_connection_has_looked() {
    let outbox = outbox(100, false);
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let is_ready = || {
        let mut context = std::task::Context::from_waker(&waker);
        std::pin::pin!(outbox.changed())
            .poll(&mut context)
            .is_ready()
    };
    for round in 1..4 {
        assert!(!outbox.has_news());
        assert!(!is_ready());
        push(&outbox, 1, 2 * round);
        push(&outbox, 1, 2 * round + 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), round);
        assert!(is_ready(), "there is something new");
        assert!(is_ready(), "nobody has looked");
        assert!(outbox.look().is_empty());
    }
}

#[derive(Default)]
struct Woken(AtomicI64);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
