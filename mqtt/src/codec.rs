//! Packets from bytes and to bytes.
//!
//! [`Decoder`] takes packets off a read buffer; strings and payloads are slices of that
//! buffer. [`encode`] appends a packet to a write buffer, and [`encode_publish_header`] a
//! PUBLISH without its payload, so that the payload need not be copied. Neither waits,
//! logs or keeps time.

mod decoder;
mod encode;
mod error;

pub use decoder::{Decoder, Side};
pub use encode::{encode, encode_publish_header, publish_size};
pub use error::{DecodeError, EncodeError};

/// Largest packet that MQTT can express: 268 435 455 bytes after a fixed header of 5.
pub const MAXIMUM_PACKET_SIZE_BYTES: u32 = 268_435_460;
