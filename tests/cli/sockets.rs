//! Sockets that cannot be had.

use std::net::TcpListener;

use harness::{Command, TestNode};

use crate::fails;

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["listener.tcp", "http.listen"] {
        let setting = format!("{key}={address}");
        let mut arguments = vec![
            "serve",
            "--set",
            "store.path=/dev/shm/causeway-port-in-use.db",
        ];
        for free in ["listener.tcp=127.0.0.1:0", "http.listen=127.0.0.1:0"] {
            arguments.extend(["--set", free]);
        }
        arguments.extend(["--set", &setting]);
        fails(Command::new(&arguments), 1, &[key, &address]).await;
    }
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("/dev/shm/causeway-port-in-use.db{end}"));
    }
}

#[tokio::test]
async fn an_address_of_another_machine_is_named_with_its_setting() {
    let arguments = [
        "serve",
        "--set",
        "listener.tcp=192.0.2.1:1883",
        "--set",
        "auth.allow_anonymous_remote=true",
        "--set",
        "http.listen=off",
        "--set",
        "store.path=/dev/shm/causeway-elsewhere.db",
    ];
    fails(
        Command::new(&arguments),
        1,
        &["listener.tcp", "192.0.2.1:1883"],
    )
    .await;
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("/dev/shm/causeway-elsewhere.db{end}"));
    }
}

/// A socket that somebody listens at, and what is no socket, is left alone.
#[tokio::test]
async fn a_unix_socket_that_cannot_be_had_is_named_with_its_setting() {
    let scratch = harness::Scratch::new("unix");
    let file = scratch.write("file", "keep me");
    let taken = scratch.path().join("taken.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&taken).unwrap();
    let missing = scratch.path().join("no/folder.sock");
    for (path, words) in [
        (&file, "no socket"),
        (&taken, "another program"),
        (&missing, "no such folder"),
    ] {
        let path = path.to_str().unwrap();
        let setting = format!("listener.unix={path}");
        let arguments = [
            "serve",
            "--set",
            "http.listen=off",
            "--set",
            "listener.tcp=off",
        ];
        let all: Vec<&str> = arguments.into_iter().chain(["--set", &setting]).collect();
        fails(Command::new(&all), 1, &["listener.unix", path, words]).await;
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "keep me");
}

/// Two programs on one store would destroy it.
#[tokio::test]
async fn a_store_in_use_is_named_with_its_setting() {
    let scratch = harness::Scratch::new("store");
    let path = format!("store.path={}", scratch.path().join("shared.db").display());
    let node = TestNode::start_with(&[&path]).await;
    let arguments = [
        "serve",
        "--set",
        &path,
        "--set",
        "listener.tcp=127.0.0.1:0",
        "--set",
        "http.listen=off",
    ];
    fails(Command::new(&arguments), 1, &["store.path", "shared.db"]).await;
    node.client("still").await.ping().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_made_is_named_with_its_setting() {
    let arguments = [
        "serve",
        "--set",
        "store.path=/proc/no/causeway.db",
        "--set",
        "listener.tcp=127.0.0.1:0",
        "--set",
        "http.listen=off",
    ];
    fails(Command::new(&arguments), 1, &["store.path", "/proc/no"]).await;
}
