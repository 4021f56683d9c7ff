//! Who a client is, and whether it may connect.
//!
//! Everybody may, as long as `auth.mode` is `disabled`; what cannot be checked is refused.

use mqtt::{Connect, ReasonCode};

/// A client that may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// It asks for an enhanced authentication that this broker does not have [MQTT-4.12.0-1].
    #[error("no such authentication method")]
    Method,
}

impl Denied {
    /// What CONNACK says.
    pub(crate) const fn reason_code(self) -> ReasonCode {
        match self {
            Self::Method => ReasonCode::BadAuthenticationMethod,
        }
    }
}

/// Lets a client in.
///
/// # Errors
///
/// [`Denied`] with the reason code for CONNACK.
pub(crate) fn admit(packet: &Connect) -> Result<(), Denied> {
    match packet.properties.authentication_method {
        Some(_) => Err(Denied::Method),
        None => Ok(()),
    }
}
