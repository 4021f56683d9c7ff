//! The table `store`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The embedded database of a node alone. Not used when `cluster.database_url` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file; its folder is created. Fixed until restart.
    pub path: PathBuf,
    /// `full`: what was acknowledged survives a power loss. `normal`: it survives the death of
    /// the process, but the last moments before a power loss may be lost. Fixed until restart.
    pub sync: Synchronous,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("var/causeway.db"),
            sync: Synchronous::Full,
        }
    }
}

/// When the embedded database waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// At every commit.
    Full,
    /// At checkpoints.
    Normal,
}

impl From<Synchronous> for ibc::sqlite::Synchronous {
    fn from(synchronous: Synchronous) -> Self {
        match synchronous {
            Synchronous::Full => Self::Full,
            Synchronous::Normal => Self::Normal,
        }
    }
}
