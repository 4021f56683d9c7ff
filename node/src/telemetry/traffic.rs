//! What goes in and out, beside PUBLISH packets by QoS.

use prometheus::IntCounter;

use super::metrics::Builder;

/// Counters of packets, payloads and connections.
pub(crate) struct Traffic {
    /// Packets received without PUBLISH.
    pub(crate) others_received: IntCounter,
    /// Packets sent without PUBLISH.
    pub(crate) others_sent: IntCounter,
    pub(crate) connects: IntCounter,
    pub(crate) payload_received_bytes: IntCounter,
    pub(crate) payload_sent_bytes: IntCounter,
    pub(crate) sessions_expired: IntCounter,
}

impl Traffic {
    pub(super) fn new(b: &Builder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            others_received: b.counter(
                "causeway_control_packets_received_total",
                "Packets other than PUBLISH received from clients.",
            )?,
            others_sent: b.counter(
                "causeway_control_packets_sent_total",
                "Packets other than PUBLISH sent to clients.",
            )?,
            connects: b.counter(
                "causeway_connects_total",
                "CONNECT packets received, refused ones included.",
            )?,
            payload_received_bytes: b.counter(
                "causeway_publish_payload_received_bytes_total",
                "Bytes of payload in PUBLISH packets received.",
            )?,
            payload_sent_bytes: b.counter(
                "causeway_publish_payload_sent_bytes_total",
                "Bytes of payload in PUBLISH packets sent.",
            )?,
            sessions_expired: b.counter(
                "causeway_sessions_expired_total",
                "Sessions without connection that this node has ended because their time was over.",
            )?,
        })
    }
}
