//! The `$SYS` topics beside those of a real Mosquitto, and through an exporter that was made for any
//! broker that has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
};

use harness::{Scratch, TestNode, Tool, eventually};

const INSTALL: &str = "apt-get install mosquitto mosquitto-clients";

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A Mosquitto that publishes its values every second.
struct Mosquitto {
    address: SocketAddr,
    tool: Tool,
    _scratch: Scratch,
}

impl Mosquitto {
    async fn start() -> Self {
        let scratch = Scratch::new("mosquitto");
        let address = free_address();
        let path = scratch.path().join("mosquitto.conf");
        let port = address.port();
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nsys_interval 1\n"
        );
        std::fs::write(&path, settings).unwrap();
        let tool = Tool::start("mosquitto", &["-c", path.to_str().unwrap()], INSTALL);
        tool.says("running").await;
        Self {
            address,
            tool,
            _scratch: scratch,
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.tool.kill();
    }
}

/// The same for both: one client that stays, and five that come, publish and go.
async fn traffic(address: SocketAddr) -> Tool {
    let port = address.port().to_string();
    let arguments = [
        "-oL",
        "mosquitto_sub",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-i",
        "lamp",
        "-t",
        "lamp/#",
        "-q",
        "1",
        "-d",
    ];
    let lamp = Tool::start("stdbuf", &arguments, INSTALL);
    lamp.says("Subscribed").await;
    for name in ["a", "b", "c", "d", "e"] {
        let arguments = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-V",
            "mqttv311",
            "-i",
            name,
            "-t",
            "plant/7",
            "-m",
            "hello",
            "-q",
            "1",
        ];
        Tool::start("mosquitto_pub", &arguments, INSTALL)
            .success()
            .await;
    }
    lamp
}

/// What a new subscriber is told at once, by topic below `$SYS/broker`.
async fn values(address: SocketAddr) -> BTreeMap<String, String> {
    let port = address.port().to_string();
    let arguments = [
        "-oL",
        "mosquitto_sub",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "$SYS/#",
        "-F",
        "%r|%t|%p",
    ];
    let mut watcher = Tool::start("stdbuf", &arguments, INSTALL);
    watcher.says("0|$SYS/broker/uptime|").await;
    let output = watcher.output();
    watcher.kill();
    output
        .lines()
        .filter_map(|line| line.strip_prefix("1|$SYS/broker/")?.split_once('|'))
        .map(|(topic, value)| (topic.to_owned(), value.to_owned()))
        .collect()
}

/// The form of a value: digits are `9`, however many.
fn form(value: &str) -> String {
    let mut form = String::new();
    for c in value.chars() {
        let c = if c.is_ascii_digit() { '9' } else { c };
        if c != '9' || !form.ends_with('9') {
            form.push(c);
        }
    }
    form
}

/// Values that both broker must agree on: they come from the clients alone.
const SAME: [&str; 12] = [
    "bytes/received",
    "clients/connected",
    "clients/disconnected",
    "clients/expired",
    "clients/total",
    "messages/received",
    "publish/bytes/received",
    "publish/bytes/sent",
    "publish/messages/dropped",
    "publish/messages/received",
    "publish/messages/sent",
    "subscriptions/count",
];

#[tokio::test]
async fn names_forms_and_values_are_those_of_mosquitto() {
    let mosquitto = Mosquitto::start().await;
    let node = TestNode::start_with(&["sys.interval=1s"]).await;
    let mut both = Vec::new();
    for address in [mosquitto.address, node.tcp()] {
        let _lamp = traffic(address).await;
        // Both count once a second.
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        both.push(values(address).await);
    }
    let (theirs, ours) = (&both[0], &both[1]);
    let names = |values: &BTreeMap<String, String>| values.keys().cloned().collect::<BTreeSet<_>>();
    let missing: Vec<_> = names(theirs).difference(&names(ours)).cloned().collect();
    assert_eq!(missing, ["heap/current", "heap/maximum"], "not known here");
    let more: Vec<_> = names(ours).difference(&names(theirs)).cloned().collect();
    assert_eq!(more, ["messages/inflight"], "of mosquitto 1");
    for (topic, theirs) in theirs {
        if let Some(ours) = ours.get(topic).filter(|_| topic != "version") {
            assert_eq!(form(ours), form(theirs), "{topic}: {ours} and {theirs}");
        }
    }
    for topic in SAME {
        assert_eq!(ours[topic], theirs[topic], "{topic}");
    }
    assert_eq!(ours["messages/received"], "17");
    assert_eq!(ours["clients/connected"], "1");
}

/// An exporter beside a broker, and the page that it serves.
struct Exporter {
    tool: Tool,
    page: SocketAddr,
}

impl Exporter {
    fn start(broker: SocketAddr) -> Self {
        let python = harness::exporter();
        let port = broker.port().to_string();
        let page = free_address();
        let page_port = page.port().to_string();
        let environment = [
            ("MQTT_PORT", port.as_str()),
            ("MQTT_TOPIC", "$SYS/#"),
            ("KEEP_FULL_TOPIC", "True"),
            ("PROMETHEUS_ADDRESS", "127.0.0.1"),
            ("PROMETHEUS_PORT", &page_port),
        ];
        let tool = Tool::start_with(&python, &["-m", "mqtt_exporter"], &environment, "make test");
        Self { tool, page }
    }

    /// Name and labels of each sample of a `$SYS` topic that it has been told so far.
    async fn samples(&self) -> BTreeSet<String> {
        let Ok(page) = harness::get(self.page, "/metrics").await else {
            return BTreeSet::new();
        };
        page.body
            .lines()
            .filter(|line| line.starts_with("mqtt_") && !line.contains("message_"))
            .filter(|line| !EITHER.iter().any(|name| line.contains(name)))
            .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
            .collect()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.tool.kill();
    }
}

/// What only one of the two brokers knows: the heap of Mosquitto, and `messages/inflight`.
const EITHER: [&str; 2] = ["heap", "inflight"];

/// Mosquitto tells some values only once they have changed, so one page may be ahead of the other
/// for a while.
#[tokio::test]
async fn an_exporter_shows_what_it_shows_of_mosquitto() {
    let mosquitto = Mosquitto::start().await;
    let node = TestNode::start_with(&["sys.interval=1s"]).await;
    let brokers = [mosquitto.address, node.tcp()];
    let [theirs, ours] = brokers.map(Exporter::start);
    for address in brokers {
        traffic(address).await.kill();
    }
    let mut last = BTreeSet::new();
    eventually("more than 40 samples, the same of both", async || {
        let (theirs, ours) = (theirs.samples().await, ours.samples().await);
        let differing: BTreeSet<_> = theirs.symmetric_difference(&ours).cloned().collect();
        if differing != last {
            println!("told of one only: {differing:#?}");
        }
        last = differing;
        (theirs.len() > 40 && last.is_empty()).then_some(())
    })
    .await;
}
