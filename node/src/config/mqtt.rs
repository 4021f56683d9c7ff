//! The table `mqtt`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the protocol leaves to the broker. What limits a client is announced in CONNACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Seconds a session outlives its connection; -1: as each CONNECT asks, otherwise the one
    /// value for all, 0 to 4 294 967 295.
    pub session_expiry_interval: i64,
    /// QoS 1 and 2 PUBLISH packets a client may have in flight, 1 to 65 535 [MQTT-3.3.4-7].
    pub server_receive_maximum: u16,
    /// Largest packet accepted, in bytes, fixed header included, 2 to 268 435 460.
    pub server_maximum_packet_size: u32,
    /// Topic Aliases a client may use, 0 to 65 535.
    pub server_topic_alias_maximum: u16,
    /// Seconds of keep-alive imposed on all clients; -1: as each asks; 0 to 65 535.
    pub server_keep_alive: i64,
    /// Highest QoS of a PUBLISH from a client: 0, 1 or 2. SUBSCRIBE may still ask for more.
    pub maximum_qos: u8,
    /// QoS 1 and 2 messages on their way to one client, 1 to 2 048; the client's Receive Maximum
    /// may lower it.
    pub max_inflight: u16,
    /// Messages waiting for one connected client in memory, 100 to 10 000 000. Beyond it those
    /// of a stored session wait in the database, others are dropped and counted.
    pub max_queued_messages: u32,
    /// How long a client may take from connecting to a complete CONNECT, 1 s to 10 min.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            session_expiry_interval: -1,
            server_receive_maximum: 65_535,
            server_maximum_packet_size: 268_435_460,
            server_topic_alias_maximum: 65_535,
            server_keep_alive: -1,
            maximum_qos: 2,
            max_inflight: 1024,
            max_queued_messages: 20_000,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl Mqtt {
    /// The Session Expiry Interval in force for a client that asked for `requested` seconds.
    #[must_use]
    pub fn session_expiry(&self, requested: u32) -> u32 {
        u32::try_from(self.session_expiry_interval).unwrap_or(requested)
    }

    /// The keep-alive in force for a client that asked for `requested` seconds; 0: none.
    #[must_use]
    pub fn keep_alive(&self, requested: u16) -> u16 {
        u16::try_from(self.server_keep_alive).unwrap_or(requested)
    }
}
