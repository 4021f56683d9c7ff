//! How quickly connections are accepted, on all listeners together.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

/// Lets so many through per second, and as many at once after a pause.
pub(crate) struct Pace {
    /// Nothing: no limit.
    interval: Option<Duration>,
    /// When the next one is due, if none came early.
    due: Mutex<Instant>,
}

impl Pace {
    /// `rate` per second; 0: no limit.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            interval: (rate > 0).then(|| Duration::from_secs(1) / rate),
            due: Mutex::new(Instant::now()),
        }
    }

    /// Counts one, and returns until when the next one has to wait.
    fn step(&self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        let burst = Duration::from_secs(1);
        let earliest = now.checked_sub(burst).unwrap_or(now);
        // Nothing that holds it can panic.
        let mut due = self.due.lock().ok()?;
        *due = (*due).max(earliest) + interval;
        (*due > now).then_some(*due)
    }

    /// Returns when the next connection may be accepted after one that was.
    pub(super) async fn wait(&self) {
        if let Some(due) = self.step(Instant::now()) {
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_them_passes_at_once_and_then_the_rate_holds() {
        let pace = Pace::new(10);
        let now = Instant::now() + Duration::from_secs(60);
        let at_once = (0..100).take_while(|_| pace.step(now).is_none()).count();
        assert_eq!(at_once, 10);
        let later = now + Duration::from_millis(450);
        let at_once = (0..100).take_while(|_| pace.step(later).is_none()).count();
        assert_eq!(at_once, 3, "one of four was let in early");
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let pace = Pace::new(0);
        assert!((0..1000).all(|_| pace.step(Instant::now()).is_none()));
    }
}
