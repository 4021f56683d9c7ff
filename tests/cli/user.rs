//! causeway user.

use harness::{Cluster, Command, Database, Scratch, TestNode};
use mqtt::Qos;

use crate::fails;

fn user(folder: &Scratch, arguments: &[&str]) -> Command {
    Command::new(&[&["user"], arguments].concat()).folder(folder.path())
}

async fn names(folder: &Scratch) -> String {
    let finished = user(folder, &["list"]).run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[tokio::test]
async fn users_are_added_listed_and_removed() {
    let folder = Scratch::new("user");
    assert_eq!(names(&folder).await, "");
    let quiet = |finished: harness::Finished| {
        assert_eq!(
            (finished.code, finished.stdout + &finished.stderr),
            (Some(0), String::new())
        );
    };
    let add = |name| user(&folder, &["add", name, "--password-stdin"]).stdin("pa55word\n");
    quiet(add("zoe").run().await);
    quiet(add("Anna").run().await);
    let by_environment = user(&folder, &["add", "\u{e9}va"]).env("CAUSEWAY_PASSWORD", "pa55word");
    quiet(by_environment.run().await);
    assert_eq!(names(&folder).await, "Anna\nzoe\n\u{e9}va\n");
    fails(add("zoe"), 1, &["\"zoe\"", "--replace"]).await;
    let replace = user(&folder, &["add", "zoe", "--password-stdin", "--replace"]);
    quiet(replace.stdin("other").run().await);
    quiet(user(&folder, &["remove", "Anna"]).run().await);
    fails(
        user(&folder, &["remove", "Anna"]),
        1,
        &["no user", "\"Anna\""],
    )
    .await;
    assert_eq!(names(&folder).await, "zoe\n\u{e9}va\n");
}

#[tokio::test]
async fn what_cannot_be_a_user_is_told() {
    let folder = Scratch::new("user");
    let long = "x".repeat(256);
    for name in ["", "a\tb", "\u{e000}", long.as_str()] {
        let command = user(&folder, &["add", name, "--password-stdin"]).stdin("pa55word\n");
        fails(command, 2, &["user name", "255 bytes"]).await;
    }
    let long = "x".repeat(1025);
    for password in ["", "\n", "a\tb\n", long.as_str()] {
        let command = user(&folder, &["add", "anna", "--password-stdin"]).stdin(password);
        let finished = fails(command, 2, &["password", "1024 bytes"]).await;
        assert!(password.trim().is_empty() || !finished.stderr.contains(password.trim()));
    }
    // Nothing to ask, and nothing given.
    let words = ["--password-stdin", "CAUSEWAY_PASSWORD"];
    fails(user(&folder, &["add", "anna"]), 2, &words).await;
    // A password is no argument: everybody would see it.
    let finished = user(&folder, &["add", "anna", "pa55word"]).run().await;
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert_eq!(names(&folder).await, "");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_its_password() {
    let folder = Scratch::new("user");
    let url = "cluster.database_url=postgres://u:s3cret@127.0.0.1:1/d";
    let command = user(&folder, &["list", "--set", url]);
    let finished = fails(command, 1, &["cluster.database_url", "127.0.0.1:1"]).await;
    assert!(!finished.stderr.contains("s3cret"));
    let command = user(&folder, &["list", "--set", "store.path=/proc/none/x.db"]);
    fails(command, 1, &["store.path", "/proc/none/x.db"]).await;
    fails(
        user(&folder, &["list", "--set", "auth.mode=x"]),
        2,
        &["auth.mode"],
    )
    .await;
}

/// The password is nowhere: not in the database, not in the log.
#[tokio::test]
async fn no_password_is_stored_or_logged() {
    let settings = ["auth.mode=default", "log.level=trace"];
    let mut node = TestNode::start_with(&settings).await;
    node.add_user("anna", "pa55word-of-mine").await;
    let builder = node.builder("x").credentials("anna", "pa55word-of-mine");
    builder.connect().await.disconnect().await;
    let wrong = node.builder("x").credentials("anna", "no-pa55word");
    wrong.try_connect().await.unwrap_err();
    let scram = harness::Scram::new("anna", "pa55word-of-mine");
    let mut client = node.builder("x").scram(scram.clone()).connect().await;
    client
        .authenticate(mqtt::ReasonCode::ReAuthenticate, Some(scram.first()))
        .await;
    client.packet().await;
    node.stop().await;
    let output = node.output();
    assert!(!output.contains("pa55word"), "in the log");
    assert!(!output.contains("of-the-client"), "a nonce in the log");
    for file in node.files() {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(8).any(|window| window == b"pa55word");
        assert!(!found, "in {}", file.display());
    }
}

/// The file with the keys is for its owner.
#[tokio::test]
async fn nobody_else_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = TestNode::start_with(&["auth.mode=default"]).await;
    node.add_user("anna", "secret").await;
    let databases = node.files().into_iter().filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("causeway.db") && !name.contains(".lock")
    });
    let mut count = 0;
    for path in databases {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        count += 1;
    }
    assert!(count >= 2, "the database and its log");
}

