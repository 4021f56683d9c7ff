//! Users and secrets.

use ibc::{MAX_USERNAME_BYTES, ScramKeys, User};

use crate::bed::Bed;
use crate::on_both;

fn user(username: &str, seed: u8) -> User {
    let scram = Some(ScramKeys {
        salt: vec![seed; 16],
        iterations: 4096 + u32::from(seed),
        stored_key: [seed; 32],
        server_key: [seed.wrapping_add(1); 32],
    });
    User {
        username: username.to_owned(),
        scram,
    }
}

on_both! {
    async fn a_user_is_read_as_written(bed: Bed) {
        let users = bed.users();
        assert_eq!(users.user("anna").await.unwrap(), None);
        assert!(users.add_user(&user("anna", 1)).await.unwrap());
        assert_eq!(users.user("anna").await.unwrap(), Some(user("anna", 1)));
        for other in ["Anna", "anna ", "ann", ""] {
            assert_eq!(users.user(other).await.unwrap(), None, "{other:?}");
        }
    }

    async fn a_name_is_given_once(bed: Bed) {
        let users = bed.users();
        assert!(users.add_user(&user("anna", 1)).await.unwrap());
        assert!(!users.add_user(&user("anna", 2)).await.unwrap());
        assert_eq!(users.user("anna").await.unwrap(), Some(user("anna", 1)));
        users.put_user(&user("anna", 3)).await.unwrap();
        users.put_user(&user("bert", 4)).await.unwrap();
        assert_eq!(users.user("anna").await.unwrap(), Some(user("anna", 3)));
        assert_eq!(users.user("bert").await.unwrap(), Some(user("bert", 4)));
    }

    async fn a_removed_user_is_gone(bed: Bed) {
        let users = bed.users();
        users.put_user(&user("anna", 1)).await.unwrap();
        assert!(users.remove_user("anna").await.unwrap());
        assert!(!users.remove_user("anna").await.unwrap());
        assert_eq!(users.user("anna").await.unwrap(), None);
    }

    async fn users_are_listed_in_pages_by_their_bytes(bed: Bed) {
        let users = bed.users();
        for name in ["b", "\u{e9}", "a", "A", "a b", "\u{1f600}", "B"] {
            users.put_user(&user(name, 1)).await.unwrap();
        }
        let (mut after, mut names) = (String::new(), Vec::new());
        loop {
            let page = users.users(&after, 3).await.unwrap();
            assert!(page.len() <= 3);
            let Some(last) = page.last() else { break };
            after.clone_from(&last.username);
            names.extend(page.into_iter().map(|user| user.username));
        }
        assert_eq!(names, ["A", "B", "a", "a b", "b", "\u{e9}", "\u{1f600}"]);
    }

    async fn what_does_not_fit_is_refused(bed: Bed) {
        let users = bed.users();
        let longest = "\u{e9}".repeat(MAX_USERNAME_BYTES / 2) + "x";
        users.put_user(&user(&longest, 1)).await.unwrap();
        for name in [String::new(), longest + "x"] {
            let error = users.put_user(&user(&name, 1)).await.unwrap_err();
            assert!(!error.is_transient(), "{error}");
        }
    }

    /// A later release may know users by other means.
    async fn a_user_without_keys_is_read(bed: Bed) {
        let users = bed.users();
        let stranger = User { username: "stranger".to_owned(), scram: None };
        users.put_user(&stranger).await.unwrap();
        assert_eq!(users.user("stranger").await.unwrap(), Some(stranger));
    }

    async fn the_first_secret_counts(bed: Bed) {
        let users = bed.users();
        assert_eq!(users.secret("s", b"first").await.unwrap(), b"first");
        assert_eq!(users.secret("s", b"second").await.unwrap(), b"first");
        assert_eq!(users.secret("t", b"second").await.unwrap(), b"second");
    }
}

/// Several nodes that start at once have one secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_agree_on_a_secret() {
    use ibc::Users as _;
    let url = crate::server::new_database().await;
    let (a, b) = tokio::join!(crate::bed::postgres(&url), crate::bed::postgres(&url));
    let (first, second) = tokio::join!(a.secret("s", b"a"), b.secret("s", b"b"));
    assert_eq!(first.unwrap(), second.unwrap());
}

/// `causeway user` beside a node on one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_opened_beside_its_node() {
    use ibc::Users as _;
    use ibc::sqlite::{Sqlite, Synchronous};
    let folder = std::env::temp_dir().join(crate::server::unique("causeway_ibc_beside"));
    let path = folder.join("test.db");
    let node = Sqlite::open(&path, Synchronous::Normal).await.unwrap();
    let beside = Sqlite::open_beside(&path, Synchronous::Normal)
        .await
        .unwrap();
    beside.put_user(&user("anna", 1)).await.unwrap();
    assert_eq!(node.user("anna").await.unwrap(), Some(user("anna", 1)));
    // The node keeps its file to itself otherwise.
    assert!(Sqlite::open(&path, Synchronous::Normal).await.is_err());
    // A node of another release is left alone.
    sqlx::raw_sql("delete from _sqlx_migrations where version > 1")
        .execute(&mut connection(&path).await)
        .await
        .unwrap();
    let Err(error) = Sqlite::open_beside(&path, Synchronous::Normal).await else {
        panic!("opened")
    };
    assert!(
        matches!(error, ibc::OpenError::SchemaOlder { found: 1, .. }),
        "{error}"
    );
    drop((node, beside));
    let _ = std::fs::remove_dir_all(folder);
}

async fn connection(path: &std::path::Path) -> sqlx::SqliteConnection {
    use sqlx::Connection as _;
    sqlx::SqliteConnection::connect(path.to_str().unwrap())
        .await
        .unwrap()
}
