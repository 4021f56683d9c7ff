//! mqtt (MQTT.js) of npm.

use harness::{Cluster, Tool};

const SCRIPT: &str = include_str!("npm.js");

#[tokio::test]
async fn mqtt_js_works_over_all_nodes() {
    let cluster = Cluster::start(3).await;
    let modules = harness::npm().join("node_modules");
    assert!(
        modules.join("mqtt").exists(),
        "no mqtt in {}: make test",
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
