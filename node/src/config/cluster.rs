//! The table `cluster`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The database that makes a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// `postgres://user:password@host:port/database`: this node joins the cluster in that
    /// database. Empty: this node is alone, on `store.path`. Fixed until restart.
    pub database_url: String,
    /// How long a silent node counts as alive, 1 s to 5 min. Renewed every third of it. Fixed
    /// until restart.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// Most connections of this node to the database, 4 to 100. Fixed until restart.
    pub max_connections: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            database_url: String::new(),
            lease: Duration::from_secs(5),
            max_connections: 8,
        }
    }
}