/// Two processes write to one SQLite file, and nothing is refused or lost.
#[tokio::test]
async fn users_change_while_the_node_is_busy() {
    let mut node = TestNode::start_with(&["auth.mode=default"]).await;
    node.add_user("anna", "secret").await;
    let builder = |id: &str| {
        node.builder(id)
            .credentials("anna", "secret")
            .persistent(1000)
    };
    let mut subscriber = builder("subscriber").connect().await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = builder("publisher").connect().await;
    let changes = async {
        for number in 0..20 {
            node.add_user(&format!("user{number}"), "secret").await;
        }
    };
    let publish = async {
        for _ in 0..20 {
            for _ in 0..20 {
                publisher.publish("t", "x", Qos::AtLeastOnce).await;
            }
            let other = builder("other").connect().await;
            other.vanish().await;
        }
    };
    tokio::join!(changes, publish);
    subscriber.recv_texts(400).await;
    let listed = node.user_command(&["list"]).run().await;
    assert_eq!(listed.stdout.lines().count(), 21, "{listed:?}");
    node.assert_healthy();
}

/// The users of a cluster are there before its first node and after its last.
#[tokio::test]
async fn users_of_a_cluster_need_no_node() {
    let database = Database::create().await;
    let url = format!("cluster.database_url={}", database.url());
    let folder = Scratch::new("user");
    let add = user(&folder, &["add", "anna", "--password-stdin", "--set", &url]);
    let finished = add.stdin("secret").run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let node = TestNode::launch(harness::Options {
        name: "a".to_owned(),
        database_url: database.url(),
        settings: vec!["auth.mode=default".to_owned()],
        ..harness::Options::default()
    })
    .await;
    node.builder("x")
        .credentials("anna", "secret")
        .connect()
        .await;
    drop(node);
    let listed = user(&folder, &["list", "--set", &url]).run().await;
    assert_eq!(listed.stdout, "anna\n");
}

/// Who may connect is known then; and each user keeps the number of iterations they were added with.
#[tokio::test]
async fn with_users_an_open_address_may_be_bound() {
    let arguments = [
        "check-conf",
        "--set",
        "listener.tcp=0.0.0.0:0",
        "--set",
        "auth.mode=default",
    ];
    let finished = Command::new(&arguments).run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for iterations in ["0", "4095", "1000001"] {
        let setting = format!("auth.scram_iterations={iterations}");
        let command = Command::new(&["check-conf", "--set", &setting]);
        fails(command, 2, &["auth.scram_iterations", "4096 to 1000000"]).await;
    }
    let cluster =
        Cluster::start_with(1, &["auth.mode=default", "auth.scram_iterations=5000"]).await;
    let add = [
        "add",
        "anna",
        "--password-stdin",
        "--set",
        "auth.scram_iterations=6000",
    ];
    let add = cluster.nodes[0]
        .user_command(&add)
        .stdin("secret")
        .run()
        .await;
    assert_eq!(add.code, Some(0), "{add:?}");
    for _ in 0..2 {
        cluster
            .builder(0, "x")
            .credentials("anna", "secret")
            .connect()
            .await;
    }
    let scram = harness::Scram::new("anna", "secret");
    cluster.builder(0, "x").scram(scram).connect().await;
}
