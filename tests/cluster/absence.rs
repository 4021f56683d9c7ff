//! G6 and G8: a node counts as dead before its lease is over when both of its lasting connections to
//! the database are gone, but not when everybody's are.

use std::time::Duration;

use harness::{Cluster, Database, MessageExt as _, Options, TestNode, message};
use mqtt::Qos;

use crate::road::Road;

const LEASE: Duration = Duration::from_secs(5);
/// A node declares nobody dead before it was a member, and had its connection, for a lease.
const SETTLED: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_is_declared_dead_before_its_lease_is_over() {
    let mut cluster = Cluster::start(3).await;
    let mut watcher = cluster.client(2, "watcher").await;
    watcher.subscribe("wills/#", Qos::AtLeastOnce).await;
    let will = message("wills/gone", "gone", Qos::AtLeastOnce);
    let gone = cluster.builder(0, "gone").will(will).connect().await;
    let mut back = cluster.builder(0, "back").persistent(600).connect().await;
    back.subscribe("to/back", Qos::AtLeastOnce).await;
    tokio::time::sleep(SETTLED).await;
    cluster.nodes[0].kill();
    let session = back.vanish().await;
    let builder = cluster.builder(1, "back").persistent(600).resume(session);
    let mut back = builder.connect_eventually().await;
    assert!(back.session_present());
    watcher.publish("to/back", "again", Qos::AtLeastOnce).await;
    assert_eq!(back.recv().await.message.text(), "again");
    assert_eq!(watcher.recv().await.message.text(), "gone");
    drop(gone);
    let late = "do $$ begin
            if not exists (select 1 from node where name = 'a' and died_at < lease_until) then
                raise exception 'it was waited for until its lease was over';
            end if;
        end $$";
    cluster.database.execute(late).await;
    cluster.nodes[0].restart().await;
    cluster.assert_healthy();
}

/// Such as when a proxy in front of the database starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_declared_dead_when_all_connections_break_at_once() {
    let database = Database::create().await;
    let road = Road::to(&database).await;
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let options = Options {
            name: name.to_owned(),
            database_url: road.url(),
            settings: vec![format!("cluster.lease={}s", LEASE.as_secs())],
            ..Options::default()
        };
        nodes.push(TestNode::launch(options).await);
    }
    let mut subscriber = nodes[0].builder("s").persistent(600).connect().await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = nodes[1].client("p").await;
    tokio::time::sleep(SETTLED).await;
    for (round, pause) in [50, 500, 1500].into_iter().enumerate() {
        road.is_open.send_replace(false);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        road.is_open.send_replace(true);
        // Many questions whether the others are still there.
        let mut roamer = nodes[round].client("roamer").await;
        roamer.subscribe("t", Qos::AtLeastOnce).await;
        let text = round.to_string();
        publisher.publish("t", text.clone(), Qos::AtLeastOnce).await;
        assert_eq!(subscriber.recv().await.message.text(), text);
        assert_eq!(roamer.recv().await.message.text(), text);
    }
    tokio::time::sleep(LEASE).await;
    for node in &mut nodes {
        let buried = "node is dead, its clients were let go";
        assert!(!node.output().contains(buried), "{}", node.name());
        node.assert_healthy();
    }
}
