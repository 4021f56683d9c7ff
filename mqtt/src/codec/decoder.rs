//! Packets out of a stream of bytes.
use crate::{DecodeError, Packet, ProtocolVersion};
use bytes::BytesMut;

/// Who is decoding, and therefore which packets may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Decodes what clients send.
    Server,
    /// Decodes what the server sends.
    Client,
}

/// Takes packets off a read buffer.
#[derive(Debug, Clone)]
pub struct Decoder {
    side: Side,
    version: Option<ProtocolVersion>,
    maximum_packet_size: u32,
}

impl Decoder {
    /// A decoder for one connection.
    #[must_use]
    pub const fn new(side: Side, maximum_packet_size: u32) -> Self {
        Self {
            side,
            version: None,
            maximum_packet_size,
        }
    }
    /// The version, once known.
    #[must_use]
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }
    /// Sets the version.
    pub const fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }
    /// Sets the largest packet, in bytes, fixed header included.
    pub const fn set_maximum_packet_size(&mut self, bytes: u32) {
        self.maximum_packet_size = bytes;
    }
    /// Takes the next packet.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let _ = (buffer, self.side, self.maximum_packet_size);
        Ok(None)
    }
}
