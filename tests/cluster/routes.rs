//! G3: SUBACK only when every live node routes to the subscription.

use harness::Cluster;
use mqtt::Qos;

/// 1,000 subscriptions, each followed at once by a publish on another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_fresh_subscriptions_miss_nothing() {
    let cluster = Cluster::start(3).await;
    let mut subscribers = Vec::new();
    let mut publishers = Vec::new();
    for index in 0..3 {
        subscribers.push(cluster.client(index, &format!("subscriber{index}")).await);
        publishers.push(cluster.client(index, &format!("publisher{index}")).await);
    }
    for number in 0..1000 {
        let (here, there) = (number % 3, (number + 1 + number / 3 % 2) % 3);
        let filter = match number % 4 {
            0 => format!("r/{number}/+"),
            1 => format!("r/{number}/#"),
            2 => format!("$share/g{number}/r/{number}/x"),
            _ => format!("r/{number}/x"),
        };
        subscribers[here].subscribe(&filter, Qos::AtMostOnce).await;
        publishers[there]
            .publish(
                &format!("r/{number}/x"),
                number.to_string(),
                Qos::AtMostOnce,
            )
            .await;
        assert_eq!(
            subscribers[here].recv_texts(1).await,
            [number.to_string()],
            "{filter}"
        );
    }
    // All of them still work, also after the first half was unsubscribed.
    for number in 0..500 {
        let filter = format!("r/{number}/x");
        if number % 4 == 3 {
            subscribers[number % 3].unsubscribe(&filter).await;
        }
    }
    for number in 500..1000 {
        let topic = format!("r/{number}/x");
        publishers[number % 3]
            .publish(&topic, number.to_string(), Qos::AtLeastOnce)
            .await;
    }
    for (index, subscriber) in subscribers.iter_mut().enumerate() {
        let mine: Vec<usize> = (500..1000).filter(|number| number % 3 == index).collect();
        let mut texts = subscriber.recv_texts(mine.len()).await;
        let mut expected: Vec<String> = mine.iter().map(ToString::to_string).collect();
        texts.sort();
        expected.sort();
        assert_eq!(texts, expected);
        subscriber.assert_silent().await;
    }
}
