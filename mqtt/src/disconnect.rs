//! DISCONNECT (section 3.14).

use crate::{ReasonCode, Str};

/// A DISCONNECT packet. In MQTT 3 only clients send it, and it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why the connection ends.
    pub reason_code: ReasonCode,
    /// What MQTT 5 adds; not written in MQTT 3.
    pub properties: DisconnectProperties,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    #[must_use]
    pub fn new(reason_code: ReasonCode) -> Self {
        Self {
            reason_code,
            properties: DisconnectProperties::default(),
        }
    }
}

/// The properties of DISCONNECT (section 3.14.2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DisconnectProperties {
    /// Seconds; from clients only [MQTT-3.14.2-2].
    pub session_expiry_interval: Option<u32>,
    /// For people who diagnose.
    pub reason_string: Option<Str>,
    /// The sender's own names and values.
    pub user_properties: Vec<(Str, Str)>,
    /// Another server to use.
    pub server_reference: Option<Str>,
}

impl DisconnectProperties {
    /// Whether there is no property at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.session_expiry_interval.is_none()
            && self.reason_string.is_none()
            && self.user_properties.is_empty()
            && self.server_reference.is_none()
    }
}
