//! How much may wait for a client, and what goes when it is too much.

use harness::{Client, MessageExt as _, Site, eventually, everywhere, message};
use mqtt::Qos;

async fn dropped(site: &Site) -> f64 {
    let labels = ["reason=\"queue_full\""];
    site.metric("causeway_messages_dropped_total", &labels)
        .await
}

async fn wait_for_dropped(site: &Site, count: f64) {
    let what = format!("{count} messages dropped");
    eventually(&what, async || (dropped(site).await >= count).then_some(())).await;
    assert_eq!(dropped(site).await, count);
}

/// A subscriber whose window is full with the message "0", so that everything else waits.
async fn stuck(site: &Site, expiry_interval: u32) -> (Client, mqtt::Publish, Client) {
    let builder = site.builder("stuck").receive_maximum(1).manual();
    let builder = if expiry_interval > 0 {
        builder.persistent(expiry_interval)
    } else {
        builder
    };
    let mut subscriber = builder.connect().await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = site.client("publisher").await;
    publisher.publish("t", "0", Qos::AtLeastOnce).await;
    let first = subscriber.recv().await;
    assert_eq!(first.message.text(), "0");
    (subscriber, first, publisher)
}

/// What it gets once it acknowledges, in order, until each of `total` messages has come or is counted
/// as dropped. One that a trim drops while a page with it is under way is both.
async fn rest(
    site: &Site,
    subscriber: &mut Client,
    first: mqtt::Publish,
    total: usize,
) -> Vec<usize> {
    let mut numbers = Vec::new();
    subscriber.acknowledge(&first).await;
    let what = format!("{total} messages delivered or counted");
    eventually(&what, async || {
        while let Some(publish) = subscriber.recv_within(harness::SILENCE).await {
            subscriber.acknowledge(&publish).await;
            numbers.push(publish.message.text().trim().parse().unwrap());
        }
        (numbers.len() as f64 + dropped(site).await >= total as f64).then_some(())
    })
    .await;
    numbers
}

async fn publish_numbers(
    publisher: &mut Client,
    numbers: std::ops::RangeInclusive<usize>,
    width: usize,
) {
    for number in numbers {
        let mut text = number.to_string();
        text.insert_str(0, &" ".repeat(width - text.len()));
        publisher.publish("t", text, Qos::AtLeastOnce).await;
    }
}

async fn stuck_gets(site: &Site, expiry_interval: u32, expected: std::ops::RangeInclusive<usize>) {
    let (mut subscriber, first, mut publisher) = stuck(site, expiry_interval).await;
    publish_numbers(&mut publisher, 1..=30, 100).await;
    wait_for_dropped(site, 20.0).await;
    let numbers = rest(site, &mut subscriber, first, 30).await;
    assert!(numbers.iter().copied().eq(expected), "{numbers:?}");
    let output = site
        .nodes()
        .iter()
        .map(|node| node.output())
        .collect::<String>();
    assert_eq!(output.matches("messages dropped: too many wait").count(), 1);
}

/// A session without connection; what comes back gets what the limit allows.
async fn absent_gets(site: &Site, expected: std::ops::RangeInclusive<usize>) {
    let mut subscriber = site.builder("absent").persistent(1000).connect().await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    subscriber.disconnect().await;
    eventually("no connection", async || {
        (site.metric("causeway_connections", &[]).await == 0.0).then_some(())
    })
    .await;
    tokio::time::sleep(harness::SILENCE).await; // its session is put away a moment later
    let mut publisher = site.client("publisher").await;
    publish_numbers(&mut publisher, 1..=30, 100).await;
    let mut subscriber = site.builder("absent").persistent(1000).connect().await;
    assert!(subscriber.session_present());
    let mut numbers = Vec::new();
    for _ in 0..10 {
        let text = subscriber.recv().await.message.text();
        numbers.push(text.trim().parse::<usize>().unwrap());
    }
    assert!(numbers.iter().copied().eq(expected), "{numbers:?}");
    subscriber.assert_silent().await;
    wait_for_dropped(site, 20.0).await;
}

/// More than is held in memory: whatever happens, each message is delivered or counted.
async fn nothing_goes_silently(site: &Site) -> Vec<usize> {
    let (mut subscriber, first, mut publisher) = stuck(site, 1000).await;
    publish_numbers(&mut publisher, 1..=100, 200_000).await;
    eventually("the queue cut back", async || {
        (dropped(site).await >= 25.0).then_some(())
    })
    .await;
    let received = rest(site, &mut subscriber, first, 100).await;
    assert!(received.is_sorted(), "{received:?}");
    assert!(received.len() >= 60 && received.len() <= 75, "{received:?}");
    received
}

everywhere! {
    async fn the_newest_go(
        site, "mqtt.max_queued_messages=10", "mqtt.queue_drop_policy=newest"
    ) {
        stuck_gets(site, 0, 1..=10).await;
    }

    async fn the_oldest_go(
        site, "mqtt.max_queued_messages=10", "mqtt.queue_drop_policy=oldest"
    ) {
        stuck_gets(site, 0, 21..=30).await;
    }

    /// Without a QoS 0 message it is the newest; topic and payload have 101 bytes.
    async fn bytes_count_too(site, "mqtt.max_queued_bytes=1024") {
        stuck_gets(site, 0, 1..=10).await;
    }

    async fn the_newest_go_of_a_stored_session(
        site, "mqtt.max_queued_messages=10", "mqtt.queue_drop_policy=newest"
    ) {
        stuck_gets(site, 1000, 1..=10).await;
    }

    async fn the_oldest_go_of_a_stored_session(
        site, "mqtt.max_queued_messages=10", "mqtt.queue_drop_policy=oldest"
    ) {
        stuck_gets(site, 1000, 21..=30).await;
    }

    async fn the_newest_go_in_the_database(
        site, "mqtt.max_queued_messages=10", "mqtt.queue_drop_policy=newest"
    ) {
        absent_gets(site, 1..=10).await;
    }

    async fn the_oldest_go_in_the_database(
        site, "mqtt.max_queued_messages=10", "mqtt.queue_drop_policy=oldest"
    ) {
        absent_gets(site, 21..=30).await;
    }

    async fn the_newest_go_of_what_is_left_behind(
        site, "mqtt.max_queued_messages=60", "mqtt.queue_drop_policy=newest"
    ) {
        let received = nothing_goes_silently(site).await;
        assert!(received.iter().copied().take(60).eq(1..=60), "{received:?}");
    }

    async fn the_oldest_go_of_what_is_left_behind(
        site, "mqtt.max_queued_messages=60", "mqtt.queue_drop_policy=oldest"
    ) {
        let received = nothing_goes_silently(site).await;
        assert!(received.iter().copied().rev().take(60).eq((41..=100).rev()), "{received:?}");
    }

    /// Thousands of retained messages come to a client with a small window, each once and in order.
    async fn many_retained_messages_come_as_the_client_takes_them(site) {
        let mut publisher = site.client("publisher").await;
        for number in 0..2000 {
            let message = message(&format!("r/{number:04}"), number.to_string(), Qos::AtLeastOnce);
            publisher.start(message.retained()).await;
        }
        publisher.settle().await;
        let expected: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        for expiry_interval in [0, 1000] {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
                let builder = site.builder("small").persistent(expiry_interval).receive_maximum(3);
                let mut subscriber = builder.clean_start(true).connect().await;
                subscriber.subscribe("r/#", qos).await;
                assert_eq!(subscriber.recv_texts(2000).await, expected);
                subscriber.assert_silent().await;
            }
        }
    }
}
