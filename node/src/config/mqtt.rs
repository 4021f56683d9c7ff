//! The table `mqtt`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::Number;

/// The highest value of [`Mqtt::max_topic_levels`]: what walks the levels of a topic uses the
/// stack, so whatever comes from elsewhere (another node, the database) is held against this.
pub const MOST_TOPIC_LEVELS: usize = 512;

/// What the protocol leaves to the broker. What limits a client is announced in CONNACK, where MQTT
/// 5 has a property for it.
///
/// All nodes of a cluster should have the same values: a client meets those of the node that it
/// connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
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
    /// Seconds of keep-alive imposed on MQTT 5 clients, which CONNACK tells; -1: as each asks;
    /// 0 to 65 535. MQTT 3 clients always have their own.
    pub server_keep_alive: i64,
    /// Highest QoS of a PUBLISH from a client: 0, 1 or 2. SUBSCRIBE may still ask for more.
    pub maximum_qos: u8,
    /// Whether messages may be retained; if not, a PUBLISH with RETAIN ends the connection with 0x9A
    /// [MQTT-3.2.2-14], such a Will is refused [MQTT-3.2.2-13], and SUBSCRIBE finds none.
    pub retain_available: bool,
    /// Whether topic filters may have wildcards; if not, DISCONNECT 0xA2 (section 3.2.2.3.11), in
    /// MQTT 3 a failure in SUBACK [MQTT3-3.8.3-2].
    pub wildcard_subscription_available: bool,
    /// Whether subscriptions may have identifiers; if not, DISCONNECT 0xA1 (section 3.2.2.3.12).
    pub subscription_identifiers_available: bool,
    /// Whether `$share/…` may be subscribed to; if not, DISCONNECT 0x9E (section 3.2.2.3.13), in MQTT
    /// 3 a failure in SUBACK.
    pub shared_subscription_available: bool,
    /// Longest client identifier in bytes, 23 [MQTT-3.1.3-5] to 65 535; a longer one is refused with
    /// 0x85, in MQTT 3 with 2.
    pub max_client_id_bytes: u16,
    /// Most levels of a topic name or filter, 1 to 512. More: DISCONNECT 0x90, in SUBACK 0x8F, for a
    /// Will CONNACK 0x90.
    pub max_topic_levels: u16,
    /// Most subscriptions of one client, 1 to 10 000 000, those of a resumed session included; more
    /// are refused with 0x97 in SUBACK. Exact.
    pub max_subscriptions_per_client: u32,
    /// QoS 1 and 2 messages on their way to one client, 1 to 2 048; the client's Receive Maximum
    /// may lower it.
    pub max_inflight: u16,
    /// Most messages that wait for one client, 1 to 10 000 000, those in the database included;
    /// beyond it [`Mqtt::queue_drop_policy`] decides. Exact for what waits in memory. What waits for
    /// a stored session in the database alone is cut back whenever it has grown by a quarter of the
    /// limit, and before the client gets any of it.
    pub max_queued_messages: u32,
    /// The same in bytes of topic, payload and properties, 1 024 to 1 TiB; a message alone always has
    /// room. As much again may be on its way to the client, sent and not acknowledged.
    pub max_queued_bytes: u64,
    /// Which message goes when too much waits for a client.
    pub queue_drop_policy: DropPolicy,
    /// Most retained messages in the cluster, 1 to 100 000 000, without `$SYS`. A PUBLISH that would
    /// make one more is refused with 0x97 if it can be told so (QoS 1 and 2 in MQTT 5), and otherwise
    /// delivered and not retained. Each node counts what it knows: what others commit in the same
    /// moment may be on top.
    pub max_retained_messages: u32,
    /// The same in bytes of topic, payload and properties, 1 024 to 1 TiB.
    pub max_retained_bytes: u64,
    /// PUBLISH packets that a client may send per second on average, 0 (no limit) to 10 000 000. A
    /// quicker client is not read for a while, and so slowed down by TCP; nothing is dropped.
    pub max_publish_rate: u32,
    /// The same in bytes of whole PUBLISH packets per second, 0 (no limit) to 1 TiB.
    pub max_publish_byte_rate: u64,
    /// How much a client that was slower before may send at once: what the rates allow in this time,
    /// 10 ms to 1 h.
    #[serde(with = "humantime_serde")]
    pub publish_burst: Duration,
    /// How long a client may take from connecting to a complete CONNECT, and then to authenticate;
    /// and how long it waits for its session when the database does not answer or the node that has it
    /// does not hand it over, until it is refused with 0x88. 1 s to 10 min.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a client waits for an acknowledgement while the database takes nothing or another node
    /// does not answer, until it is disconnected with 0x89 (Server busy): PUBACK, PUBREC, PUBREL,
    /// PUBCOMP, SUBACK, UNSUBACK. It repeats when it is back. 1 s to 24 h.
    #[serde(with = "humantime_serde")]
    pub acknowledge_timeout: Duration,
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
            retain_available: true,
            wildcard_subscription_available: true,
            subscription_identifiers_available: true,
            shared_subscription_available: true,
            max_client_id_bytes: 65_535,
            max_topic_levels: 128,
            max_subscriptions_per_client: 10_000,
            max_inflight: 1024,
            max_queued_messages: 100_000,
            max_queued_bytes: 64 << 20,
            queue_drop_policy: DropPolicy::Qos0First,
            max_retained_messages: 1_000_000,
            max_retained_bytes: 1 << 30,
            max_publish_rate: 0,
            max_publish_byte_rate: 0,
            publish_burst: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(10),
            acknowledge_timeout: Duration::from_secs(300),
        }
    }
}

