//! How often clients meet the limits of this broker.

use prometheus::{IntCounter, IntCounterVec};

/// A limit that a client can meet without being sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// `mqtt.max_subscriptions_per_client`.
    Subscriptions,
    /// `mqtt.max_topic_levels`, in a SUBSCRIBE.
    TopicLevels,
    /// `mqtt.wildcard_subscription_available`, in MQTT 3.
    Wildcards,
    /// `mqtt.shared_subscription_available`, in MQTT 3.
    SharedSubscriptions,
    /// `mqtt.max_retained_messages` or `mqtt.max_retained_bytes`.
    Retained,
    /// `mqtt.max_publish_rate` or `mqtt.max_publish_byte_rate`.
    PublishRate,
    /// A PUBLISH to a topic of the broker itself.
    SysTopic,
}

impl Limit {
    const ALL: [Self; 7] = [
        Self::Subscriptions,
        Self::TopicLevels,
        Self::Wildcards,
        Self::SharedSubscriptions,
        Self::Retained,
        Self::PublishRate,
        Self::SysTopic,
    ];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Subscriptions => "subscriptions",
            Self::TopicLevels => "topic_levels",
            Self::Wildcards => "wildcards",
            Self::SharedSubscriptions => "shared_subscriptions",
            Self::Retained => "retained",
            Self::PublishRate => "publish_rate",
            Self::SysTopic => "sys_topic",
        }
    }
}

/// The limits that one client has met.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LimitsMet(u8);

impl LimitsMet {
    /// Adds one. Returns whether it is new.
    pub(crate) fn add(&mut self, limit: Limit) -> bool {
        let bit = 1_u8 << (limit as u8);
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

/// A counter for each limit.
pub(super) struct LimitCounters([IntCounter; Limit::ALL.len()]);

impl LimitCounters {
    pub(super) fn new(counters: &IntCounterVec) -> Self {
        Self(Limit::ALL.map(|limit| counters.with_label_values(&[limit.label()])))
    }

    pub(super) fn inc(&self, limit: Limit) {
        if let Some(counter) = self.0.get(limit as usize) {
            counter.inc();
        }
    }
}
