//! When faults were under way.

use std::{collections::HashMap, time::Duration};

/// Times of the faults, merged where they overlap.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    open: HashMap<String, Vec<Duration>>,
    /// Beginning and end.
    spans: Vec<(Duration, Duration)>,
    /// The database lost what was not on its disk.
    crashes: Vec<(Duration, Duration)>,
    /// A node lost its memory, or its part in the cluster.
    deaths: Vec<(Duration, Duration)>,
    pub(crate) begun: u64,
}

impl Faults {
    /// A fault that is begun twice has to end twice; one that never does lasts for ever.
    pub(super) fn note(&mut self, text: &str, begins: bool, at: Duration) {
        if begins {
            self.begun += 1;
            self.open.entry(text.to_owned()).or_default().push(at);
        } else {
            let begun = self.open.get_mut(text).and_then(Vec::pop).unwrap_or(at);
            self.spans.push((begun, at));
            if starts(text, &["crash", "outage"]) {
                self.crashes.push((begun, at));
            }
            if starts(text, &["kill", "pause", "cut", "rolling"]) {
                self.deaths.push((begun, at));
            }
        }
    }

    pub(super) fn finish(&mut self) {
        let open = self.open.drain().flat_map(|(_, begun)| begun);
        self.spans.extend(open.map(|begun| (begun, Duration::MAX)));
        self.spans.sort_unstable();
        let mut merged: Vec<(Duration, Duration)> = Vec::new();
        for (begins, ends) in self.spans.drain(..) {
            match merged.last_mut() {
                Some((_, last)) if begins <= *last => *last = ends.max(*last),
                _ => merged.push((begins, ends)),
            }
        }
        self.spans = merged;
    }

    /// While the history is still being read: whether a fault is under way, or ended less than
    /// `after` before `from` or later.
    pub(super) fn is_near(&self, from: Duration, after: Duration) -> bool {
        let is_open = self.open.values().any(|begun| !begun.is_empty());
        let mut spans = self.spans.iter();
        is_open || spans.any(|(_, ends)| ends.saturating_add(after) >= from)
    }

    /// Whether a message of that time may have been lost on its way to a session that ends with its
    /// connection: the database crashed, and the node that would have sent it again died within
    /// `near` of that. It was sent not long before the first of the two, or before both were over.
    pub(crate) fn lost_both(&self, sent: Duration, near: Duration) -> bool {
        let pairs = self.crashes.iter().flat_map(|crash| {
            let deaths = self.deaths.iter();
            deaths.map(move |death| (*crash, *death))
        });
        let mut pairs = pairs.filter(|((begins, ends), (dies, lives))| {
            *dies <= ends.saturating_add(near) && *begins <= lives.saturating_add(near)
        });
        pairs.any(|((begins, ends), (dies, lives))| {
            sent.saturating_add(near) >= begins.min(dies) && sent <= ends.max(lives)
        })
    }

    /// Whether a fault was under way between the two, or ended less than `after` before `from`.
    pub(crate) fn trouble(&self, from: Duration, until: Duration, after: Duration) -> bool {
        let over = self
            .spans
            .partition_point(|(_, ends)| ends.saturating_add(after) < from);
        self.spans
            .get(over)
            .is_some_and(|(begins, _)| *begins <= until)
    }

    /// When the fault that is under way at a time ends; that time itself if none is.
    pub(crate) fn calm_after(&self, at: Duration) -> Duration {
        let over = self.spans.partition_point(|(_, ends)| *ends < at);
        match self.spans.get(over) {
            Some((begins, ends)) if *begins <= at => *ends,
            _ => at,
        }
    }

    /// The first time, not before `at`, from which no fault is under way for so long.
    pub(crate) fn calm_for(&self, at: Duration, length: Duration) -> Duration {
        let mut calm = at;
        let over = self.spans.partition_point(|(_, ends)| *ends < at);
        for (begins, ends) in self.spans.iter().skip(over) {
            if *begins > calm.saturating_add(length) {
                break;
            }
            calm = *ends;
        }
        calm
    }
}

fn starts(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.starts_with(word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Faults;

    #[test]
    fn only_a_crash_and_a_death_together_lose_both_copies() {
        let seconds = Duration::from_secs;
        let mut faults = Faults::default();
        let mut span = |text: &str, from, to| {
            faults.note(text, true, seconds(from));
            faults.note(text, false, seconds(to));
        };
        span("kill a", 10, 11);
        span("crash of the database", 30, 31);
        span("cut of b", 33, 35);
        span("resets", 60, 61);
        span("crash of the database", 61, 62);
        let lost = |at| faults.lost_both(seconds(at), seconds(5));
        assert!(!lost(10) && !lost(24) && !lost(36) && !lost(61));
        assert!(lost(25) && lost(31) && lost(35));
    }

    #[test]
    fn a_fault_is_near_until_some_time_after_its_end() {
        let seconds = Duration::from_secs;
        let mut faults = Faults::default();
        assert!(!faults.is_near(seconds(9), seconds(5)));
        faults.note("a", true, seconds(10));
        assert!(faults.is_near(seconds(9), seconds(5)));
        faults.note("a", false, seconds(14));
        assert!(faults.is_near(seconds(19), seconds(5)));
        assert!(!faults.is_near(seconds(20), seconds(5)));
    }

    #[test]
    fn overlapping_faults_are_one_trouble() {
        let seconds = Duration::from_secs;
        let mut faults = Faults::default();
        faults.note("a", true, seconds(10));
        faults.note("b", true, seconds(12));
        faults.note("a", false, seconds(14));
        faults.note("b", false, seconds(20));
        faults.note("c", true, seconds(100));
        faults.finish();
        let none = Duration::ZERO;
        assert!(!faults.trouble(seconds(1), seconds(9), none));
        assert!(faults.trouble(seconds(1), seconds(10), none));
        assert!(faults.trouble(seconds(16), seconds(17), none));
        assert!(!faults.trouble(seconds(21), seconds(22), none));
        assert!(faults.trouble(seconds(21), seconds(22), seconds(1)));
        assert!(!faults.trouble(seconds(22), seconds(30), seconds(1)));
        assert!(faults.trouble(seconds(200), seconds(200), none));
        assert_eq!(faults.calm_after(seconds(11)), seconds(20));
        assert_eq!(faults.calm_after(seconds(50)), seconds(50));
        assert_eq!(faults.calm_after(seconds(101)), Duration::MAX);
        assert_eq!(faults.calm_for(seconds(1), seconds(5)), seconds(1));
        assert_eq!(faults.calm_for(seconds(6), seconds(5)), seconds(20));
        assert_eq!(faults.calm_for(seconds(98), seconds(5)), Duration::MAX);
    }
}
