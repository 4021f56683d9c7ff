//! What is wrong with a packet.
use crate::{PacketType, ReasonCode};

/// Why bytes are not a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub struct DecodeError {
    packet: Option<PacketType>,
}

impl DecodeError {
    /// What the peer is told.
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        ReasonCode::MalformedPacket
    }
    /// The kind of packet, if known.
    #[must_use]
    pub const fn packet(&self) -> Option<PacketType> {
        self.packet
    }
    /// A short word for metrics, from a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        "malformed"
    }
}

/// Why a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than MQTT can express.
    #[error("packet is longer than 268435460 bytes")]
    TooLarge,
}
