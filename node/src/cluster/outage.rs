//! Whether the database takes changes: told once when it stops, and once when it goes on.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use ibc::StoreError;
use prometheus::IntGauge;
use tracing::{error, info};

use crate::telemetry::chain;

/// Who writes all the time, and so knows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Witness {
    /// What must be durable. Repeats one batch until it succeeds.
    Lane,
    /// What goes to other nodes. Repeats until it succeeds, too.
    Frames,
    /// The lease. So small a change may succeed while the lane is refused room.
    Lease,
}

/// The present outage of the database, if there is one.
pub(crate) struct Outage {
    state: Mutex<State>,
    /// Seconds since 1970, or 0.
    gauge: IntGauge,
}

#[derive(Default)]
struct State {
    /// By [`Witness`].
    is_failing: [bool; 3],
    since: Option<Instant>,
}

impl Outage {
    pub(super) fn new(gauge: IntGauge) -> Self {
        Self {
            state: Mutex::default(),
            gauge,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one is going on. Then nobody else needs to complain.
    pub(crate) fn is_on(&self) -> bool {
        self.lock().since.is_some()
    }

    /// A change failed that will be repeated.
    pub(super) fn begin(&self, witness: Witness, error: &StoreError) {
        let mut state = self.lock();
        state.set(witness, true);
        if state.since.is_none() {
            state.since = Some(Instant::now());
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let seconds = now.map_or(1, |now| now.as_secs());
            self.gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
            error!(
                error = %chain(error),
                "the database takes no changes: acknowledgements that need it wait, everything else goes on"
            );
        }
    }

    /// A change succeeded.
    pub(super) fn end(&self, witness: Witness) {
        let mut state = self.lock();
        state.set(witness, false);
        if state.is_failing == [false; 3]
            && let Some(since) = state.since.take()
        {
            self.gauge.set(0);
            info!(
                seconds = since.elapsed().as_secs(),
                "the database takes changes again"
            );
        }
    }
}

impl State {
    fn set(&mut self, witness: Witness, is_failing: bool) {
        let [lane, frames, lease] = &mut self.is_failing;
        match witness {
            Witness::Lane => *lane = is_failing,
            Witness::Frames => *frames = is_failing,
            Witness::Lease => *lease = is_failing,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_until_everybody_who_saw_it_has_seen_its_end() {
        let gauge = IntGauge::new("since", "x").unwrap();
        let outage = Outage::new(gauge.clone());
        outage.end(Witness::Lane);
        assert!(!outage.is_on());
        outage.begin(Witness::Lane, &StoreError::Fenced);
        outage.begin(Witness::Lease, &StoreError::Fenced);
        assert!(outage.is_on() && gauge.get() > 1_600_000_000);
        outage.end(Witness::Lease);
        assert!(outage.is_on(), "the lane has not seen its end");
        outage.end(Witness::Lane);
        assert!(!outage.is_on());
        assert_eq!(gauge.get(), 0);
    }
}
