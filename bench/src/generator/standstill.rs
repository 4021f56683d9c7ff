//! Notices when a count does not move any more.

use std::time::Duration;

/// For how long a count has been what it is.
pub(super) struct Standstill {
    count: u64,
    moved_at: u64,
}

impl Standstill {
    /// The count is 0 at `now`, in nanoseconds of the engine.
    pub(super) const fn new(now: u64) -> Self {
        Self {
            count: 0,
            moved_at: now,
        }
    }

    /// The count is `count` at `now`. Returns for how long it has been that.
    pub(super) const fn lasts(&mut self, count: u64, now: u64) -> Duration {
        if count != self.count {
            (self.count, self.moved_at) = (count, now);
        }
        Duration::from_nanos(now.saturating_sub(self.moved_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_anew_when_the_count_moves() {
        let mut standstill = Standstill::new(10);
        assert_eq!(standstill.lasts(0, 15), Duration::from_nanos(5));
        assert_eq!(standstill.lasts(1, 20), Duration::ZERO);
        assert_eq!(standstill.lasts(1, 27), Duration::from_nanos(7));
        assert_eq!(standstill.lasts(0, 30), Duration::ZERO, "either way");
    }
}
