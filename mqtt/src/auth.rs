//! AUTH (section 3.15), of MQTT 5 only.

use std::fmt;

use bytes::Bytes;

use crate::connect::hidden;
use crate::{ReasonCode, Str};

/// An AUTH packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue or re-authenticate [MQTT-3.15.2-1].
    pub reason_code: ReasonCode,
    /// Its properties.
    pub properties: AuthProperties,
}

/// The properties of AUTH (section 3.15.2.2).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthProperties {
    /// Name of the method; absent only in the short form, which says no more than success.
    pub authentication_method: Option<Str>,
    /// What the method says.
    pub authentication_data: Option<Bytes>,
    /// For people who diagnose.
    pub reason_string: Option<Str>,
    /// The sender's own names and values.
    pub user_properties: Vec<(Str, Str)>,
}

impl AuthProperties {
    /// Whether there is no property at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authentication_method.is_none()
            && self.authentication_data.is_none()
            && self.reason_string.is_none()
            && self.user_properties.is_empty()
    }
}

/// Never shows the authentication data.
impl fmt::Debug for AuthProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthProperties")
            .field("authentication_method", &self.authentication_method)
            .field(
                "authentication_data",
                &hidden(self.authentication_data.as_ref()),
            )
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
