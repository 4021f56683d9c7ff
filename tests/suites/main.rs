//! The tests that come with other clients, run against our nodes: each on one node, and on three so
//! that successive connections of a test go to different ones.
//!
//! None of their code is here: `deploy/scripts/test-clients` fetches the packages, and `spread.py`
//! leads their connections to our ports. MQTT.js ships no tests in its package, and those of
//! rumqttc talk to a broker of their own inside the test, so neither has one here; both clients
//! are in `tests/clients`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use harness::{Site, TestNode, Tool};

const SETTINGS: &[&str] = &[
    "listener.tls=127.0.0.1:0",
    "listener.ws=127.0.0.1:0",
    "listener.ws_path=/",
    // aiomqtt's tests expect the certificate of this host.
    "tls.names=test.mosquitto.org",
];

/// They pause for a second or two between most steps.
const PATIENCE: Duration = Duration::from_secs(280);

/// The tests of a package.
struct Suite {
    /// Package and version, as `test-clients` unpacked it.
    package: &'static str,
    file: &'static str,
    /// Tests that do not concern a broker like ours.
    left_out: &'static [&'static str],
    /// How many are left; more are welcome, fewer are not.
    tests: usize,
}

const PAHO: Suite = Suite {
    package: "paho_mqtt-2.1.0",
    file: "test_mqttv5.py",
    // Needs the topic test/nosubscribe, which the broker of that suite refuses by its configuration.
    left_out: &["test_subscribe_failure"],
    tests: 20,
};

const GMQTT: Suite = Suite {
    package: "gmqtt-0.8.0",
    file: "test_mqtt5.py",
    // This client makes up an identifier where the test expects it to send none; fails with
    // mosquitto, too.
    left_out: &["test_assigned_clientid"],
    tests: 15,
};

const AIOMQTT: Suite = Suite {
    package: "aiomqtt-2.5.1",
    file: "test_client.py",
    left_out: &[
        // Count on the delays, and the user names, of test.mosquitto.org; fail with a mosquitto nearby, too.
        "test_client_reusable_message",
        "test_aenter_state_reset_connack_negative",
        // Counts on a QoS 2 message that comes after its PUBCOMP; it may come before (section 4.3.3).
        "test_messages_view_len",
    ],
    tests: 24,
};

async fn ports(nodes: &[TestNode], listener: &str) -> String {
    let mut ports = Vec::new();
    for node in nodes {
        ports.push(node.listener(listener).await.port().to_string());
    }
    ports.join(",")
}

impl Suite {
    async fn passes(&self, mut site: Site) {
        let suites = harness::suites();
        let nodes = site.nodes();
        let (tcp, tls, ws) = (
            ports(nodes, "tcp").await,
            ports(nodes, "tls").await,
            ports(nodes, "ws").await,
        );
        let scratch = harness::Scratch::new("suite");
        let trusted = scratch.path().join("ca.pem");
        let authorities: Vec<String> = nodes
            .iter()
            .map(|node| std::fs::read_to_string(node.folder().join("var/tls/ca.pem")).unwrap())
            .collect();
        std::fs::write(&trusted, authorities.concat()).unwrap();
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/suites");
        let (trusted, python) = (trusted.to_str().unwrap(), suites.join("bin/python"));
        let environment = [
            ("SUITE_TCP", tcp.as_str()),
            ("SUITE_TLS", &tls),
            ("SUITE_WS", &ws),
            ("SUITE_CA", trusted),
            ("SSL_CERT_FILE", trusted),
            ("PYTHONPATH", plugin),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        let package = suites.join("src").join(self.package);
        let left_out = self.left_out.join(" or ");
        let command = "cp -r \"$1/tests\" . && exec \"$0\" -m pytest -q -p spread -p no:cacheprovider \
                       -k \"not ($3)\" \"tests/$2\"";
        let arguments = [
            "-c",
            command,
            python.to_str().unwrap(),
            package.to_str().unwrap(),
            self.file,
            &left_out,
        ];
        let tool = Tool::start_with("sh", &arguments, &environment, "it is in every system");
        let output = tool.success_within(PATIENCE).await;
        let summary = output.lines().last().unwrap_or_default();
        let passed: usize = summary
            .split_once(" passed")
            .and_then(|(number, _)| number.trim().parse().ok())
            .unwrap_or(0);
        assert!(passed >= self.tests, "{output}");
        site.assert_healthy();
    }
}

#[tokio::test]
async fn paho_mqtt_on_one_node() {
    PAHO.passes(Site::alone(SETTINGS).await).await;
}

#[tokio::test]
async fn paho_mqtt_on_a_cluster() {
    PAHO.passes(Site::cluster(SETTINGS).await).await;
}

#[tokio::test]
async fn gmqtt_on_one_node() {
    GMQTT.passes(Site::alone(SETTINGS).await).await;
}

#[tokio::test]
async fn gmqtt_on_a_cluster() {
    GMQTT.passes(Site::cluster(SETTINGS).await).await;
}

#[tokio::test]
async fn aiomqtt_on_one_node() {
    AIOMQTT.passes(Site::alone(SETTINGS).await).await;
}

#[tokio::test]
async fn aiomqtt_on_a_cluster() {
    AIOMQTT.passes(Site::cluster(SETTINGS).await).await;
}
