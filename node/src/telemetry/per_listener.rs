//! Metrics that have the label `listener`, and the count of open sockets that one of them shows.

use std::sync::Arc;

use prometheus::{
    IntCounter, IntGauge,
    core::{GenericCounter, GenericGauge, MetricVec, MetricVecBuilder},
};

use super::Metrics;
use crate::config::Kind;

/// One metric for each listener.
pub(crate) struct PerListener<M>([M; Kind::ALL.len()]);

impl<M> PerListener<M> {
    pub(super) fn new<B: MetricVecBuilder<M = M>>(metrics: &MetricVec<B>) -> Self
    where
        M: prometheus::core::Metric,
    {
        Self(Kind::ALL.map(|kind| metrics.with_label_values(&[kind.label()])))
    }

    /// The one of `listener`.
    #[expect(
        clippy::indexing_slicing,
        reason = "a listener's value is its place in Kind::ALL"
    )]
    pub(crate) fn of(&self, listener: Kind) -> &M {
        &self.0[listener as usize]
    }
}

impl PerListener<IntCounter> {
    /// The sum of all listeners.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(GenericCounter::get).sum()
    }
}

impl PerListener<IntGauge> {
    /// The sum of all listeners.
    pub(crate) fn get(&self) -> i64 {
        self.0.iter().map(GenericGauge::get).sum()
    }
}

/// An open socket: counted as long as this value is there.
pub(crate) struct Seat {
    pub(crate) metrics: Arc<Metrics>,
    listener: Kind,
}

impl Seat {
    /// Counts one more socket of `listener`, unless `most` are open on all listeners together.
    pub(crate) fn take(metrics: &Arc<Metrics>, listener: Kind, most: i64) -> Option<Self> {
        metrics.sockets.of(listener).inc();
        let seat = Self {
            metrics: Arc::clone(metrics),
            listener,
        };
        (metrics.sockets.get() <= most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.sockets.of(self.listener).dec();
    }
}
