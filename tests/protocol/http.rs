//! /healthz, /readyz, /metrics and the page that greets people.

use harness::{TestNode, everywhere};
use mqtt::Qos;

everywhere! {
    async fn a_node_says_that_it_is_healthy_and_ready(site) {
        for node in site.nodes() {
            assert_eq!(node.get("/healthz").await.status, 200);
            assert_eq!(node.get("/readyz").await.status, 200);
            assert_eq!(node.get("/no/such/page").await.status, 404);
        }
    }

    /// Prometheus text: every name begins with causeway_, has help, and messages are counted.
    async fn metrics_count_what_happens(site) {
        let mut subscriber = site.client("subscriber").await;
        subscriber.subscribe("t", Qos::ExactlyOnce).await;
        let mut publisher = site.client("publisher").await;
        for qos in crate::QOS {
            for _ in 0..10 {
                publisher.publish("t", "x", qos).await;
            }
        }
        subscriber.recv_texts(30).await;
        for node in site.nodes() {
            let metrics = node.metrics().await;
            let names = metrics.names();
            assert!(!names.is_empty());
            for name in names {
                assert!(name.starts_with("causeway_"), "{name}");
                assert!(metrics.text().contains(&format!("# HELP {name} ")), "{name}");
            }
        }
        for qos in crate::QOS {
            let label = format!("qos=\"{}\"", qos.as_u8());
            let received = site.metric("causeway_publish_received_total", &[&label]).await;
            assert!(received >= 10.0, "{received} of QoS {}", qos.as_u8());
        }
    }
}

#[tokio::test]
async fn the_front_page_says_what_to_try() {
    let node = TestNode::start().await;
    let page = node.get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.headers.to_lowercase().contains("text/html"),
        "{}",
        page.headers
    );
    assert!(page.body.contains("mosquitto_sub"), "{}", page.body);
}
