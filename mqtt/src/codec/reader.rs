//! The fields of a packet, read one after the other.

use bytes::Bytes;

use super::error::Fault;
use super::property::Property;
use crate::{PacketId, ReasonCode, Str, TopicFilter, TopicName};

/// What is left of a packet, or of a part of it. Reading past the end is a fault.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    body: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a Bytes) -> Self {
        Self { body, rest: body }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses what follows the last field.
    pub(super) const fn finish(self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::TrailingBytes)
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer (section 1.5.5).
    pub(super) fn variable(&mut self) -> Result<u32, Fault> {
        let (value, length) = variable(self.rest)?.ok_or(Fault::Truncated)?;
        self.take(length)?;
        Ok(value)
    }

    /// Bytes with their length in front of them (section 1.5.6), not yet shared.
    pub(super) fn field(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, Fault> {
        self.field().map(|field| self.body.slice_ref(field))
    }

    pub(super) fn string(&mut self) -> Result<Str, Fault> {
        Ok(Str::from_bytes(self.binary()?)?)
    }

    /// A topic name, which may be empty; `wildcard` is the fault if it has one.
    #[inline]
    pub(super) fn topic_name(&mut self, wildcard: Fault) -> Result<TopicName, Fault> {
        let field = self.field()?;
        if has_wildcard_or_nul(field) {
            return Err(if field.contains(&0) {
                Fault::Nul
            } else {
                wildcard
            });
        }
        let text = Str::from_checked_bytes(self.body.slice_ref(field))?;
        Ok(TopicName::from_checked(text))
    }

    pub(super) fn topic_filter(&mut self) -> Result<TopicFilter, Fault> {
        Ok(TopicFilter::try_from(self.string()?)?)
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, Fault> {
        PacketId::new(self.u16()?).ok_or(Fault::PacketIdZero) // [MQTT-2.2.1-3]
    }

    pub(super) fn reason_code(&mut self, allowed: &[ReasonCode]) -> Result<ReasonCode, Fault> {
        ReasonCode::from_u8(self.u8()?)
            .filter(|code| allowed.contains(code))
            .ok_or(Fault::ReasonCode)
    }

    /// The properties, with their length in front of them; no property goes beyond it.
    pub(super) fn properties(&mut self) -> Result<Self, Fault> {
        let length = self.variable()?;
        let length = usize::try_from(length).map_err(|_| Fault::Truncated)?;
        let rest = self.take(length)?;
        Ok(Self {
            body: self.body,
            rest,
        })
    }

    /// Which property comes next; none at the end.
    pub(super) fn property(&mut self) -> Result<Option<Property>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        // All identifiers that exist are one byte long.
        let identifier = self.u8()?;
        Property::from_u8(identifier)
            .map(Some)
            .ok_or(Fault::PropertyUnknown)
    }

    pub(super) fn string_pair(&mut self) -> Result<(Str, Str), Fault> {
        Ok((self.string()?, self.string()?))
    }

    pub(super) fn bool(&mut self) -> Result<bool, Fault> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Fault::PropertyNotBool),
        }
    }
}

/// Looks at sixteen bytes at once, without a branch for each, because this is done for every
/// message; the last sixteen, or eight, overlap those before them.
#[inline]
fn has_wildcard_or_nul(field: &[u8]) -> bool {
    let suspect =
        |byte: &u8| u8::from(*byte == b'+') | u8::from(*byte == b'#') | u8::from(*byte == 0);
    let any = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | suspect(byte));
    if let Some(last) = field.last_chunk::<16>() {
        let (chunks, _) = field.as_chunks::<16>();
        let found = chunks
            .iter()
            .fold(any(last), |found, chunk| found | any(chunk));
        return found != 0;
    }
    match (field.first_chunk::<8>(), field.last_chunk::<8>()) {
        (Some(first), Some(last)) => any(first) | any(last) != 0,
        _ => any(field) != 0,
    }
}

/// A Variable Byte Integer at the start of `bytes`, and how many bytes it has; none if it
/// goes on after their end.
///
/// Needless bytes are refused in every version: MQTT 3 says that values up to 127 use a
/// single byte and larger ones continue, so each value has one form [MQTT-1.5.5-1].
pub(super) fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(Fault::IntegerNotMinimal);
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(Fault::IntegerTooLong)
    }
}
