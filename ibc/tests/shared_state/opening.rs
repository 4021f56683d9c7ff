//! Opening a database: what is created, what is refused, and what the error tells.

use std::error::Error;
use std::time::{Duration, Instant};

use ibc::OpenError;
use ibc::postgres::{Postgres, PostgresOptions};
use ibc::sqlite::{Sqlite, Synchronous};
use sqlx::{Connection as _, SqliteConnection};

use crate::server;

/// The whole chain of an error.
fn text(error: &dyn Error) -> String {
    let source = error.source().map(|source| format!(": {}", text(source)));
    format!("{error}{}", source.unwrap_or_default())
}

async fn refused(url: &str) -> OpenError {
    match Postgres::open(url, PostgresOptions::default()).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_that_start_at_once_make_one_schema() {
    for _ in 0..3 {
        let url = server::new_database().await;
        let open = || Postgres::open(&url, PostgresOptions::default());
        let (a, b, c) = tokio::join!(open(), open(), open());
        a.map(drop).unwrap();
        b.map(drop).unwrap();
        c.map(drop).unwrap();
        let gaps = "select max(version) - count(*) from _sqlx_migrations where success";
        assert_eq!(server::number(&url, gaps).await, 0);
        assert!(open().await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused() {
    let url = server::new_database().await;
    Postgres::open(&url, PostgresOptions::default())
        .await
        .map(drop)
        .unwrap();
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (99, 'later', true, '', 0)";
    let newest = "select max(version) from _sqlx_migrations";
    let newest = server::number(&url, newest).await;
    server::execute(&url, newer).await.unwrap();
    let error = refused(&url).await;
    let OpenError::SchemaNewer {
        key, found, known, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*key, *found, *known), ("cluster.database_url", 99, newest));
    // The lock of the migrator is free.
    let locks = "select count(*) from pg_locks where locktype = 'advisory'
                    and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(server::number(&url, locks).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_wrong_is_told_without_the_password() {
    let port = tokio::task::spawn_blocking(server::port).await.unwrap();
    let url = server::new_database().await;
    server::execute(&url, "create role guarded login password 'right'")
        .await
        .unwrap();
    let name = url.rsplit('/').next().unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let cases = [
        format!("postgres://guarded:secret@127.0.0.1:{closed}/{name}"),
        format!("postgres://guarded:secret@127.0.0.1:{port}/{name}"),
        format!("postgres://postgres:secret@127.0.0.1:{port}/missing_database"),
    ];
    for (url, what) in cases
        .iter()
        .zip(["refused", "password authentication", "missing_database"])
    {
        let error = refused(url).await;
        assert!(matches!(error, OpenError::Connect { .. }));
        let text = text(&error);
        assert!(text.starts_with("cluster.database_url: cannot open the database at 127.0.0.1:"));
        assert!(text.contains(what) && !text.contains("secret"), "{text}");
    }
    let error = refused("mysql://guarded:secret@127.0.0.1/x y").await;
    assert!(!text(&error).contains("secret"), "{}", text(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let error = refused(&format!("postgres://u:p@127.0.0.1:{port}/d")).await;
    assert!(matches!(error, OpenError::Connect { .. }));
    assert!(started.elapsed() < Duration::from_secs(12));
}

fn path() -> std::path::PathBuf {
    std::env::temp_dir()
        .join(server::unique("causeway_ibc_open"))
        .join("sub/causeway.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_created_with_its_folder_and_belongs_to_one() {
    let path = path();
    let first = Sqlite::open(&path, Synchronous::Full).await.unwrap();
    let Err(error) = Sqlite::open(&path, Synchronous::Full).await else {
        panic!("opened twice")
    };
    let text = text(&error);
    assert!(
        text.starts_with("store.path: ") && text.contains("another process"),
        "{text}"
    );
    drop(first);
    // The thread of a dropped connection takes a moment to end.
    Sqlite::open(&path, Synchronous::Full)
        .await
        .map(drop)
        .unwrap();
    std::fs::remove_dir_all(path.parent().unwrap().parent().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_newer_schema_is_refused() {
    let path = path();
    Sqlite::open(&path, Synchronous::Full)
        .await
        .map(drop)
        .unwrap();
    let mut c = SqliteConnection::connect(path.to_str().unwrap())
        .await
        .unwrap();
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (99, 'later', true, '', 0)";
    sqlx::raw_sql(newer).execute(&mut c).await.unwrap();
    c.close().await.unwrap();
    let Err(error) = Sqlite::open(&path, Synchronous::Full).await else {
        panic!("opened")
    };
    assert!(
        matches!(
            error,
            OpenError::SchemaNewer {
                key: "store.path",
                found: 99,
                ..
            }
        ),
        "{error}"
    );
    std::fs::remove_dir_all(path.parent().unwrap().parent().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_no_file() {
    let path = std::env::temp_dir();
    let Err(error) = Sqlite::open(&path, Synchronous::Full).await else {
        panic!("opened")
    };
    assert!(text(&error).starts_with("store.path: "), "{error}");
}
