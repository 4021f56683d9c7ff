//! Nodes that give no sign of life although their lease goes on: each is looked at twice.
//!
//! A living node whose connections all broke at once has another within this time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{Member, NodeId};

/// Between the two looks.
const GAP: Duration = Duration::from_millis(250);
/// A first look is of no use any more after this time.
const STALE: Duration = Duration::from_secs(1);

/// The first looks.
#[derive(Debug, Default)]
pub(super) struct Absences(Mutex<HashMap<NodeId, Instant>>);

impl Absences {
    /// Notes who was absent when all members were looked at: so one gap is enough for several.
    pub(super) fn note(&self, members: &[Member]) {
        self.note_at(members, Instant::now());
    }

    fn note_at(&self, members: &[Member], now: Instant) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let absent = members.iter().filter(|member| member.is_absent);
        *looks = absent
            .map(|member| (member.node, looks.get(&member.node).copied().unwrap_or(now)))
            .collect();
    }

    /// Returns when it is time for the second look at `node`, which is absent now. Cancel safe.
    pub(super) async fn second_look(&self, node: NodeId) {
        let at = self.second_look_at(node, Instant::now());
        sleep_until(at).await;
    }

    fn second_look_at(&self, node: NodeId, now: Instant) -> Instant {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = looks.entry(node).or_insert(now);
        if now.duration_since(*first) >= STALE {
            *first = now;
        }
        *first + GAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeState;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    fn absent(node: NodeId) -> Member {
        Member {
            node,
            name: String::new(),
            version: String::new(),
            state: NodeState::Live,
            is_expired: false,
            is_absent: true,
        }
    }

    #[test]
    fn the_second_look_comes_a_gap_after_the_first() {
        let absences = Absences::default();
        let start = Instant::now();
        absences.note_at(&[absent(ONE)], start);
        let later = start + GAP / 2;
        assert_eq!(absences.second_look_at(ONE, later), start + GAP);
        assert_eq!(absences.second_look_at(TWO, later), later + GAP);
    }

    #[test]
    fn a_first_look_is_forgotten_with_time_and_when_the_node_is_back() {
        let absences = Absences::default();
        let start = Instant::now();
        absences.note_at(&[absent(ONE), absent(TWO)], start);
        let later = start + GAP;
        absences.note_at(&[absent(TWO)], later);
        assert_eq!(absences.second_look_at(TWO, later), later);
        assert_eq!(absences.second_look_at(ONE, later), later + GAP);
        let late = start + STALE;
        assert_eq!(absences.second_look_at(TWO, late), late + GAP);
    }
}
