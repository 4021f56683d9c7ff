//! What a session subscribes to, in as few bytes as can be.

use std::collections::BTreeMap;

use ibc::StoredSubscription;
use mqtt::Str;

use super::tree::PlaceId;

/// The filters of a session.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Where its subscriptions stand in the tree, in order.
    places: Vec<PlaceId>,
    /// Its shared subscriptions, by `$share/{name}/{filter}`.
    pub(super) shared: BTreeMap<Str, StoredSubscription>,
}

impl Filters {
    pub(super) const fn places(&self) -> &[PlaceId] {
        self.places.as_slice()
    }

    pub(super) fn has(&self, place: PlaceId) -> bool {
        self.places.binary_search(&place).is_ok()
    }

    /// Returns false if it was there.
    pub(super) fn insert(&mut self, place: PlaceId) -> bool {
        let Err(at) = self.places.binary_search(&place) else {
            return false;
        };
        self.places.insert(at, place);
        true
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, place: PlaceId) -> bool {
        let Ok(at) = self.places.binary_search(&place) else {
            return false;
        };
        self.places.remove(at);
        true
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() + self.shared.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
