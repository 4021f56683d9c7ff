//! Frames from node to node.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ibc::postgres::Postgres;
use ibc::{Cursor, Forward as _, Frame, NodeId, Store as _, StoreError};

use crate::bed::{LEASE, postgres};
use crate::server;

fn frame(destination: NodeId, sequence: i64) -> Frame {
    let body = Bytes::from(format!("{destination}/{sequence}"));
    Frame {
        destination,
        sequence,
        body,
    }
}

async fn node(url: &str, name: &str) -> (Postgres, NodeId) {
    let store = postgres(url).await;
    let node = store.join(name, "1", LEASE).await.unwrap().node;
    (store, node)
}

/// Nodes `a`, `b` and `c` of a new database.
async fn three() -> (String, [(Postgres, NodeId); 3]) {
    let url = server::new_database().await;
    let nodes = [
        node(&url, "a").await,
        node(&url, "b").await,
        node(&url, "c").await,
    ];
    (url, nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_come_in_order_and_once() {
    let (url, [(a, node_a), (b, node_b), (c, node_c)]) = three().await;
    a.append(
        node_a,
        &[frame(node_c, 1), frame(node_b, 1), frame(node_c, 2)],
    )
    .await
    .unwrap();
    b.append(node_b, &[frame(node_c, 1)]).await.unwrap();
    // Sent again: nothing changes.
    let other = Frame {
        body: Bytes::from_static(b"other"),
        ..frame(node_c, 2)
    };
    a.append(node_a, &[other, frame(node_c, 3)]).await.unwrap();
    a.append(node_a, &[]).await.unwrap();

    let all = c.read(node_c, &[], 100).await.unwrap().frames;
    let order: Vec<_> = all
        .iter()
        .map(|frame| (frame.source, frame.sequence))
        .collect();
    assert_eq!(order, [(node_a, 1), (node_a, 2), (node_b, 1), (node_a, 3)]);
    assert_eq!(all[1].body, format!("{node_c}/2").as_bytes());
    let cursors = [Cursor {
        source: node_a,
        sequence: 2,
    }];
    let known = c.read(node_c, &cursors, 100).await.unwrap().frames;
    assert_eq!(known[0].sequence, 3);
    // Who is new is found after a ring, and else soon.
    c.wait(node_c, LEASE).await.unwrap();
    assert_eq!(c.read(node_c, &cursors, 100).await.unwrap().frames.len(), 2);
    while c.read(node_c, &cursors, 100).await.unwrap().frames.len() < 2 {}
    c.consumed(
        node_c,
        &[Cursor {
            source: node_a,
            sequence: 2,
        }],
    )
    .await
    .unwrap();
    assert_eq!(server::number(&url, "select count(*) from frame").await, 3);
    c.wait(node_c, LEASE).await.unwrap();
    assert_eq!(c.read(node_c, &[], 100).await.unwrap().frames.len(), 2);
    assert_eq!(b.read(node_b, &[], 100).await.unwrap().frames.len(), 1);
}

/// A client that publishes here and then there is heard in this order, however the nodes are
/// numbered and however little is read at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_several_nodes_come_in_the_order_of_their_commits() {
    let (_, [(a, node_a), (b, node_b), (c, node_c)]) = three().await;
    let senders = [(&a, node_a), (&b, node_b)];
    // Who writes how many frames in one commit.
    let commits = [(1, 2), (0, 1), (1, 1), (1, 3), (0, 4), (1, 1), (0, 1)];
    let (mut written, mut last) = (Vec::new(), [0, 0]);
    for (who, count) in commits {
        let frames: Vec<_> = (1..=count).map(|n| frame(node_c, last[who] + n)).collect();
        last[who] += count;
        let (sender, node) = senders[who];
        sender.append(node, &frames).await.unwrap();
        written.extend(frames.iter().map(|frame| (node, frame.sequence)));
    }
    for limit in [100, 14, 8, 6, 4, 2, 1] {
        let mut cursors = [node_a, node_b].map(|source| Cursor {
            source,
            sequence: 0,
        });
        let (mut read, mut is_cut) = (Vec::new(), true);
        while is_cut {
            let page = c.read(node_c, &cursors, limit).await.unwrap();
            is_cut = page.is_cut;
            assert!(!is_cut || !page.frames.is_empty(), "goes on");
            for frame in page.frames {
                let cursor = cursors.iter_mut().find(|c| c.source == frame.source);
                cursor.unwrap().sequence = frame.sequence;
                read.push((frame.source, frame.sequence));
            }
        }
        assert_eq!(read, written, "{limit}");
    }
}

/// The table of a busy cluster stays small, without the help of autovacuum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_of_consumed_frames_is_used_again() {
    let url = server::new_database().await;
    let ((a, node_a), (b, node_b)) = (node(&url, "a").await, node(&url, "b").await);
    let mut largest = 0;
    for round in 0..20 {
        let frames: Vec<_> = (1..=1000)
            .map(|number| Frame {
                body: Bytes::from(vec![0; Frame::MOST_BYTES]),
                ..frame(node_b, round * 1000 + number)
            })
            .collect();
        for frames in frames.chunks(50) {
            a.append(node_a, frames).await.unwrap();
        }
        let sequence = (round + 1) * 1000;
        let source = node_a;
        b.consumed(node_b, &[Cursor { source, sequence }])
            .await
            .unwrap();
        b.vacuum().await.unwrap();
        let bytes = server::number(&url, "select pg_total_relation_size('frame')").await;
        largest = bytes.max(largest);
    }
    // 20,000 frames of a page each were written; 2,000 at most were there between two vacuums.
    assert!(largest < 5000 * 8192, "{largest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_sends_nothing_and_frames_to_it_are_swept() {
    let url = server::new_database().await;
    let ((a, node_a), (b, node_b)) = (node(&url, "a").await, node(&url, "b").await);
    b.append(node_b, &[frame(node_a, 1), frame(node_b, 1)])
        .await
        .unwrap();
    a.leave(node_a).await.unwrap();
    let error = a.append(node_a, &[frame(node_b, 1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced));
    assert_eq!(b.sweep().await.unwrap(), 1);
    assert_eq!(server::number(&url, "select count(*) from frame").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doorbell_rings_soon() {
    let url = server::new_database().await;
    let ((a, node_a), (b, node_b)) = (node(&url, "a").await, node(&url, "b").await);
    let long = Duration::from_secs(20);
    // The first call listens and returns, because somebody may have rung before.
    b.wait(node_b, long).await.unwrap();
    let started = Instant::now();
    for sequence in 1..=50 {
        let ring = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            a.append(node_a, &[frame(node_b, sequence)]).await.unwrap();
        };
        let (waited, ()) = tokio::join!(b.wait(node_b, long), ring);
        waited.unwrap();
        let cursors = [Cursor {
            source: node_a,
            sequence: sequence - 1,
        }];
        assert_eq!(b.read(node_b, &cursors, 10).await.unwrap().frames.len(), 1);
    }
    assert!(started.elapsed() < long, "a ring was lost");
    // Somebody rang before the call, several times: one return.
    a.append(node_a, &[frame(node_b, 51)]).await.unwrap();
    a.append(node_a, &[frame(node_b, 52), frame(node_a, 1)])
        .await
        .unwrap();
    b.wait(node_b, long).await.unwrap();
    // Nobody rings.
    while {
        let started = Instant::now();
        b.wait(node_b, Duration::from_millis(200)).await.unwrap();
        started.elapsed() < Duration::from_millis(200)
    } {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_may_be_cancelled() {
    let url = server::new_database().await;
    let ((a, node_a), (b, node_b)) = (node(&url, "a").await, node(&url, "b").await);
    b.wait(node_b, LEASE).await.unwrap();
    for sequence in 1..=20 {
        for _ in 0..5 {
            let short = Duration::from_millis(1);
            assert!(
                tokio::time::timeout(short, b.wait(node_b, LEASE))
                    .await
                    .is_err()
            );
        }
        a.append(node_a, &[frame(node_b, sequence)]).await.unwrap();
        let started = Instant::now();
        b.wait(node_b, LEASE).await.unwrap();
        assert!(started.elapsed() < LEASE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doorbell_survives_the_loss_of_its_connection() {
    let url = server::new_database().await;
    let ((a, node_a), (b, node_b)) = (node(&url, "a").await, node(&url, "b").await);
    b.wait(node_b, LEASE).await.unwrap();
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    server::execute(&url, cut).await.unwrap();
    // Returns at once, with or without an error, and listens again.
    let started = Instant::now();
    while b.wait(node_b, LEASE).await.is_err() {}
    let mut sequence = 0;
    loop {
        sequence += 1;
        let appended = a.append(node_a, &[frame(node_b, sequence)]).await;
        let _ = b.wait(node_b, LEASE).await;
        let read = b.read(node_b, &[], 100).await;
        if appended.is_ok() && read.is_ok_and(|page| !page.frames.is_empty()) {
            break;
        }
        assert!(sequence < 20);
    }
    assert!(started.elapsed() < LEASE * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_in_one_database_do_not_meet() {
    let url = server::new_database().await;
    server::execute(&url, "create schema one; create schema two")
        .await
        .unwrap();
    let in_schema = |name: &str| format!("{url}?options=-csearch_path%3D{name}");
    let (one, node_one) = node(&in_schema("one"), "a").await;
    let (two, node_two) = node(&in_schema("two"), "a").await;
    assert_eq!(node_one, node_two);
    two.wait(node_two, LEASE).await.unwrap();
    one.append(node_one, &[frame(node_one, 1)]).await.unwrap();
    let started = Instant::now();
    two.wait(node_two, Duration::from_millis(300))
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(two.read(node_two, &[], 9).await.unwrap().frames.is_empty());
    assert_eq!(one.read(node_one, &[], 9).await.unwrap().frames.len(), 1);
    one.wait(node_one, LEASE).await.unwrap();
    // Two of each: for its presence and for its ear.
    let locks = "select count(distinct (classid, objid)) from pg_locks where locktype = 'advisory'
                    and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(server::number(&url, locks).await, 4);
}
