//! mqtt (MQTT.js) of npm with enhanced authentication; its SCRAM is that of KafkaJS.

use harness::{Cluster, Tool};

const SCRIPT: &str = include_str!("scram.js");

#[tokio::test]
async fn mqtt_js_authenticates_by_scram_at_all_nodes() {
    let cluster = Cluster::start_with(3, &["auth.mode=default"]).await;
    cluster.nodes[0].add_user("anna,=", "secret").await;
    let modules = harness::npm().join("node_modules");
    assert!(
        modules.join("kafkajs").exists(),
        "no kafkajs in {}: make test",
        modules.display()
    );
    let ports: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| node.tcp().port().to_string())
        .collect();
    let mut arguments = vec!["-e", SCRIPT];
    arguments.extend(ports.iter().map(String::as_str));
    let environment = [("NODE_PATH", modules.to_str().unwrap())];
    let tool = Tool::start_with("node", &arguments, &environment, "install Node.js");
    let output = tool.success().await;
    assert!(output.ends_with("all is well\n"), "{output}");
}
