//! The times that a verdict depends on.

use std::time::Duration;

/// How long a cluster may take for what MQTT sets no time to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// A connection that lives this long after SUBACK has got its retained messages; the server
    /// has seen an end of a connection, and an abandoned CONNECT has been handled or never will be.
    pub grace: Duration,
    /// For so long after its end a fault may still be the cause of a QoS 1 duplicate, of a Will that
    /// should not have come, or of a late one, and a PINGRESP may be that of a node which cannot know better.
    pub after_fault: Duration,
    /// What passes at most between the end of a connection together with its node and its Will, besides the
    /// Will Delay Interval: the lease, and then some.
    pub will_grace: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            after_fault: Duration::from_secs(10),
            will_grace: Duration::from_secs(10),
        }
    }
}