/// Which message goes when too much waits for a client. Each is counted in
/// `causeway_messages_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropPolicy {
    /// The one that has waited longest.
    Oldest,
    /// The one that comes.
    Newest,
    /// The QoS 0 message that has waited longest; if none waits, the one that comes.
    Qos0First,
}

impl Mqtt {
    /// Each number with its range.
    pub(super) fn numbers(&self) -> Vec<Number> {
        let tebibyte = 1 << 40;
        vec![
            (
                "mqtt.session_expiry_interval",
                self.session_expiry_interval,
                -1..=4_294_967_295,
            ),
            (
                "mqtt.server_receive_maximum",
                self.server_receive_maximum.into(),
                1..=65_535,
            ),
            (
                "mqtt.server_maximum_packet_size",
                self.server_maximum_packet_size.into(),
                2..=268_435_460,
            ),
            (
                "mqtt.server_topic_alias_maximum",
                self.server_topic_alias_maximum.into(),
                0..=65_535,
            ),
            (
                "mqtt.server_keep_alive",
                self.server_keep_alive,
                -1..=65_535,
            ),
            ("mqtt.maximum_qos", self.maximum_qos.into(), 0..=2),
            (
                "mqtt.max_client_id_bytes",
                self.max_client_id_bytes.into(),
                23..=65_535,
            ),
            (
                "mqtt.max_topic_levels",
                self.max_topic_levels.into(),
                1..=512,
            ),
            (
                "mqtt.max_subscriptions_per_client",
                self.max_subscriptions_per_client.into(),
                1..=10_000_000,
            ),
            ("mqtt.max_inflight", self.max_inflight.into(), 1..=2048),
            (
                "mqtt.max_queued_messages",
                self.max_queued_messages.into(),
                1..=10_000_000,
            ),
            (
                "mqtt.max_queued_bytes",
                signed(self.max_queued_bytes),
                1024..=tebibyte,
            ),
            (
                "mqtt.max_retained_messages",
                self.max_retained_messages.into(),
                1..=100_000_000,
            ),
            (
                "mqtt.max_retained_bytes",
                signed(self.max_retained_bytes),
                1024..=tebibyte,
            ),
            (
                "mqtt.max_publish_rate",
                self.max_publish_rate.into(),
                0..=10_000_000,
            ),
            (
                "mqtt.max_publish_byte_rate",
                signed(self.max_publish_byte_rate),
                0..=tebibyte,
            ),
        ]
    }

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

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
