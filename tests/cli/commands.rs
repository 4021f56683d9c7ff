//! serve, check-conf, healthcheck and signals.

use harness::{Command, TestNode};
use mqtt::Qos;

use crate::fails;

#[tokio::test]
async fn check_conf_accepts_the_defaults() {
    let finished = Command::new(&["check-conf"]).run().await;
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (Some(0), ""),
        "{finished:?}"
    );
}

#[tokio::test]
async fn help_lists_the_commands() {
    let finished = Command::new(&["--help"]).run().await;
    assert_eq!(finished.code, Some(0));
    for word in ["serve", "check-conf", "healthcheck", "user"] {
        assert!(finished.stdout.contains(word), "no {word} in {finished:?}");
    }
}

#[tokio::test]
async fn an_unknown_command_is_a_mistake() {
    let finished = Command::new(&["sevre"]).run().await;
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("sevre"), "{finished:?}");
}

#[tokio::test]
async fn healthcheck_tells_whether_a_node_is_ready() {
    let mut node = TestNode::start().await;
    let url = format!("http://{}/readyz", node.http());
    let finished = Command::new(&["healthcheck", "--url", &url]).run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    node.stop().await;
    fails(Command::new(&["healthcheck", "--url", &url]), 1, &[&url]).await;
}

#[tokio::test]
async fn healthcheck_fails_for_another_answer() {
    let node = TestNode::start().await;
    let url = format!("http://{}/nothing/here", node.http());
    fails(Command::new(&["healthcheck", "--url", &url]), 1, &["404"]).await;
    let finished = Command::new(&["healthcheck", "--url", "gopher://x"])
        .run()
        .await;
    assert!(matches!(finished.code, Some(1 | 2)), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
}

#[tokio::test]
async fn sigterm_and_sigint_end_with_0() {
    for signal in ["TERM", "INT"] {
        let mut node = TestNode::start().await;
        let mut clients = Vec::new();
        for number in 0..5 {
            let mut client = node.client(&format!("client{number}")).await;
            client.subscribe("t", Qos::AtLeastOnce).await;
            clients.push(client);
        }
        if signal == "TERM" {
            node.terminate()
        } else {
            node.interrupt()
        }
        assert_eq!(node.ended().await.code(), Some(0), "{}", node.output());
        for client in &mut clients {
            let reason = client.closed().await.expect("DISCONNECT").reason_code;
            assert!(matches!(
                reason,
                mqtt::ReasonCode::UseAnotherServer | mqtt::ReasonCode::ServerShuttingDown
            ));
        }
        node.assert_healthy();
    }
}

/// The log is for programs, too: every line is an object.
#[tokio::test]
async fn the_json_log_has_one_object_per_line() {
    let mut node = TestNode::start().await;
    node.client("somebody")
        .await
        .publish("t", "x", Qos::AtLeastOnce)
        .await;
    node.stop().await;
    let output = node.output();
    assert!(output.lines().count() >= 2);
    for line in output.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        assert!(line.contains("\"level\":\""), "{line}");
    }
}

/// What clients send stays between them.
#[tokio::test]
async fn the_log_keeps_secrets() {
    let mut node = TestNode::start_with(&["log.level=trace"]).await;
    let builder = node
        .builder("somebody")
        .credentials("user", "pa55word-of-mine");
    let mut client = builder.connect().await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    client
        .publish("t", "payload-of-mine", Qos::AtLeastOnce)
        .await;
    client.recv().await;
    client.disconnect().await;
    node.stop().await;
    assert!(
        !node.output().contains("pa55word-of-mine"),
        "password in the log"
    );
    assert!(
        !node.output().contains("payload-of-mine"),
        "payload in the log"
    );
}

/// Without any option a node serves on its own embedded store, in the current folder.
#[tokio::test]
async fn a_node_makes_the_folder_of_its_store() {
    let node = TestNode::start_with(&["store.path=var/data/causeway.db"]).await;
    node.client("somebody").await.ping().await;
}
