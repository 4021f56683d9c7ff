//! The values of the `$SYS` topics.

use std::time::{Duration, Instant};

use super::load::{Load, SPANS};
use crate::{handle::Rooms, telemetry::Flow};

/// Counters that are averaged too.
const LOADS: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
    "sockets",
    "connections",
];

/// What is remembered from one reading to the next.
pub(super) struct Values {
    started: Instant,
    read: Instant,
    maximum: usize,
    loads: [Load; LOADS.len()],
}

impl Values {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            started: now,
            read: now,
            maximum: 0,
            loads: Default::default(),
        }
    }

    /// Gives each topic below `$SYS/broker` with its value to `publish`.
    pub(super) fn read(
        &mut self,
        rooms: &Rooms,
        now: Instant,
        publish: &mut impl FnMut(&str, String),
    ) {
        publish(
            "version",
            concat!("causeway version ", env!("CARGO_PKG_VERSION")).to_owned(),
        );
        let uptime = now.saturating_duration_since(self.started);
        publish("uptime", format!("{} seconds", uptime.as_secs()));
        self.clients(rooms, publish);
        traffic(rooms, publish);
        let passed = now.saturating_duration_since(self.read);
        self.read = now;
        self.averages(rooms, passed, publish);
    }

    fn clients(&mut self, rooms: &Rooms, publish: &mut impl FnMut(&str, String)) {
        let count = rooms.registry.count();
        let connected = count.clients;
        let disconnected = rooms.router.disconnected();
        let total = connected + disconnected;
        self.maximum = self.maximum.max(total);
        let expired = rooms.metrics.traffic.sessions_expired.get();
        let census = rooms.router.census();
        let retained = rooms.retain.size();
        let stored = retained.messages + count.waiting.messages;
        for (topic, value) in [
            ("clients/connected", connected),
            ("clients/disconnected", disconnected),
            ("clients/active", connected),
            ("clients/inactive", disconnected),
            ("clients/total", total),
            ("clients/maximum", self.maximum),
            ("subscriptions/count", census.subscriptions),
            ("shared_subscriptions/count", census.shared_subscriptions),
            ("retained messages/count", retained.messages),
            ("messages/inflight", count.in_flight),
            ("messages/stored", stored),
            ("store/messages/count", stored),
            ("store/messages/bytes", retained.bytes + count.waiting.bytes),
        ] {
            publish(topic, value.to_string());
        }
        publish("clients/expired", expired.to_string());
    }

    fn averages(
        &mut self,
        rooms: &Rooms,
        passed: Duration,
        publish: &mut impl FnMut(&str, String),
    ) {
        for ((name, count), load) in LOADS.into_iter().zip(counts(rooms)).zip(&mut self.loads) {
            let averages = load.add(count, passed);
            for ((span, _), average) in SPANS.into_iter().zip(averages) {
                publish(&format!("load/{name}/{span}"), format!("{average:.2}"));
            }
        }
    }
}

/// In the order of [`LOADS`].
fn counts(rooms: &Rooms) -> [u64; LOADS.len()] {
    let metrics = &rooms.metrics;
    let flows = &metrics.traffic.flows;
    let [received, sent, dropped] = metrics.publishes();
    [
        flows.total(Flow::OthersReceived) + received,
        flows.total(Flow::OthersSent) + sent,
        received,
        sent,
        dropped,
        flows.total(Flow::BytesReceived),
        flows.total(Flow::BytesSent),
        metrics.connections_total.total(),
        metrics.traffic.connects.get(),
    ]
}

fn traffic(rooms: &Rooms, publish: &mut impl FnMut(&str, String)) {
    let [
        messages_received,
        messages_sent,
        received,
        sent,
        dropped,
        bytes_received,
        bytes_sent,
        ..,
    ] = counts(rooms);
    let flows = &rooms.metrics.traffic.flows;
    for (topic, value) in [
        ("messages/received", messages_received),
        ("messages/sent", messages_sent),
        ("publish/messages/received", received),
        ("publish/messages/sent", sent),
        ("publish/messages/dropped", dropped),
        ("publish/bytes/received", flows.total(Flow::PayloadReceived)),
        ("publish/bytes/sent", flows.total(Flow::PayloadSent)),
        ("bytes/received", bytes_received),
        ("bytes/sent", bytes_sent),
    ] {
        publish(topic, value.to_string());
    }
}
