//! A log-linear histogram of nanoseconds: 64 linear steps per power of two, so an error below 1.6 %.

use std::time::Duration;

const STEP_BITS: u32 = 6;
const STEPS: u64 = 1 << STEP_BITS;
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) << STEP_BITS;

/// How often which time was seen.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    maximum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            maximum: 0,
        }
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - STEP_BITS;
    ((shift as usize + 1) << STEP_BITS) + ((value >> shift) & (STEPS - 1)) as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let (row, column) = (bucket >> STEP_BITS, bucket as u64 & (STEPS - 1));
    if row == 0 {
        return column;
    }
    let shift = row - 1;
    ((column + STEPS) << shift) + ((1 << shift) >> 1)
}

impl Histogram {
    /// Adds one time in nanoseconds.
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        if let Some(count) = self.buckets.get_mut(bucket(nanoseconds)) {
            *count += 1;
        }
        self.count += 1;
        self.maximum = self.maximum.max(nanoseconds);
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += count;
        }
        self.count += other.count;
        self.maximum = self.maximum.max(other.maximum);
    }

    /// The longest time, in milliseconds; NaN if there is none.
    pub(crate) fn maximum_ms(&self) -> f64 {
        self.quantile_ms(1.0)
    }

    /// The time that the share `quantile` of all stays below, in milliseconds; NaN if there is none.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        let wanted = (self.count as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let nanoseconds = found.map_or(self.maximum, middle).min(self.maximum);
        Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000 {
            histogram.add(value * 1000);
        }
        for quantile in [0.5, 0.9, 0.99, 1.0] {
            let (got, wanted) = (histogram.quantile_ms(quantile), quantile * 100.0);
            assert!((got - wanted).abs() / wanted < 0.016, "{got} {wanted}");
        }
    }

    #[test]
    fn every_value_is_near_the_middle_of_its_bucket() {
        for value in [0, 1, 63, 64, 65, 127, 128, 1000, 123_456_789, u64::MAX] {
            let found = middle(bucket(value)) as f64;
            assert!((found - value as f64).abs() <= value as f64 * 0.016 + 0.5);
        }
    }
}
