//! CONNACK (section 3.2).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use crate::{Qos, ReasonCode, Str};

/// A CONNACK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server has state for the client; written only with success
    /// [MQTT-3.2.2-6], and not in MQTT 3.1, which has no such flag.
    pub session_present: bool,
    /// In MQTT 3 written as the nearest of the return codes 0 to 5.
    pub reason_code: ReasonCode,
    /// What MQTT 5 adds; not written in MQTT 3.
    pub properties: Box<ConnAckProperties>,
}

impl ConnAck {
    /// A CONNACK without properties.
    #[must_use]
    pub fn new(session_present: bool, reason_code: ReasonCode) -> Self {
        Self {
            session_present,
            reason_code,
            properties: Box::default(),
        }
    }
}

/// The properties of CONNACK (section 3.2.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Seconds that the session really outlives its connection.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once; 65 535 if absent.
    pub receive_maximum: Option<NonZeroU16>,
    /// 0 or 1; QoS 2 if absent.
    pub maximum_qos: Option<Qos>,
    /// True if absent.
    pub retain_available: Option<bool>,
    /// Largest packet in bytes that the server takes; no limit if absent.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The name that the server gave to a client without one.
    pub assigned_client_identifier: Option<Str>,
    /// Highest topic alias that the server takes; 0 if absent.
    pub topic_alias_maximum: Option<u16>,
    /// For people who diagnose.
    pub reason_string: Option<Str>,
    /// The server's own names and values.
    pub user_properties: Vec<(Str, Str)>,
    /// True if absent.
    pub wildcard_subscription_available: Option<bool>,
    /// True if absent.
    pub subscription_identifiers_available: Option<bool>,
    /// True if absent.
    pub shared_subscription_available: Option<bool>,
    /// Seconds; replaces what the client asked for.
    pub server_keep_alive: Option<u16>,
    /// What response topics start with.
    pub response_information: Option<Str>,
    /// Another server to use.
    pub server_reference: Option<Str>,
    /// Name of the method of enhanced authentication.
    pub authentication_method: Option<Str>,
    /// Its data.
    pub authentication_data: Option<Bytes>,
}
