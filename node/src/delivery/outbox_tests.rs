#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use ibc::MessageId;
use mqtt::{Message, MessageProperties, Str, TopicName};

use super::*;
use crate::delivery::{Publication, Stored};

fn delivery(qos: Qos, stored: Option<(i64, i64)>) -> Delivery {
    let message = Message {
        topic_name: TopicName::new("t").unwrap(),
        payload: Bytes::new(),
        qos,
        retain: false,
        properties: MessageProperties::default(),
    };
    Delivery {
        publication: Arc::new(Publication::new(Str::default(), message)),
        qos,
        retain: false,
        identifiers: [].into(),
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
    outbox.push(delivery(Qos::AtLeastOnce, Some((source, entry))))
}

fn page(outbox: &Outbox, entries: &[(i64, i64)], is_cut: bool) {
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
    outbox.finish_page(QueuePage { entries, is_cut }, |entry| {
        Some(delivery(
            Qos::AtLeastOnce,
            Some((entry.source.0, entry.entry.0)),
        ))
    });
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
    let outbox = Outbox::new(100, true);
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
    let outbox = Outbox::new(100, true);
    outbox.start_page().unwrap();
    assert_eq!(push(&outbox, 1, 7), Pushed::LeftBehind);
    page(&outbox, &[(1, 6)], false);
    assert_eq!(push(&outbox, 1, 8), Pushed::LeftBehind);
    assert_eq!(outbox.start_page(), Some(vec![(NodeId(1), EntryId(6))]));
    page(&outbox, &[(1, 7), (1, 8)], false);
    assert_eq!(taken(&outbox), [(1, 6), (1, 7), (1, 8)]);
    assert_eq!(push(&outbox, 1, 9), Pushed::Kept);
}

#[test]
fn a_full_mailbox_leaves_stored_entries_behind_and_drops_others() {
    let outbox = Outbox::new(2, false);
    assert_eq!(push(&outbox, 1, 1), Pushed::Kept);
    assert_eq!(outbox.push(delivery(Qos::AtMostOnce, None)), Pushed::Kept);
    assert_eq!(
        outbox.push(delivery(Qos::AtLeastOnce, None)),
        Pushed::Dropped
    );
    assert_eq!(push(&outbox, 1, 2), Pushed::LeftBehind);
    assert_eq!(taken(&outbox), [(1, 1)]);
    assert_eq!(push(&outbox, 1, 3), Pushed::LeftBehind); // order: not before 2
    assert_eq!(outbox.start_page(), Some(vec![(NodeId(1), EntryId(1))]));
    page(&outbox, &[(1, 2), (1, 3)], false);
    assert_eq!(taken(&outbox), [(1, 2), (1, 3)]);
}

#[test]
fn a_cut_page_is_followed_by_another_when_there_is_room() {
    let outbox = Outbox::new(4, true);
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
    let outbox = Outbox::new(100, false);
    for qos in [Qos::AtLeastOnce, Qos::AtMostOnce, Qos::ExactlyOnce] {
        outbox.push(delivery(qos, None));
    }
    let mut all = Vec::new();
    outbox.take(1, 10, &mut all);
    let order: Vec<Qos> = all.iter().map(|delivery| delivery.qos).collect();
    assert_eq!(order, [Qos::AtMostOnce, Qos::AtLeastOnce]);
}

#[test]
fn a_closed_mailbox_takes_nothing_and_gives_back_the_rest() {
    let outbox = Outbox::new(100, false);
    push(&outbox, 1, 1);
    assert_eq!(outbox.close().len(), 1);
    assert_eq!(push(&outbox, 1, 2), Pushed::Closed);
    assert!(outbox.is_closing());
}

#[tokio::test]
async fn a_push_wakes_once_until_the_connection_has_looked() {
    let outbox = Outbox::new(100, false);
    for entry in 1..4 {
        push(&outbox, 1, entry);
    }
    outbox.changed().await;
    let again = tokio::time::timeout(std::time::Duration::from_millis(1), outbox.changed());
    assert!(again.await.is_err());
    assert!(outbox.take_control().is_none());
    push(&outbox, 1, 4);
    outbox.changed().await;
}
