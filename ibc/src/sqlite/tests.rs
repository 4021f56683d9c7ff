//! What a disk that is full leaves behind. The limit is one of SQLite, for this connection only, so that it
//! is gone with it: `tests/power` has a real disk.

use std::time::Duration;

use bytes::Bytes;
use sqlx::Executor;

use super::*;
use crate::{DiskTrouble, NewEntry, NewMessage, SessionId};

/// `count` messages of 4 KiB for one session.
fn batch(count: usize) -> Batch {
    let entry = NewEntry {
        session: SessionId(1),
        options: Bytes::from_static(&[0]),
        share: None,
    };
    let message = NewMessage {
        body: Bytes::from(vec![7; 4096]),
        entries: vec![entry],
    };
    Batch {
        messages: vec![message; count],
        ..Batch::default()
    }
}

async fn queued(store: &Sqlite) -> usize {
    let all = PageLimit {
        entries: 1_000_000,
        bytes: usize::MAX,
    };
    let page = store.queued(SessionId(1), &[], all).await.unwrap();
    page.entries.len()
}

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_full_disk_names_the_file_and_is_over_when_there_is_room() {
    let name = format!("causeway-sqlite-full-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    let path = folder.0.join("made/for/it/node.db");
    let store = Sqlite::open(&path, Synchronous::Full).await.unwrap();
    let joined = store.join("a", "1", Duration::from_secs(5)).await.unwrap();
    store.commit(joined.node, &batch(10)).await.unwrap();
    for round in 0..3 {
        let mut writer = store.writer.lock().await;
        let connection = writer.link.connection().await.unwrap();
        // Less than it has is as much as it has: it cannot grow.
        connection
            .execute("pragma max_page_count = 1")
            .await
            .unwrap();
        drop(writer);
        let error = store.commit(joined.node, &batch(300)).await.unwrap_err();
        assert!(error.is_transient());
        let text = error.to_string();
        assert!(
            text.starts_with("store.path: no room") && text.contains("node.db"),
            "{text}"
        );
        assert!(matches!(
            error,
            StoreError::Disk {
                trouble: DiskTrouble::Full,
                ..
            }
        ));
        assert_eq!(
            queued(&store).await,
            10 + 300 * round,
            "nothing of it has happened"
        );
        store.commit(joined.node, &batch(300)).await.unwrap();
        assert_eq!(queued(&store).await, 10 + 300 * (round + 1));
    }
}

/// A statement that fails in the middle leaves a connection that works, and nothing of its transaction.
#[tokio::test]
async fn a_call_that_fails_leaves_the_next_ones_alone() {
    let name = format!("causeway-sqlite-fails-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    let path = folder.0.join("node.db");
    let store = Sqlite::open(&path, Synchronous::Normal).await.unwrap();
    let joined = store.join("a", "1", Duration::from_secs(5)).await.unwrap();
    let mut twice = batch(1);
    let entries = &mut twice.messages[0].entries;
    entries.push(entries[0].clone());
    let error = store.commit(joined.node, &twice).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(queued(&store).await, 0);
    let fenced = store.commit(NodeId(99), &batch(1)).await.unwrap_err();
    assert!(matches!(fenced, StoreError::Fenced));
    store.commit(joined.node, &batch(1)).await.unwrap();
    assert_eq!(queued(&store).await, 1);
}
