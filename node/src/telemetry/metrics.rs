//! Every metric, with its labels resolved once, so that the hot path only adds.

use mqtt::Qos;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

use super::{
    Flow, PerListener,
    limits::{Limit, LimitCounters},
    traffic::Traffic,
};
use crate::config::Kind;

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Too much waits for the client.
    QueueFull,
    /// Too much waits for another node, and the message is QoS 0.
    ForwardFull,
    /// It expired before it could be sent [MQTT-3.3.2-5].
    Expired,
    /// It is larger than the client accepts [MQTT-3.1.2-25].
    TooLarge,
    /// No member of the shared subscription could take it.
    NoMember,
    /// It was delivered but not retained: as much as may be is retained already.
    RetainedFull,
    /// A client published it to a topic of the broker itself, and could not be told.
    SysTopic,
}

impl Dropped {
    const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::ForwardFull,
        Self::Expired,
        Self::TooLarge,
        Self::NoMember,
        Self::RetainedFull,
        Self::SysTopic,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ForwardFull => "forward_full",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::NoMember => "no_member",
            Self::RetainedFull => "retained_full",
            Self::SysTopic => "sys_topic",
        }
    }
}

/// Every metric of this node.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: PerListener<IntGauge>,
    pub(crate) sockets: PerListener<IntGauge>,
    pub(crate) connections_total: PerListener<IntCounter>,
    pub(crate) tls_not_after: IntGauge,
    pub(crate) members: IntGauge,
    pub(crate) traffic: Traffic,
    retained: IntGauge,
    retained_bytes: IntGauge,
    pub(crate) is_ready: IntGauge,
    pub(crate) forwarded: IntCounter,
    pub(crate) frames_sent: IntCounter,
    pub(crate) frames_received: IntCounter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_retries: IntCounter,
    pub(crate) store_unavailable_since: IntGauge,
    pub(crate) wills: IntCounter,
    pub(crate) takeovers: IntCounter,
    pub(crate) keep_alive_timeouts: IntCounter,
    dropped: Vec<IntCounter>,
    refused: IntCounterVec,
    malformed: IntCounterVec,
    proxy_errors: IntCounter,
    handshakes_failed: IntCounterVec,
    tls_reloads: IntCounterVec,
    limits: LimitCounters,
}

pub(super) struct Builder(Registry);

