//! How quickly a client may publish.
//!
//! A client that is quicker is not read for a while; TCP slows it down then, and nothing is dropped.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Mqtt;

/// The rates of one client.
#[derive(Debug)]
pub(super) struct Throttle {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    until: Option<Instant>,
}

/// What may be spent at once, refilled all the time. A single packet may be larger: what is spent
/// beyond the level is a debt, which takes its time.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    most: f64,
    level: f64,
    filled: Instant,
}

impl Throttle {
    /// Nothing if the settings have no limit.
    pub(super) fn new(settings: &Mqtt, now: Instant) -> Option<Box<Self>> {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^40")]
        let bytes = settings.max_publish_byte_rate as f64;
        let bucket = |per_second| Bucket::new(per_second, settings.publish_burst, now);
        let messages = bucket(f64::from(settings.max_publish_rate));
        let bytes = bucket(bytes);
        (messages.is_some() || bytes.is_some()).then(|| {
            Box::new(Self {
                messages,
                bytes,
                until: None,
            })
        })
    }

    /// The client has sent a PUBLISH of `bytes`. Returns whether it must pause now.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^28")]
        let bytes = bytes as f64;
        let pauses = [(&mut self.messages, 1.0), (&mut self.bytes, bytes)]
            .into_iter()
            .filter_map(|(bucket, amount)| bucket.as_mut()?.spend(amount, now));
        self.until = pauses.max().map(|pause| now + pause);
        self.until.is_some()
    }

    /// Until when nothing is read.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Instant> {
        self.until = self.until.filter(|until| *until > now);
        self.until
    }
}

impl Bucket {
    fn new(per_second: f64, burst: Duration, now: Instant) -> Option<Self> {
        let most = (per_second * burst.as_secs_f64()).max(1.0);
        (per_second > 0.0).then_some(Self {
            per_second,
            most,
            level: most,
            filled: now,
        })
    }

    /// How long it takes until the debt is paid, if there is one.
    fn spend(&mut self, amount: f64, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.level = (self.level + passed * self.per_second).min(self.most) - amount;
        (self.level < 0.0).then(|| Duration::from_secs_f64(-self.level / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn settings(messages: u32, bytes: u64) -> Mqtt {
        Mqtt {
            max_publish_rate: messages,
            max_publish_byte_rate: bytes,
            publish_burst: Duration::from_secs(2),
            ..Mqtt::default()
        }
    }

    #[test]
    fn without_rates_there_is_none() {
        assert!(Throttle::new(&settings(0, 0), Instant::now()).is_none());
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut throttle = Throttle::new(&settings(10, 0), start).unwrap();
        for _ in 0..20 {
            assert!(!throttle.spend(1_000_000, start));
        }
        assert!(throttle.spend(1, start));
        let pause = throttle.pause(start).unwrap() - start;
        assert!(pause.abs_diff(Duration::from_millis(100)) < Duration::from_millis(1));
        let later = start + Duration::from_millis(101);
        assert_eq!(throttle.pause(later), None);
        assert!(throttle.spend(1, later));
        // A long rest allows no more than the burst.
        let later = start + Duration::from_secs(1000);
        let allowed = (0..100).take_while(|_| !throttle.spend(1, later)).count();
        assert_eq!(allowed, 20);
    }

    #[test]
    fn a_packet_larger_than_the_burst_is_a_debt() {
        let start = Instant::now();
        let mut throttle = Throttle::new(&settings(1000, 100), start).unwrap();
        assert!(throttle.spend(1200, start));
        let pause = throttle.pause(start).unwrap() - start;
        assert!(pause.abs_diff(Duration::from_secs(10)) < Duration::from_millis(1));
    }
}
