//! The figures of a run of messages.

use super::Run;
use crate::{
    cpu::{Reading, Usage},
    report::Figures,
};

impl Run<'_> {
    pub(super) fn figures(
        &self,
        before: &Reading,
        after: &Reading,
        peak: [f64; 2],
        drain: f64,
    ) -> Figures {
        let usage: Usage = after.since(before);
        let (seen, seconds) = (&self.seen, usage.seconds);
        let delivered = seen.delivered as f64;
        let [broker_us, helper_us] = self.broker.costs(&usage, delivered);
        let aside = match self.broker.bystanders_at.is_empty() {
            true => f64::NAN,
            false => usage.bystanders * 1e6 / delivered,
        };
        let (expected, arrived) = (self.expected(), self.delivered());
        let [peak_all, peak_largest] = peak;
        Figures(vec![
            ("measured_s", seconds),
            ("sent_per_s", seen.sent as f64 / seconds),
            ("delivered_per_s", delivered / seconds),
            ("mb_per_s", seen.bytes as f64 / seconds / 1e6),
            ("expected", expected as f64),
            ("delivered", arrived as f64),
            ("lost", expected.saturating_sub(arrived) as f64),
            ("dups", seen.repeated as f64),
            ("out_of_order", seen.late as f64),
            ("alien", seen.alien as f64),
            ("forgiven", seen.forgiven as f64),
            ("unacked", self.unacknowledged() as f64),
            ("failures", self.problems.count as f64),
            ("lat_p50_ms", seen.delivery.quantile_ms(0.5)),
            ("lat_p90_ms", seen.delivery.quantile_ms(0.9)),
            ("lat_p99_ms", seen.delivery.quantile_ms(0.99)),
            ("lat_p999_ms", seen.delivery.quantile_ms(0.999)),
            ("lat_max_ms", seen.delivery.maximum_ms()),
            ("ack_p50_ms", seen.acknowledgement.quantile_ms(0.5)),
            ("ack_p99_ms", seen.acknowledgement.quantile_ms(0.99)),
            ("gen_lag_p99_ms", seen.lag.quantile_ms(0.99)),
            ("cpu_us_per_msg", broker_us),
            ("bystanders_us_per_msg", aside),
            ("aux_us_per_msg", helper_us),
            ("gen_us_per_msg", usage.generator * 1e6 / delivered),
            ("broker_cores", usage.brokers / seconds),
            ("gen_cores", usage.generator / seconds),
            ("other_cores", usage.others / seconds),
            ("steal_cores", usage.stolen / seconds),
            ("rss_peak_kb", peak_all),
            ("rss_largest_kb", peak_largest),
            ("drain_s", drain),
        ])
    }
}
