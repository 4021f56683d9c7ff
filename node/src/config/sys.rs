//! The table `sys`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the broker says about itself by MQTT, below `$SYS/broker`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sys {
    /// How often the values are looked at, 0 (no `$SYS` topics) to 24 h; those that have changed are
    /// published.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for Sys {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
        }
    }
}
