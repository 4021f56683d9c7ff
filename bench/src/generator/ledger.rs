//! Which deliveries are new, which were overtaken by a later message, and which came before.

use std::collections::HashSet;

/// What a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// The first copy, but after a later message of the same publisher.
    Late,
    Again,
}

/// Gaps remembered at most; a broker that loses more than that is not measured any more.
const MOST_GAPS: usize = 4_000_000;

/// For subscribers that get every message of their publishers: the next number of each pair, and
/// what is missing before it.
#[derive(Debug, Default)]
pub(crate) struct Every {
    next: Vec<Vec<u32>>,
    missing: HashSet<(usize, usize, u32)>,
}

impl Every {
    /// For so many subscribers to so many publishers each.
    pub(crate) fn new(subscribers: usize, publishers: usize) -> Self {
        Self {
            next: vec![vec![0; publishers]; subscribers],
            missing: HashSet::new(),
        }
    }

    /// Takes down a delivery; `None` if there is no such pair.
    pub(crate) fn take(
        &mut self,
        subscriber: usize,
        publisher: usize,
        number: u32,
    ) -> Option<Verdict> {
        let next = self.next.get_mut(subscriber)?.get_mut(publisher)?;
        if number == *next {
            *next = number.wrapping_add(1);
            return Some(Verdict::New);
        }
        if number < *next {
            let was_missing = self.missing.remove(&(subscriber, publisher, number));
            return Some(if was_missing {
                Verdict::Late
            } else {
                Verdict::Again
            });
        }
        let gap = *next..number;
        *next = number.wrapping_add(1);
        for number in gap {
            if self.missing.len() >= MOST_GAPS {
                break;
            }
            self.missing.insert((subscriber, publisher, number));
        }
        Some(Verdict::New)
    }
}

/// For the members of a shared subscription: copies over all members, order within each.
#[derive(Debug, Default)]
pub(crate) struct Group {
    next: Vec<Vec<u32>>,
    /// One bit per message, for each publisher.
    seen: Vec<Vec<u64>>,
}

impl Group {
    /// For so many members and publishers.
    pub(crate) fn new(members: usize, publishers: usize) -> Self {
        Self {
            next: vec![vec![0; publishers]; members],
            seen: vec![Vec::new(); publishers],
        }
    }

    /// Takes down a delivery; `None` if there is no such member or publisher.
    pub(crate) fn take(&mut self, member: usize, publisher: usize, number: u32) -> Option<Verdict> {
        let next = self.next.get_mut(member)?.get_mut(publisher)?;
        let seen = self.seen.get_mut(publisher)?;
        if !mark(seen, number as usize) {
            return Some(Verdict::Again);
        }
        if number < *next {
            return Some(Verdict::Late);
        }
        *next = number.wrapping_add(1);
        Some(Verdict::New)
    }
}

/// Sets a bit. False: it was set.
pub(crate) fn mark(bits: &mut Vec<u64>, number: usize) -> bool {
    let (word, bit) = (number / 64, 1_u64 << (number % 64));
    if bits.len() <= word {
        bits.resize((word + 1).next_power_of_two(), 0);
    }
    match bits.get_mut(word) {
        Some(word) if *word & bit == 0 => {
            *word |= bit;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};

    #[test]
    fn a_subscriber_to_everything_sees_what_is_late_and_what_comes_again() {
        let mut every = Every::new(2, 2);
        let seen = [0, 1, 4, 2, 2, 1, 4, 5, 3].map(|number| every.take(0, 0, number).unwrap());
        assert_eq!(seen, [New, New, New, Late, Again, Again, Again, New, Late]);
        assert!(every.missing.is_empty());
    }

    #[test]
    fn pairs_are_apart_and_strangers_are_told() {
        let mut every = Every::new(2, 2);
        assert_eq!(every.take(0, 0, 0), Some(New));
        assert_eq!(every.take(1, 1, 0), Some(New));
        assert_eq!(every.take(1, 0, 3), Some(New));
        assert_eq!(every.missing.len(), 3);
        assert_eq!(every.take(2, 0, 0), None);
        assert_eq!(every.take(0, 2, 0), None);
    }

    #[test]
    fn a_group_shares_copies_but_each_member_has_its_own_order() {
        let mut group = Group::new(2, 1);
        assert_eq!(group.take(0, 0, 0), Some(New));
        assert_eq!(group.take(1, 0, 1), Some(New));
        assert_eq!(group.take(0, 0, 3), Some(New)); // the gap belongs to the other member
        assert_eq!(group.take(0, 0, 2), Some(Late));
        assert_eq!(group.take(1, 0, 3), Some(Again));
        assert_eq!(group.take(1, 0, 200), Some(New));
        assert_eq!(group.take(0, 1, 0), None);
    }
}
