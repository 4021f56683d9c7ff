//! Publishers and subscribers that work in the background while nodes die.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use harness::{Builder, Client, Event, MessageExt as _, Session, message};
use mqtt::{Publish, Qos};
use tokio::task::JoinHandle;

/// What came, checked against what each publisher sent: `name:0`, `name:1`, …
#[derive(Debug, Default, Clone)]
pub struct Seen {
    next: HashMap<String, u32>,
    /// How many came again.
    pub duplicates: u32,
}

impl Seen {
    /// Takes a message of a [`Load`]: the next number of its publisher, or one that was there
    /// before; never one that leaves out another.
    pub fn take(&mut self, publish: &Publish) {
        let text = publish.message.text();
        let (name, number) = text.split_once(':').expect("a message of a load");
        let number: u32 = number.parse().unwrap();
        let next = self.next.entry(name.to_owned()).or_default();
        assert!(
            number <= *next,
            "{name}:{number} came before {name}:{next} (QoS {})",
            publish.message.qos.as_u8()
        );
        if number == *next {
            *next += 1;
        } else {
            self.duplicates += 1;
        }
    }

    /// How many different messages have come.
    pub fn total(&self) -> u32 {
        self.next.values().sum()
    }
}

/// A publisher in the background.
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    task: JoinHandle<Client>,
    name: String,
}

impl Load {
    /// Publishes `name:0`, `name:1`, … to `topic`, about `per_second`, until it is stopped.
    pub fn start(mut client: Client, name: &str, topic: &str, qos: Qos, per_second: u32) -> Self {
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let (topic, prefix) = (topic.to_owned(), name.to_owned());
        let task = tokio::spawn(async move {
            let mut number = 0;
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                for _ in 0..per_second.div_ceil(50) {
                    let text = format!("{prefix}:{number}");
                    client.start(message(&topic, text, qos)).await;
                    number += 1;
                    counter.store(number, Ordering::Relaxed);
                }
            }
            client.settle().await;
            client
        });
        Self {
            stop,
            sent,
            task,
            name: name.to_owned(),
        }
    }

    /// Waits until it has sent `count` messages in all.
    pub async fn reaches(&self, count: u32) {
        harness::eventually("the load goes on", async || {
            assert!(
                !self.task.is_finished(),
                "publisher {} has failed",
                self.name
            );
            (self.sent.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }

    /// How many it has sent so far.
    pub fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops it when everything is acknowledged; returns how many.
    pub async fn finish(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// A subscriber in the background that ends with its connection.
pub struct Listener {
    task: JoinHandle<(Seen, Session)>,
    stop: Arc<AtomicBool>,
    total: Arc<AtomicU32>,
}

impl Listener {
    /// Takes whatever comes, in addition to what was `seen`.
    pub fn start(mut client: Client, mut seen: Seen) -> Self {
        let (stop, total) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&total));
        let task = tokio::spawn(async move {
            for publish in client.take_inbox() {
                seen.take(&publish);
            }
            while !stopped.load(Ordering::Relaxed) {
                let wait = Duration::from_millis(50);
                match tokio::time::timeout(wait, client.event()).await {
                    Ok(Event::Message(publish)) => seen.take(&publish),
                    Ok(Event::Closed) => break,
                    Ok(_) | Err(_) => {}
                }
                counter.store(seen.total(), Ordering::Relaxed);
            }
            (seen, client.vanish().await)
        });
        Self { task, stop, total }
    }

    /// Waits until `count` different messages have come in all.
    pub async fn reaches(&self, count: u32) {
        harness::eventually("the listener hears", async || {
            assert!(
                !self.task.is_finished() || self.total.load(Ordering::Relaxed) >= count,
                "the listener has ended"
            );
            (self.total.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }

    /// Waits for the end of its connection; what it saw, and its session.
    pub async fn ended(self) -> (Seen, Session) {
        tokio::time::timeout(harness::PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
    }

    /// Ends it.
    pub async fn stop(self) -> (Seen, Session) {
        self.stop.store(true, Ordering::Relaxed);
        self.ended().await
    }
}

/// Goes on with a session on another node until `expected` messages have come, and then a moment
/// longer.
pub async fn resume_until(
    builder: Builder,
    session: Session,
    mut seen: Seen,
    expected: u32,
) -> Seen {
    let mut client = builder.resume(session).connect_eventually().await;
    assert!(client.session_present(), "the session is lost");
    while seen.total() < expected {
        let publish = client
            .recv_within(harness::PATIENCE)
            .await
            .unwrap_or_else(|| {
                panic!("{} of {expected} messages came: {seen:?}", seen.total());
            });
        seen.take(&publish);
    }
    while let Some(publish) = client.recv_within(harness::SILENCE).await {
        seen.take(&publish);
    }
    client.disconnect().await;
    seen
}
