//! Retained messages on all nodes.

use harness::{Cluster, MessageExt as _, message};
use mqtt::Qos;

/// After PUBACK the message is there for a new subscriber of any node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_message_is_visible_on_every_node_after_puback() {
    let cluster = Cluster::start(3).await;
    let mut publishers = Vec::new();
    let mut subscribers = Vec::new();
    for index in 0..3 {
        publishers.push(cluster.client(index, &format!("publisher{index}")).await);
        subscribers.push(cluster.client(index, &format!("subscriber{index}")).await);
    }
    for number in 0..150 {
        let topic = format!("retained/{}", number % 10);
        let text = number.to_string();
        let sent = message(&topic, text.clone(), Qos::AtLeastOnce).retained();
        publishers[number % 3].publish_message(sent).await;
        for offset in 1..3 {
            let subscriber = &mut subscribers[(number + offset) % 3];
            subscriber.subscribe(&topic, Qos::AtLeastOnce).await;
            let publish = subscriber.recv().await;
            assert_eq!(
                (publish.message.text(), publish.message.retain),
                (text.clone(), true)
            );
            subscriber.unsubscribe(&topic).await;
        }
    }
}

/// All nodes agree in the end on what is retained, also when it was changed everywhere at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_agree_on_the_last_retained_message() {
    let cluster = Cluster::start(3).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..3 {
        let mut publisher = cluster.client(index, &format!("publisher{index}")).await;
        tasks.spawn(async move {
            for number in 0..100 {
                let text = format!("{index}:{number}");
                let sent = message(&format!("r/{}", number % 5), text, Qos::AtLeastOnce).retained();
                publisher.start(sent).await;
            }
            publisher.settle().await;
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    let mut views = Vec::new();
    for index in 0..3 {
        let mut reader = cluster.client(index, &format!("reader{index}")).await;
        reader.subscribe("r/+", Qos::AtLeastOnce).await;
        let mut texts = reader.recv_texts(5).await;
        texts.sort();
        views.push(texts);
    }
    assert_eq!(views[0], views[1]);
    assert_eq!(views[0], views[2]);
    assert!(
        views[0]
            .iter()
            .all(|text| text.split_once(':').unwrap().1.parse::<u32>().unwrap() >= 95)
    );
}
