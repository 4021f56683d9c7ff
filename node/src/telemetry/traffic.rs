//! What goes in and out of this node, as the exporter shows it.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec};

use super::{
    flow::{Flow, Flows},
    metrics::Builder,
};

/// Counters of packets, payloads and connections.
pub(crate) struct Traffic {
    pub(crate) flows: Flows,
    /// What the exporter shows of each flow, brought up to date when it is asked.
    shown: Mutex<Vec<(Flow, IntCounter)>>,
    pub(crate) connects: IntCounter,
    pub(crate) sessions_expired: IntCounter,
}

impl Traffic {
    pub(super) fn new(b: &Builder) -> Result<Self, prometheus::Error> {
        let shown = Shown::new(b)?;
        let shown = Flow::ALL.map(|flow| (flow, shown.counter(flow)));
        Ok(Self {
            flows: Flows::default(),
            shown: Mutex::new(shown.to_vec()),
            connects: b.counter(
                "causeway_connects_total",
                "CONNECT packets received, refused ones included.",
            )?,
            sessions_expired: b.counter(
                "causeway_sessions_expired_total",
                "Sessions without connection that this node has ended because their time was over.",
            )?,
        })
    }

    /// Brings up to date what the exporter shows.
    pub(super) fn show(&self) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (flow, counter) in shown.iter() {
            let total = self.flows.total(*flow);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}

struct Shown {
    publish_received: IntCounterVec,
    publish_sent: IntCounterVec,
    others_received: IntCounter,
    others_sent: IntCounter,
    payload_received: IntCounter,
    payload_sent: IntCounter,
    bytes_received: IntCounter,
    bytes_sent: IntCounter,
}

impl Shown {
    fn new(b: &Builder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            publish_received: b.counters(
                "causeway_publish_received_total",
                "PUBLISH packets received from clients.",
                "qos",
            )?,
            publish_sent: b.counters(
                "causeway_publish_sent_total",
                "PUBLISH packets sent to clients.",
                "qos",
            )?,
            others_received: b.counter(
                "causeway_control_packets_received_total",
                "Packets other than PUBLISH received from clients.",
            )?,
            others_sent: b.counter(
                "causeway_control_packets_sent_total",
                "Packets other than PUBLISH sent to clients.",
            )?,
            payload_received: b.counter(
                "causeway_publish_payload_received_bytes_total",
                "Bytes of payload in PUBLISH packets received.",
            )?,
            payload_sent: b.counter(
                "causeway_publish_payload_sent_bytes_total",
                "Bytes of payload in PUBLISH packets sent.",
            )?,
            bytes_received: b.counter(
                "causeway_received_bytes_total",
                "Bytes received from clients.",
            )?,
            bytes_sent: b.counter("causeway_sent_bytes_total", "Bytes sent to clients.")?,
        })
    }

    fn counter(&self, flow: Flow) -> IntCounter {
        let of_qos = |counters: &IntCounterVec, qos: mqtt::Qos| {
            counters.with_label_values(&[qos.as_u8().to_string()])
        };
        match flow {
            Flow::PublishReceived(qos) => of_qos(&self.publish_received, qos),
            Flow::PublishSent(qos) => of_qos(&self.publish_sent, qos),
            Flow::OthersReceived => self.others_received.clone(),
            Flow::OthersSent => self.others_sent.clone(),
            Flow::PayloadReceived => self.payload_received.clone(),
            Flow::PayloadSent => self.payload_sent.clone(),
            Flow::BytesReceived => self.bytes_received.clone(),
            Flow::BytesSent => self.bytes_sent.clone(),
        }
    }
}
