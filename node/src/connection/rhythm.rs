//! Whether it is worth while to wait a moment for more before a client is written to.

use std::time::Duration;

use tokio::time::Instant;

/// A client that gets something more often than this gets it in batches.
const BUSY: Duration = Duration::from_micros(100);

/// How quickly messages come for a client.
pub(super) struct Rhythm {
    woken: Instant,
    /// Messages that were taken out of the mailbox the last time.
    batch: usize,
}

impl Rhythm {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            woken: now,
            batch: 0,
        }
    }

    /// Something is in the mailbox. Returns whether more is to be expected at once: to wait for it costs a
    /// client that is alone more than it saves.
    pub(super) fn wake(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.woken);
        self.woken = now;
        self.batch > 1 || since < BUSY
    }

    /// So many messages were taken out.
    pub(super) const fn take(&mut self, messages: usize) {
        self.batch = messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_gets_much_is_made_to_wait() {
        let mut now = Instant::now();
        let mut rhythm = Rhythm::new(now);
        for _ in 0..3 {
            now += 2 * BUSY;
            assert!(!rhythm.wake(now));
            rhythm.take(1);
        }
        now += BUSY / 2;
        assert!(rhythm.wake(now), "two in a short time");
        for _ in 0..3 {
            rhythm.take(2);
            now += 2 * BUSY;
            assert!(rhythm.wake(now), "there were two at once");
        }
        rhythm.take(1);
        now += 2 * BUSY;
        assert!(!rhythm.wake(now));
    }
}
