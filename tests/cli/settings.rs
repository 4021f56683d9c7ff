//! Where settings come from, and what is wrong with them (exit code 2).

use harness::{Command, Scratch, TestNode};

use crate::fails;

async fn file_fails(text: &str, words: &[&str]) {
    let scratch = Scratch::new("conf");
    let path = scratch.write("wrong.toml", text);
    for verb in ["check-conf", "serve"] {
        let command = Command::new(&[verb, "--conf", path.to_str().unwrap()]);
        fails(command, 2, words).await;
    }
}

async fn set_fails(assignment: &str, words: &[&str]) {
    for verb in ["check-conf", "serve"] {
        fails(Command::new(&[verb, "--set", assignment]), 2, words).await;
    }
}

#[tokio::test]
async fn an_unknown_setting_in_the_file_is_named_with_the_file() {
    file_fails(
        "[listener]\ntpc = \"127.0.0.1:0\"\n",
        &["listener.tpc", "wrong.toml"],
    )
    .await;
    file_fails(
        "[listner]\ntcp = \"127.0.0.1:0\"\n",
        &["listner", "wrong.toml"],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_setting_in_the_environment_is_named() {
    let command = Command::new(&["check-conf"]).env("CAUSEWAY_MQTT__MAXIMUM_QUS", "1");
    fails(command, 2, &["CAUSEWAY_MQTT__MAXIMUM_QUS"]).await;
}

#[tokio::test]
async fn an_unknown_setting_in_set_is_named() {
    set_fails("mqtt.maximum_qus=1", &["mqtt.maximum_qus", "--set"]).await;
    set_fails("nonsense", &["nonsense", "KEY=VALUE"]).await;
}

#[tokio::test]
async fn a_setting_out_of_range_is_named_with_its_range() {
    set_fails("mqtt.maximum_qos=3", &["mqtt.maximum_qos", "3", "0 to 2"]).await;
    set_fails(
        "mqtt.server_receive_maximum=0",
        &["mqtt.server_receive_maximum", "1 to 65535"],
    )
    .await;
    set_fails("cluster.lease=0s", &["cluster.lease"]).await;
    set_fails("drain.rate=0", &["drain.rate"]).await;
    file_fails(
        "[mqtt]\nmaximum_qos = 7\n",
        &["mqtt.maximum_qos", "7", "0 to 2"],
    )
    .await;
}

#[tokio::test]
async fn a_setting_of_the_wrong_kind_is_named() {
    set_fails("mqtt.maximum_qos=high", &["mqtt.maximum_qos", "high"]).await;
    set_fails(
        "mqtt.server_receive_maximum=70000",
        &["mqtt.server_receive_maximum", "70000"],
    )
    .await;
    set_fails("cluster.lease=soon", &["cluster.lease"]).await;
    set_fails("listener.tcp=everywhere", &["listener.tcp", "everywhere"]).await;
    set_fails(
        "listener.proxy_protocol=maybe",
        &["listener.proxy_protocol", "maybe"],
    )
    .await;
    set_fails(
        "cluster.database_url=mysql://h/d",
        &["cluster.database_url", "postgres://"],
    )
    .await;
    set_fails("listener.tls=127.0.0.1:1,there", &["listener.tls", "there"]).await;
    set_fails("listener.unix=", &["listener.unix", "empty"]).await;
    let long = format!("listener.unix=/{}", "x".repeat(107));
    set_fails(&long, &["listener.unix", "108 bytes", "107"]).await;
    set_fails("listener.unix_mode=rwx", &["listener.unix_mode", "octal"]).await;
    set_fails("listener.unix_mode=1777", &["listener.unix_mode", "0777"]).await;
    set_fails("listener.ws_path=mqtt", &["listener.ws_path", "/mqtt"]).await;
    set_fails(
        "tls.client_certificate=yes",
        &["tls.client_certificate", "required"],
    )
    .await;
    set_fails("tls.minimum_version=1.1", &["tls.minimum_version", "1.2"]).await;
    set_fails("auth.mode=strict", &["auth.mode", "strict"]).await;
    set_fails("log.format=xml", &["log.format", "xml"]).await;
    file_fails(
        "[mqtt]\nmaximum_qos = \"two\"\n",
        &["mqtt.maximum_qos", "wrong.toml"],
    )
    .await;
}

#[tokio::test]
async fn bad_toml_is_named_with_its_line() {
    file_fails(
        "[mqtt]\nmaximum_qos = 1\nthis is wrong\n",
        &["wrong.toml", "line 3"],
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let path = "/no/such/file.toml";
    fails(Command::new(&["serve", "--conf", path]), 2, &[path]).await;
}

#[tokio::test]
async fn several_mistakes_are_told_at_once() {
    let command = Command::new(&[
        "check-conf",
        "--set",
        "mqtt.maximum_qos=3",
        "--set",
        "drain.rate=0",
    ]);
    fails(command, 2, &["mqtt.maximum_qos", "drain.rate"]).await;
}

/// Defaults < file < environment < --set.
#[tokio::test]
async fn later_sources_win() {
    let scratch = Scratch::new("conf");
    let path = scratch.write(
        "node.toml",
        "[mqtt]\nserver_keep_alive = 10\nmaximum_qos = 9\n",
    );
    let base = || Command::new(&["check-conf", "--conf", path.to_str().unwrap()]);
    fails(base(), 2, &["maximum_qos", "9"]).await;
    let finished = base().env("CAUSEWAY_MQTT__MAXIMUM_QOS", "1").run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    fails(
        base().env("CAUSEWAY_MQTT__MAXIMUM_QOS", "8"),
        2,
        &["maximum_qos", "8"],
    )
    .await;
    let arguments = [
        "check-conf",
        "--conf",
        path.to_str().unwrap(),
        "--set",
        "mqtt.maximum_qos=1",
    ];
    let finished = Command::new(&arguments)
        .env("CAUSEWAY_MQTT__MAXIMUM_QOS", "8")
        .run()
        .await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

/// While authentication is off, only this machine may connect.
#[tokio::test]
async fn an_open_address_needs_a_clear_word() {
    set_fails(
        "listener.tcp=0.0.0.0:0",
        &["listener.tcp", "auth.allow_anonymous_remote"],
    )
    .await;
    for key in ["listener.tls", "listener.ws", "listener.wss"] {
        set_fails(
            &format!("{key}=[::]:0"),
            &[key, "auth.allow_anonymous_remote"],
        )
        .await;
    }
    set_fails(
        "http.listen=[::]:0",
        &["http.listen", "auth.allow_anonymous_remote"],
    )
    .await;
    let arguments = [
        "check-conf",
        "--set",
        "listener.tcp=0.0.0.0:0",
        "--set",
        "auth.allow_anonymous_remote=true",
    ];
    let finished = Command::new(&arguments).run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let node = TestNode::start_with(&["auth.allow_anonymous_remote=true"]).await;
    node.client("local").await.ping().await;
}

/// The file that is shipped is right, and says what is default.
#[tokio::test]
async fn the_shipped_configuration_works() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/node.toml");
    let finished = Command::new(&["check-conf", "--conf", path]).run().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let folder = Scratch::new("shipped");
    let command = Command::new(&["check-conf", "--conf", path]).folder(folder.path());
    assert_eq!(command.run().await.code, Some(0));
}
