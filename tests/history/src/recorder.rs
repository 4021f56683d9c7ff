//! Where clients write down what happens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{Entry, Happened};

/// All entries, in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Times never fall.
    pub entries: Vec<Entry>,
}

/// Writes a history that many clients share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    start: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            entries: Arc::default(),
        }
    }
}

impl Recorder {
    /// Writes down what happened just now.
    pub fn note(&self, client: &str, connection: u32, what: Happened) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Entry {
            at: self.start.elapsed(),
            client: client.to_owned(),
            connection,
            what,
        });
    }

    /// What has been written so far.
    #[must_use]
    pub fn history(&self) -> History {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        History {
            entries: entries.clone(),
        }
    }
}
