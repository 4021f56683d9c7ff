//! mosquitto_pub and mosquitto_sub.

use harness::{Cluster, TestNode, Tool};

const INSTALL: &str = "apt-get install mosquitto-clients";
const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn subscribe(node: &TestNode, arguments: &[&str]) -> Tool {
    let port = node.tcp().port().to_string();
    let mut all = vec!["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &port, "-d"];
    all.extend(arguments);
    Tool::start("stdbuf", &all, INSTALL)
}

async fn publish(node: &TestNode, arguments: &[&str]) {
    let port = node.tcp().port().to_string();
    let mut all = vec!["-h", "127.0.0.1", "-p", &port];
    all.extend(arguments);
    Tool::start("mosquitto_pub", &all, INSTALL).success().await;
}

/// The messages in the output of `mosquitto_sub -d -F '<%t|%q|%r|%p>'`.
fn messages(output: &str) -> Vec<String> {
    output
        .lines()
        .filter_map(|line| Some(line.strip_prefix('<')?.strip_suffix('>')?.to_owned()))
        .collect()
}

const FORMAT: [&str; 2] = ["-F", "<%t|%q|%r|%p>"];

/// [MQTT3-7.0.0-2]
#[tokio::test]
async fn a_message_reaches_mosquitto_sub_on_another_node() {
    let cluster = Cluster::start(3).await;
    for (round, version) in VERSIONS.into_iter().enumerate() {
        for qos in ["0", "1", "2"] {
            let (here, there) = (&cluster.nodes[round], &cluster.nodes[(round + 1) % 3]);
            let arguments = [
                "-V",
                version,
                "-t",
                "plant/+/temp",
                "-q",
                qos,
                "-C",
                "3",
                FORMAT[0],
                FORMAT[1],
            ];
            let subscriber = subscribe(here, &arguments);
            subscriber.says("Subscribed").await;
            for sending in VERSIONS {
                publish(
                    there,
                    &[
                        "-V",
                        sending,
                        "-t",
                        "plant/7/temp",
                        "-m",
                        sending,
                        "-q",
                        qos,
                    ],
                )
                .await;
            }
            let output = subscriber.success().await;
            let expected = VERSIONS.map(|sending| format!("plant/7/temp|{qos}|0|{sending}"));
            assert_eq!(messages(&output), expected);
        }
    }
}

#[tokio::test]
async fn a_retained_message_is_kept_and_removed() {
    let cluster = Cluster::start(2).await;
    for version in VERSIONS {
        publish(
            &cluster.nodes[0],
            &["-V", version, "-t", "r", "-m", version, "-r", "-q", "1"],
        )
        .await;
        let arguments = ["-V", version, "-t", "r", "-C", "1", FORMAT[0], FORMAT[1]];
        let output = subscribe(&cluster.nodes[1], &arguments).success().await;
        assert_eq!(messages(&output), [format!("r|0|1|{version}")]);
        publish(
            &cluster.nodes[0],
            &["-V", version, "-t", "r", "-n", "-r", "-q", "1"],
        )
        .await;
        let arguments = ["-V", version, "-t", "r", "-W", "1", FORMAT[0], FORMAT[1]];
        let mut silent = subscribe(&cluster.nodes[1], &arguments);
        silent.says("Subscribed").await;
        tokio::time::sleep(harness::SILENCE).await;
        assert_eq!(messages(&silent.output()), [""; 0]);
        silent.kill();
    }
}

#[tokio::test]
async fn a_killed_client_leaves_its_will() {
    let cluster = Cluster::start(2).await;
    for version in VERSIONS {
        let arguments = [
            "-V", version, "-t", "wills/#", "-C", "1", "-q", "1", FORMAT[0], FORMAT[1],
        ];
        let watcher = subscribe(&cluster.nodes[1], &arguments);
        watcher.says("Subscribed").await;
        let arguments = [
            "-V",
            version,
            "-t",
            "x",
            "--will-topic",
            "wills/m",
            "--will-payload",
            "gone",
            "--will-qos",
            "1",
        ];
        let mut mortal = subscribe(&cluster.nodes[0], &arguments);
        mortal.says("Subscribed").await;
        mortal.kill();
        assert_eq!(messages(&watcher.success().await), ["wills/m|1|0|gone"]);
    }
}

#[tokio::test]
async fn a_persistent_session_is_served_by_another_node() {
    let cluster = Cluster::start(3).await;
    for version in VERSIONS {
        let mut arguments = vec!["-V", version, "-i", "keeper", "-c", "-q", "2", "-t", "p/#"];
        arguments.extend(FORMAT);
        if version == "mqttv5" {
            arguments.extend(["-x", "1000"]);
        }
        let once = |more: &[&'static str]| [&arguments[..], more].concat();
        let subscriber = subscribe(&cluster.nodes[0], &once(&["-E"]));
        subscriber.success().await;
        for number in ["1", "2", "3", "4"] {
            publish(&cluster.nodes[1], &["-t", "p/x", "-m", number, "-q", "2"]).await;
        }
        let subscriber = subscribe(&cluster.nodes[2], &once(&["-C", "4"]));
        let expected = ["1", "2", "3", "4"].map(|number| format!("p/x|2|0|{number}"));
        assert_eq!(messages(&subscriber.success().await), expected);
        // Clean Session ends it, for the next version.
        subscribe(
            &cluster.nodes[1],
            &["-V", "mqttv311", "-i", "keeper", "-t", "x", "-E"],
        )
        .success()
        .await;
    }
}

#[tokio::test]
async fn members_of_a_group_share() {
    let cluster = Cluster::start(2).await;
    let mut members = Vec::new();
    for index in 0..2 {
        let arguments = [
            "-V",
            "mqttv5",
            "-t",
            "$share/g/s/#",
            "-q",
            "1",
            FORMAT[0],
            FORMAT[1],
        ];
        let member = subscribe(&cluster.nodes[index], &arguments);
        member.says("Subscribed").await;
        members.push(member);
    }
    for number in 0..20 {
        let text = number.to_string();
        publish(
            &cluster.nodes[number % 2],
            &["-t", "s/x", "-m", &text, "-q", "1"],
        )
        .await;
    }
    let all = || {
        members
            .iter()
            .flat_map(|member| messages(&member.output()))
            .collect::<Vec<_>>()
    };
    harness::eventually("twenty messages", async || {
        (all().len() >= 20).then_some(())
    })
    .await;
    tokio::time::sleep(harness::SILENCE).await;
    let mut all = all();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20);
    assert!(
        members
            .iter()
            .all(|member| messages(&member.output()).len() < 20)
    );
}

/// Through the load balancer, as people would.
#[tokio::test]
async fn it_works_through_nginx() {
    let cluster = Cluster::balanced().await;
    let port = cluster.nginx.as_ref().unwrap().address().port().to_string();
    let mut all = vec![
        "-oL",
        "mosquitto_sub",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-d",
        "-t",
        "n/#",
    ];
    all.extend(["-C", "3", "-q", "1"]);
    all.extend(FORMAT);
    let subscriber = Tool::start("stdbuf", &all, INSTALL);
    subscriber.says("Subscribed").await;
    for number in ["1", "2", "3"] {
        let arguments = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-t",
            "n/x",
            "-m",
            number,
            "-q",
            "1",
        ];
        Tool::start("mosquitto_pub", &arguments, INSTALL)
            .success()
            .await;
    }
    let expected = ["n/x|1|0|1", "n/x|1|0|2", "n/x|1|0|3"];
    assert_eq!(messages(&subscriber.success().await), expected);
}
