//! UTF-8 Encoded Strings (section 1.5.4).

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

/// A string as MQTT allows it: UTF-8, at most 65 535 bytes, without U+0000.
///
/// A clone shares the bytes. One that came with a packet is a slice of the buffer that the
/// packet was read into, and keeps that buffer alive.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Str(ByteString);

/// Why something is not an MQTT string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StrError {
    /// Not well-formed UTF-8 [MQTT-1.5.4-1].
    #[error("string is not UTF-8")]
    NotUtf8,
    /// Contains U+0000 [MQTT-1.5.4-2].
    #[error("string contains U+0000")]
    Nul,
    /// Longer than 65 535 bytes, so its length could not be written.
    #[error("string is longer than 65535 bytes")]
    TooLong,
}

impl Str {
    /// Largest length in bytes.
    pub const MAX_LEN: usize = u16::MAX as usize;

    /// Copies `text`.
    ///
    /// # Errors
    ///
    /// [`StrError`] if MQTT does not allow this string.
    pub fn new(text: impl AsRef<str>) -> Result<Self, StrError> {
        let text = text.as_ref();
        check(text.as_bytes())?;
        Ok(Self(ByteString::from(text)))
    }

    /// Takes a string of the program's own; costs nothing.
    ///
    /// # Panics
    ///
    /// If `text` has more than 65 535 bytes or contains U+0000. In a constant, that is an
    /// error of compilation.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        let mut rest = text.as_bytes();
        assert!(rest.len() <= Self::MAX_LEN, "string is too long");
        while let [first, tail @ ..] = rest {
            assert!(*first != 0, "string contains U+0000");
            rest = tail;
        }
        Self(ByteString::from_static(text))
    }

    /// Takes `bytes` without copying them.
    ///
    /// # Errors
    ///
    /// [`StrError`] if MQTT does not allow this string.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, StrError> {
        check(&bytes)?;
        ByteString::try_from(bytes)
            .map(Self)
            .map_err(|_| StrError::NotUtf8)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The shared bytes themselves.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy with a buffer of its own, for text that outlives the packet it came with.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }

    /// For bytes whose length, and lack of U+0000, are known.
    #[inline]
    pub(crate) fn from_checked_bytes(bytes: Bytes) -> Result<Self, StrError> {
        ByteString::try_from(bytes)
            .map(Self)
            .map_err(|_| StrError::NotUtf8)
    }
}

fn check(bytes: &[u8]) -> Result<(), StrError> {
    if bytes.len() > Str::MAX_LEN {
        Err(StrError::TooLong)
    } else if bytes.contains(&0) {
        Err(StrError::Nul) // [MQTT-1.5.4-2]
    } else {
        Ok(())
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// As the text, so that a map can be asked with a `&str`.
impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl TryFrom<&str> for Str {
    type Error = StrError;

    fn try_from(text: &str) -> Result<Self, StrError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Str {
    type Error = StrError;

    fn try_from(text: String) -> Result<Self, StrError> {
        check(text.as_bytes())?;
        Ok(Self(ByteString::from(text)))
    }
}

impl TryFrom<Bytes> for Str {
    type Error = StrError;

    fn try_from(bytes: Bytes) -> Result<Self, StrError> {
        Self::from_bytes(bytes)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use super::*;

    /// [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    #[test]
    fn what_mqtt_does_not_allow_is_not_a_string() {
        assert_eq!(Str::new("a\0b"), Err(StrError::Nul));
        assert_eq!(Str::new("x".repeat(65_536)), Err(StrError::TooLong));
        assert_eq!(Str::new("x".repeat(65_535)).unwrap().len(), 65_535);
        let bad = Bytes::from_static(b"a\xed\xa0\x80");
        assert_eq!(Str::from_bytes(bad), Err(StrError::NotUtf8));
        assert_eq!(Str::try_from("été".to_owned()).unwrap(), "été");
    }

    /// [MQTT-1.5.4-3] U+FEFF stays what it is, wherever it stands.
    #[test]
    fn a_byte_order_mark_is_kept() {
        let text = Str::from_bytes(Bytes::from_static(b"\xef\xbb\xbfa")).unwrap();
        assert_eq!(text.as_str(), "\u{feff}a");
    }

    #[test]
    fn a_map_of_strings_is_asked_with_a_str() {
        let map = HashMap::from([(Str::from_static("a/b"), 1)]);
        assert_eq!(map.get("a/b"), Some(&1));
        assert_eq!(
            format!("{:?} {}", Str::from_static("x"), Str::default()),
            "\"x\" "
        );
    }
}
