//! What the broker says about itself by MQTT: the `$SYS` topics, with the names and number formats of
//! Mosquitto, so that what was made to watch it works here.
//!
//! Owns the clock of these topics and the averages among their values. The values are those of this
//! node, and go to clients of this node only: they are never stored and never leave it. Clients cannot
//! publish there, and a wildcard in the first level does not match [MQTT-4.7.2-1].

mod load;
mod values;

use std::{sync::Arc, time::Instant};

use ahash::AHashMap;
use mqtt::{Message, MessageProperties, Qos, Str, TopicName};
use tokio::time::MissedTickBehavior;
use tracing::warn;

use self::values::Values;
use crate::{
    delivery::Publication, handle::Rooms, router::TopicCache, shutdown::Shutdown, telemetry::chain,
};

/// More topics than there are.
const TOPICS: usize = 128;

/// Publishes what has changed until `shutdown` stops.
pub(crate) async fn run(rooms: Arc<Rooms>, shutdown: Shutdown) {
    let period = rooms.config.sys.interval;
    if period.is_zero() {
        return;
    }
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut values = Values::new(Instant::now());
    let mut board = Board::new(rooms);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = shutdown.stopped() => return,
        }
        let rooms = Arc::clone(&board.rooms);
        values.read(&rooms, Instant::now(), &mut |topic, value| {
            board.publish(topic, value);
        });
    }
}

/// The values that were published last.
struct Board {
    rooms: Arc<Rooms>,
    published: AHashMap<String, String>,
    topics: TopicCache,
}

impl Board {
    fn new(rooms: Arc<Rooms>) -> Self {
        Self {
            rooms,
            published: AHashMap::new(),
            topics: TopicCache::with_capacity(TOPICS),
        }
    }

    /// Publishes a value below `$SYS/broker`, if it has changed.
    fn publish(&mut self, topic: &str, value: String) {
        let published = self.published.entry(topic.to_owned()).or_default();
        if *published == value {
            return;
        }
        published.clone_from(&value);
        let topic_name = match TopicName::new(format!("$SYS/broker/{topic}")) {
            Ok(topic_name) => topic_name,
            Err(error) => {
                warn!(topic, error = %chain(&error), "value not published");
                return;
            }
        };
        let message = Message {
            topic_name,
            payload: value.into(),
            qos: Qos::AtMostOnce,
            retain: true,
            properties: MessageProperties::default(),
        };
        let publication = Arc::new(Publication::new(Str::default(), message));
        self.rooms.retain.apply_here(Arc::clone(&publication));
        self.rooms
            .router
            .receive(&publication, None, &mut self.topics);
    }
}
