//! rumqttc for Rust, its MQTT 3.1.1 and its MQTT 5 client.

use std::{future::Future, time::Duration};

use harness::Cluster;
use tokio::sync::mpsc;

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(harness::LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("no {what}"))
}

/// The same conversation for both clients, which differ only in their types.
macro_rules! conversation {
    ($name:ident, $rumqtt:path, $packet:path, $topic:expr, $persistent:expr) => {
        #[tokio::test]
        async fn $name() {
            use $packet as Packet;
            use $rumqtt::{AsyncClient, Event, MqttOptions, mqttbytes::QoS};

            struct One {
                client: AsyncClient,
                inbox: mpsc::UnboundedReceiver<(String, Vec<u8>, QoS)>,
                subscribed: mpsc::UnboundedReceiver<()>,
                task: tokio::task::JoinHandle<()>,
            }

            fn connect(port: u16, id: &str, persistent: bool) -> One {
                let mut options = MqttOptions::new(id, "127.0.0.1", port);
                options.set_keep_alive(Duration::from_secs(5));
                let change: fn(&mut MqttOptions, bool) = $persistent;
                change(&mut options, persistent);
                let (client, mut events) = AsyncClient::new(options, 100);
                let (messages, inbox) = mpsc::unbounded_channel();
                let (acks, subscribed) = mpsc::unbounded_channel();
                #[expect(clippy::disallowed_methods, reason = "a test")]
                let task = tokio::spawn(async move {
                    loop {
                        match events.poll().await {
                            Ok(Event::Incoming(Packet::Publish(publish))) => {
                                let topic = $topic(&publish.topic);
                                let payload = publish.payload.to_vec();
                                let _ = messages.send((topic, payload, publish.qos));
                            }
                            Ok(Event::Incoming(Packet::SubAck(_))) => {
                                let _ = acks.send(());
                            }
                            Ok(_) => {}
                            Err(_) => return,
                        }
                    }
                });
                One {
                    client,
                    inbox,
                    subscribed,
                    task,
                }
            }

            let cluster = Cluster::start(3).await;
            let port = |index: usize| cluster.nodes[index].tcp().port();
            let mut subscriber = connect(port(0), "subscriber", true);
            subscriber
                .client
                .subscribe("r/#", QoS::ExactlyOnce)
                .await
                .unwrap();
            soon("SUBACK", subscriber.subscribed.recv()).await;
            let publisher = connect(port(1), "publisher", false);
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
            for number in 0..90_usize {
                let (qos, text) = (qos[number / 30], number.to_string());
                publisher
                    .client
                    .publish("r/x", qos, false, text)
                    .await
                    .unwrap();
            }
            for number in 0..90_usize {
                let (topic, payload, received) =
                    soon("message", subscriber.inbox.recv()).await.unwrap();
                assert_eq!((topic.as_str(), received), ("r/x", qos[number / 30]));
                assert_eq!(payload, number.to_string().into_bytes());
            }
            // It goes away and comes back elsewhere.
            tokio::time::sleep(harness::SILENCE).await;
            subscriber.client.disconnect().await.unwrap();
            soon("end", subscriber.task).await.unwrap();
            publisher
                .client
                .publish("r/x", QoS::AtLeastOnce, false, "queued")
                .await
                .unwrap();
            tokio::time::sleep(harness::SILENCE).await;
            let mut subscriber = connect(port(2), "subscriber", true);
            let (_, payload, _) = soon("queued message", subscriber.inbox.recv())
                .await
                .unwrap();
            assert_eq!(payload, b"queued");
        }
    };
}

conversation!(
    rumqttc_with_mqtt_3_1_1_works_over_all_nodes,
    rumqttc,
    rumqttc::Packet,
    |topic: &String| topic.clone(),
    |options, persistent| {
        options.set_clean_session(!persistent);
    }
);

conversation!(
    rumqttc_with_mqtt_5_works_over_all_nodes,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::v5::Packet,
    |topic: &bytes::Bytes| String::from_utf8_lossy(topic).into_owned(),
    |options, persistent| {
        options.set_clean_start(!persistent);
        if persistent {
            let mut properties = rumqttc::v5::mqttbytes::v5::ConnectProperties::new();
            properties.session_expiry_interval = Some(1000);
            options.set_connect_properties(properties);
        }
    }
);