impl Builder {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str) -> Result<PerListener<IntGauge>, prometheus::Error> {
        let gauges = self.add(IntGaugeVec::new(Opts::new(name, help), &["listener"])?)?;
        Ok(PerListener::new(&gauges))
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    ///
    /// [`prometheus::Error`] if two have one name.
    pub(crate) fn new(node_name: &str) -> Result<Self, prometheus::Error> {
        let b = Builder(Registry::new());
        let info = IntCounterVec::new(
            Opts::new("causeway_build_info", "Always 1; says what runs here."),
            &["version", "node"],
        )?;
        b.add(info.clone())?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), node_name])
            .inc();
        let dropped = b.counters(
            "causeway_messages_dropped_total",
            "Messages that were dropped for one subscriber, by reason.",
            "reason",
        )?;
        let commit_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "causeway_commit_seconds",
                "Time from sending a batch of changes to the database until it is durable.",
            )
            .buckets(prometheus::exponential_buckets(0.000_25, 2.0, 14)?),
        )?;
        Ok(Self {
            connections: b.gauges("causeway_connections", "Clients connected to this node.")?,
            sockets: b.gauges(
                "causeway_sockets",
                "Network connections open, those that have not said CONNECT included.",
            )?,
            connections_total: PerListener::new(&b.counters(
                "causeway_connections_total",
                "Network connections accepted.",
                "listener",
            )?),
            tls_not_after: b.gauge(
                "causeway_tls_certificate_not_after_seconds",
                "When the certificate of this node runs out, in seconds since 1970; 0 without TLS.",
            )?,
            handshakes_failed: b.add(IntCounterVec::new(
                Opts::new(
                    "causeway_handshakes_failed_total",
                    "Connections closed in the handshake below MQTT, by listener and reason.",
                ),
                &["listener", "reason"],
            )?)?,
            tls_reloads: b.counters(
                "causeway_tls_reloads_total",
                "Times that the certificate files were read again, by what came of it.",
                "result",
            )?,
            members: b.gauge(
                "causeway_members",
                "Nodes of the cluster that are not dead.",
            )?,
            traffic: Traffic::new(&b)?,
            limits: LimitCounters::new(&b.counters(
                "causeway_limits_met_total",
                "Times that a client met a limit of this broker and stayed connected, by limit.",
                "limit",
            )?),
            retained: b.gauge("causeway_retained_messages", "Retained messages known.")?,
            retained_bytes: b.gauge(
                "causeway_retained_bytes",
                "Bytes of topic, payload and properties of the retained messages known.",
            )?,
            is_ready: b.gauge("causeway_ready", "1 if this node takes clients.")?,
            forwarded: b.counter(
                "causeway_messages_forwarded_total",
                "Messages handed to other nodes for their connected subscribers.",
            )?,
            frames_sent: b.counter(
                "causeway_frames_sent_total",
                "Frames committed for other nodes.",
            )?,
            frames_received: b.counter(
                "causeway_frames_received_total",
                "Frames read from other nodes.",
            )?,
            commit_seconds: b.add(commit_seconds)?,
            commit_retries: b.counter(
                "causeway_commit_retries_total",
                "Writes to the database that failed and were repeated.",
            )?,
            store_unavailable_since: b.gauge(
                "causeway_store_unavailable_since_seconds",
                "Since when the database takes no changes, in seconds since 1970; 0 while it does.",
            )?,
            wills: b.counter("causeway_wills_published_total", "Wills published.")?,
            takeovers: b.counter(
                "causeway_takeovers_total",
                "Connections closed because their client connected again.",
            )?,
            keep_alive_timeouts: b.counter(
                "causeway_keep_alive_timeouts_total",
                "Connections closed because the client was silent.",
            )?,
            dropped: Dropped::ALL
                .map(|reason| dropped.with_label_values(&[reason.label()]))
                .to_vec(),
            refused: b.counters(
                "causeway_connects_refused_total",
                "CONNECT packets refused, by reason code.",
                "reason",
            )?,
            malformed: b.counters(
                "causeway_packets_malformed_total",
                "Packets that were malformed or broke the protocol, by what was wrong.",
                "reason",
            )?,
            proxy_errors: b.counter(
                "causeway_proxy_errors_total",
                "Connections closed for a missing or broken PROXY header.",
            )?,
            registry: b.0,
        })
    }

    pub(crate) fn drop_message(&self, reason: Dropped) {
        self.drop_messages(reason, 1);
    }

    pub(crate) fn drop_messages(&self, reason: Dropped, count: u64) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.inc_by(count);
        }
    }

    pub(crate) fn set_retained(&self, messages: usize, bytes: usize) {
        self.retained
            .set(i64::try_from(messages).unwrap_or(i64::MAX));
        self.retained_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn meet_limit(&self, limit: Limit) {
        self.limits.inc(limit);
    }

    /// PUBLISH packets received, PUBLISH packets sent, and messages dropped.
    pub(crate) fn publishes(&self) -> [u64; 3] {
        let of_each_qos = |flow: fn(Qos) -> Flow| {
            let each = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
            each.map(|qos| self.traffic.flows.total(flow(qos)))
                .iter()
                .sum()
        };
        [
            of_each_qos(Flow::PublishReceived),
            of_each_qos(Flow::PublishSent),
            self.dropped.iter().map(IntCounter::get).sum(),
        ]
    }

    /// `reason`: from the closed set of reason codes.
    pub(crate) fn refuse_connect(&self, reason: mqtt::ReasonCode) {
        self.refused
            .with_label_values(&[format!("0x{:02x}", reason.as_u8())])
            .inc();
    }

    /// `label`: from a closed set.
    pub(crate) fn reject_packet(&self, label: &'static str) {
        self.malformed.with_label_values(&[label]).inc();
    }

    /// `reason`: from a closed set.
    pub(crate) fn fail_handshake(&self, listener: Kind, reason: &'static str) {
        self.handshakes_failed
            .with_label_values(&[listener.label(), reason])
            .inc();
    }

    pub(crate) fn reload_tls(&self, is_good: bool) {
        let result = if is_good { "ok" } else { "failed" };
        self.tls_reloads.with_label_values(&[result]).inc();
    }

    pub(crate) fn proxy_error(&self) {
        self.proxy_errors.inc();
    }

    /// The Prometheus text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        self.traffic.show();
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        String::from_utf8(buffer).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
