//! Averages per minute, as Mosquitto makes them: exponential, over 1, 5 and 15 minutes.

use std::time::Duration;

/// A counter and what it came to per minute.
#[derive(Debug, Default)]
pub(super) struct Load {
    counted: u64,
    averages: [f64; 3],
}

/// The averages with the ends of their topics.
pub(super) const SPANS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

impl Load {
    /// The counter stands at `count` now, `passed` after the last time.
    pub(super) fn add(&mut self, count: u64, passed: Duration) -> [f64; 3] {
        let seconds = passed.as_secs_f64();
        if seconds > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "an average")]
            let per_minute = count.saturating_sub(self.counted) as f64 * 60.0 / seconds;
            self.counted = count;
            for (average, (_, span)) in self.averages.iter_mut().zip(SPANS) {
                *average = per_minute + (-seconds / span).exp() * (*average - per_minute);
            }
        }
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What mosquitto 2.0.11 published with `sys_interval 1` for one PUBLISH in the second second:
    /// 0.98 in its 1st, 0.95 and 0.92 two and four seconds later.
    #[test]
    fn averages_are_those_of_mosquitto() {
        let mut load = Load::default();
        let mut seconds = |count, times: u32| {
            let mut averages = [0.0; 3];
            for _ in 0..times {
                averages = load.add(count, Duration::from_secs(1));
            }
            averages.map(|average| format!("{average:.2}"))
        };
        seconds(0, 1);
        assert_eq!(seconds(1, 1), ["0.99", "0.20", "0.07"]);
        assert_eq!(seconds(1, 1), ["0.98", "0.20", "0.07"]);
        assert_eq!(seconds(1, 2), ["0.94", "0.20", "0.07"]);
    }

    #[test]
    fn a_steady_rate_is_the_average_in_the_end() {
        let mut load = Load::default();
        let mut averages = [0.0; 3];
        for second in 1..10_000 {
            averages = load.add(second * 7, Duration::from_secs(1));
        }
        for average in averages {
            assert!((average - 420.0).abs() < 0.1, "{averages:?}");
        }
    }
}
