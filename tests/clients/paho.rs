//! paho-mqtt 1.6 and 2 for Python.

use harness::{Cluster, Tool};

const SCRIPT: &str = include_str!("paho.py");

async fn run(python: &str) {
    let cluster = Cluster::start(3).await;
    let ports: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| node.tcp().port().to_string())
        .collect();
    let mut arguments = vec!["-u", "-c", SCRIPT];
    arguments.extend(ports.iter().map(String::as_str));
    let output = Tool::start(python, &arguments, "make test").success().await;
    assert!(output.ends_with("all is well\n"), "{output}");
}

/// [MQTT3-7.0.0-2]
#[tokio::test]
async fn paho_1_6_works_over_all_nodes() {
    run(&harness::paho1()).await;
}

#[tokio::test]
async fn paho_2_works_over_all_nodes() {
    run(&harness::paho2()).await;
}
