//! Packets from bytes and to bytes.
//!
//! [`Decoder`] takes packets off a read buffer; strings and payloads are slices of that
//! buffer. [`encode`] appends a packet to a write buffer, and [`encode_publish_header`] a
//! PUBLISH without its payload, so that the payload need not be copied. Neither waits,
//! logs or keeps time. What depends on more than one packet (packet identifiers in use,
//! the highest topic alias, quotas) is for the caller to check.

mod acknowledgement;
mod auth;
mod connack;
mod connect;
mod decoder;
mod disconnect;
mod encode;
mod error;
mod property;
mod publish;
mod reader;
mod subscribe;
mod unsubscribe;
mod writer;

pub use decoder::{Decoder, Side};
pub use encode::encode;
pub use error::{DecodeError, EncodeError};
pub use publish::{encode_publish_header, publish_size};

/// Largest packet that MQTT can express: 268 435 455 bytes after a fixed header of 5.
pub const MAXIMUM_PACKET_SIZE_BYTES: u32 = 268_435_460;
