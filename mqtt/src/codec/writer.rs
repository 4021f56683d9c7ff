//! The fields of a packet, written one after the other.

use bytes::{BufMut, BytesMut};

use super::property::Property;
use crate::{EncodeError, PacketId, Str};

/// Largest Remaining Length (section 1.5.5).
pub(super) const MAXIMUM_REMAINING_LENGTH: usize = 268_435_455;

/// Appends to a buffer, or only counts.
pub(super) struct Writer<'a> {
    buffer: Option<&'a mut BytesMut>,
    length: usize,
}

/// Appends a packet: `body` is called to count, and then, if all is well, to write.
pub(super) fn packet(
    first_byte: u8,
    buffer: &mut BytesMut,
    body: impl Fn(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let length = count(&body)?;
    if length > MAXIMUM_REMAINING_LENGTH {
        return Err(EncodeError::TooLarge);
    }
    buffer.reserve(5 + length);
    buffer.put_u8(first_byte);
    put_variable(length, buffer);
    body(&mut Writer {
        buffer: Some(buffer),
        length: 0,
    })
}

fn count(
    write: &impl Fn(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<usize, EncodeError> {
    let mut counter = Writer {
        buffer: None,
        length: 0,
    };
    write(&mut counter)?;
    Ok(counter.length)
}

/// How many bytes a Variable Byte Integer has.
pub(super) const fn variable_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Appends a Variable Byte Integer of at most four bytes [MQTT-1.5.5-1].
#[inline]
pub(super) fn put_variable(value: usize, buffer: &mut BytesMut) {
    let mut rest = value;
    while rest >= 0x80 {
        buffer.extend_from_slice(&[(rest & 0x7F) as u8 | 0x80]);
        rest >>= 7;
    }
    buffer.extend_from_slice(&[rest as u8]);
}

impl Writer<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if let Some(buffer) = &mut self.buffer {
            buffer.put_slice(bytes);
        }
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn packet_id(&mut self, packet_id: PacketId) {
        self.u16(packet_id.get());
    }

    pub(super) fn variable(&mut self, value: usize) {
        self.length += variable_size(value);
        if let Some(buffer) = &mut self.buffer {
            put_variable(value, buffer);
        }
    }

    /// Bytes, or the bytes of a string, with their length in front of them.
    pub(super) fn field(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.u16(u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?);
        self.bytes(bytes);
        Ok(())
    }

    /// Properties, with their length in front of them.
    pub(super) fn properties(
        &mut self,
        write: impl Fn(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let length = count(&write)?;
        if length > MAXIMUM_REMAINING_LENGTH {
            return Err(EncodeError::TooLarge);
        }
        self.variable(length);
        if self.buffer.is_some() {
            return write(self);
        }
        self.length += length;
        Ok(())
    }

    pub(super) fn property_u8(&mut self, property: Property, value: Option<u8>) {
        if let Some(value) = value {
            self.bytes(&[property as u8, value]);
        }
    }

    pub(super) fn property_bool(&mut self, property: Property, value: Option<bool>) {
        self.property_u8(property, value.map(u8::from));
    }

    pub(super) fn property_u16(&mut self, property: Property, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(property as u8);
            self.u16(value);
        }
    }

    pub(super) fn property_u32(&mut self, property: Property, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(property as u8);
            self.bytes(&value.to_be_bytes());
        }
    }

    pub(super) fn property_field(
        &mut self,
        property: Property,
        value: Option<&[u8]>,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.u8(property as u8);
        self.field(value)
    }

    pub(super) fn property_string(
        &mut self,
        property: Property,
        value: Option<&Str>,
    ) -> Result<(), EncodeError> {
        self.property_field(property, value.map(Str::as_bytes))
    }

    pub(super) fn user_properties(&mut self, pairs: &[(Str, Str)]) -> Result<(), EncodeError> {
        for (name, value) in pairs {
            self.property_string(Property::UserProperty, Some(name))?;
            self.field(value.as_bytes())?;
        }
        Ok(())
    }

    /// A subscription identifier, 1 to 268 435 455.
    pub(super) fn subscription_identifier(&mut self, value: u32) -> Result<(), EncodeError> {
        let value = check_subscription_identifier(value)?;
        self.u8(Property::SubscriptionIdentifier as u8);
        self.variable(value);
        Ok(())
    }
}

/// The number as a length, if it is one that may be written.
pub(super) fn check_subscription_identifier(value: u32) -> Result<usize, EncodeError> {
    usize::try_from(value)
        .ok()
        .filter(|value| (1..=MAXIMUM_REMAINING_LENGTH).contains(value))
        .ok_or(EncodeError::SubscriptionIdentifier)
}
