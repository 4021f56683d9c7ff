//! Packets to bytes.
use crate::{EncodeError, Packet, ProtocolVersion, PublishHeader};
use bytes::BytesMut;

/// Appends `packet`.
///
/// # Errors
///
/// [`EncodeError`]; the buffer is then as before.
pub fn encode(
    packet: &Packet,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let _ = (packet, version, buffer);
    Ok(())
}

/// Appends everything but the payload.
///
/// # Errors
///
/// [`EncodeError`]; the buffer is then as before.
pub fn encode_publish_header(
    header: &PublishHeader<'_>,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let _ = (header, version, buffer);
    Ok(())
}

/// Size of the whole packet in bytes, payload included.
#[must_use]
pub fn publish_size(header: &PublishHeader<'_>, version: ProtocolVersion) -> usize {
    let _ = version;
    header.payload_bytes
}
