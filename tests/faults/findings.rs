//! What the machine itself sees that must not happen, beside what the checker finds.

use std::sync::{Arc, Mutex, PoisonError};

/// A list that all parts of the machine write to. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Findings(Arc<Mutex<Vec<String>>>);

impl Findings {
    /// Adds one.
    pub fn add(&self, text: impl Into<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text.into());
    }

    /// All so far.
    pub fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
