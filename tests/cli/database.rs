//! Databases that cannot be used.

use std::net::TcpListener;

use harness::{Cluster, Command, Database, Scratch, TestNode};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::fails;

fn serve(url: &str, name: &str) -> Command {
    let url = format!("cluster.database_url={url}");
    let name = format!("node.name={name}");
    Command::new(&[
        "serve",
        "--set",
        "listener.tcp=127.0.0.1:0",
        "--set",
        "http.listen=127.0.0.1:0",
        "--set",
        &url,
        "--set",
        &name,
    ])
}

async fn url_fails(url: &str, words: &[&str]) {
    let finished = fails(serve(url, "x"), 1, words).await;
    assert!(
        finished.stderr.contains("cluster.database_url"),
        "{finished:?}"
    );
    let all = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!all.contains("s3cret"), "the password is shown: {all}");
}

#[tokio::test]
async fn an_unreachable_database_is_named_without_its_password() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    url_fails(
        &format!("postgres://user:s3cret@{free}/db"),
        &[&free.to_string()],
    )
    .await;
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named() {
    url_fails(
        "postgres://user:s3cret@no-such-host.invalid/db",
        &["no-such-host.invalid"],
    )
    .await;
}

/// Somebody listens there who is not a database, and says nothing.
#[tokio::test]
async fn a_silent_server_is_not_waited_for_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    url_fails(
        &format!("postgres://user:s3cret@{address}/db"),
        &[&address.to_string()],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_user_or_database_is_named() {
    let database = Database::create().await;
    let url = database.url();
    let (server, name) = url.rsplit_once('/').unwrap();
    url_fails(&format!("{server}/no_such_database"), &["no_such_database"]).await;
    let host = server.rsplit_once('@').unwrap().1;
    url_fails(
        &format!("postgres://no_such_user:s3cret@{host}/{name}"),
        &["no_such_user"],
    )
    .await;
}

#[tokio::test]
async fn a_second_node_of_the_same_name_is_refused() {
    let cluster = Cluster::start(2).await;
    let finished = fails(
        serve(&cluster.database.url(), "a"),
        2,
        &["node.name", "\"a\""],
    )
    .await;
    assert!(!finished.stderr.contains("panicked"));
    cluster.client(0, "still").await.ping().await;
}

/// A name is free again after a stop, and soon after a kill.
#[tokio::test]
async fn a_name_is_free_again_when_its_node_is_gone() {
    let mut cluster = Cluster::start(2).await;
    cluster.nodes[0].stop().await;
    cluster.nodes[0].restart().await;
    cluster.nodes[0].kill();
    cluster.nodes[0].restart().await;
    cluster.client(0, "again").await.ping().await;
    cluster.assert_healthy();
}

const NEWER: &str = "insert into _sqlx_migrations \
    (version, description, success, checksum, execution_time) \
    values (99990101000000, 'from the future', true, '', 0)";

#[tokio::test]
async fn a_newer_schema_in_postgres_is_refused() {
    let mut cluster = Cluster::start(1).await;
    cluster.nodes[0].stop().await;
    cluster.database.execute(NEWER).await;
    let words = ["cluster.database_url", "newer"];
    fails(serve(&cluster.database.url(), "x"), 1, &words).await;
}

#[tokio::test]
async fn a_newer_schema_in_sqlite_is_refused() {
    let scratch = Scratch::new("store");
    let path = scratch.path().join("causeway.db");
    let setting = format!("store.path={}", path.display());
    let mut node = TestNode::start_with(&[&setting]).await;
    node.stop().await;
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(NEWER).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let arguments = [
        "serve",
        "--set",
        &setting,
        "--set",
        "listener.tcp=127.0.0.1:0",
        "--set",
        "http.listen=off",
    ];
    fails(Command::new(&arguments), 1, &["store.path", "newer"]).await;
}

/// Three nodes that start at once make the schema once.
#[tokio::test]
async fn nodes_that_start_at_once_share_the_work_of_making_the_schema() {
    for _ in 0..3 {
        let mut cluster = Cluster::start(4).await;
        for index in 0..4 {
            cluster.client(index, "hello").await.ping().await;
        }
        cluster.assert_healthy();
    }
}

#[tokio::test]
async fn the_log_does_not_show_the_password_of_the_database() {
    let database = Database::create().await;
    let url = database.url().replacen("postgres@", "postgres:s3cret@", 1);
    let mut node = TestNode::launch(harness::Options {
        name: "secretive".to_owned(),
        database_url: url,
        settings: vec!["log.level=debug".to_owned()],
        ..harness::Options::default()
    })
    .await;
    node.stop().await;
    assert!(!node.output().contains("s3cret"));
}
