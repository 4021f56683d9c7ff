//! Quality of Service (section 4.3).

use std::fmt;

/// How often a message may arrive at its receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0: not acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: acknowledged with PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: acknowledged with PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

/// The number is not 0, 1 or 2 [MQTT-3.3.1-4].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("quality of service {0} does not exist")]
pub struct InvalidQos(pub u8);

impl Qos {
    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The level with this number, if there is one.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

impl TryFrom<u8> for Qos {
    type Error = InvalidQos;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        Self::from_u8(value).ok_or(InvalidQos(value))
    }
}

impl From<Qos> for u8 {
    fn from(qos: Qos) -> Self {
        qos.as_u8()
    }
}

/// `0`, `1` or `2`.
impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_u8(), f)
    }
}
