//! Topic Names and Topic Filters (sections 4.7 and 4.8).

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use crate::{Str, StrError};

#[cfg(test)]
mod tests;

/// What a message is published to: no wildcards, no U+0000, 1 to 65 535 bytes.
///
/// The one empty name is [`TopicName::empty`], which a PUBLISH may have if a topic alias
/// stands for its topic.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Str);

/// What a client subscribes to: perhaps with wildcards, perhaps `$share/{group}/{filter}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Str);

/// The parts of a shared subscription's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share<'a> {
    /// The share name.
    pub group: &'a str,
    /// The filter that topics are compared with.
    pub filter: &'a str,
}

/// Why a text is not a topic name or filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Not an MQTT string.
    #[error(transparent)]
    Str(#[from] StrError),
    /// Has no character [MQTT-4.7.3-1].
    #[error("topic is empty")]
    Empty,
    /// A name contains `+` or `#` [MQTT-3.3.2-2].
    #[error("topic name contains a wildcard")]
    Wildcard,
    /// `#` is not the whole last level [MQTT-4.7.1-1].
    #[error("multi-level wildcard is not the whole last level")]
    MultiLevelWildcard,
    /// `+` does not fill its level [MQTT-4.7.1-2].
    #[error("single-level wildcard does not fill its level")]
    SingleLevelWildcard,
    /// The share name is empty or has a wildcard [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    #[error("share name is empty or contains a wildcard")]
    ShareName,
    /// No filter follows the share name [MQTT-4.8.2-2].
    #[error("no topic filter after the share name")]
    ShareFilter,
}

impl TopicName {
    /// Copies `text`.
    ///
    /// # Errors
    ///
    /// [`TopicError`] if it is not a topic name; an empty one is not.
    pub fn new(text: impl AsRef<str>) -> Result<Self, TopicError> {
        Self::try_from(Str::new(text)?)
    }

    /// No topic name: a topic alias stands for it.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The string, sharing its bytes.
    #[must_use]
    pub const fn as_shared(&self) -> &Str {
        &self.0
    }

    /// The levels, in order; an empty one on each side of a leading or trailing `/`.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// How many levels there are, at least 1.
    #[must_use]
    pub fn level_count(&self) -> usize {
        level_count(self.as_str())
    }

    /// A copy with a buffer of its own, for a topic that outlives the packet it came with.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// For a string that has no wildcard.
    pub(crate) const fn from_checked(text: Str) -> Self {
        Self(text)
    }
}

impl TopicFilter {
    /// Copies `text`.
    ///
    /// # Errors
    ///
    /// [`TopicError`] if it is not a topic filter.
    pub fn new(text: impl AsRef<str>) -> Result<Self, TopicError> {
        Self::try_from(Str::new(text)?)
    }

    /// The text, `$share/{group}/` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The string, sharing its bytes.
    #[must_use]
    pub const fn as_shared(&self) -> &Str {
        &self.0
    }

    /// The share name and the filter after it, if this is a shared subscription.
    #[must_use]
    pub fn share(&self) -> Option<Share<'_>> {
        let (group, filter) = self.0.strip_prefix("$share/")?.split_once('/')?;
        Some(Share { group, filter })
    }

    /// What topics are compared with: the text without `$share/{group}/`.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.share().map_or(self.as_str(), |share| share.filter)
    }

    /// Whether there is a `+` or `#`.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.pattern().contains(['+', '#'])
    }

    /// The levels of the [pattern](Self::pattern), in order.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.pattern().split('/')
    }

    /// How many levels the [pattern](Self::pattern) has, at least 1.
    #[must_use]
    pub fn level_count(&self) -> usize {
        level_count(self.pattern())
    }

    /// Whether a message published to `topic` is meant by this filter.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.pattern(), topic)
    }

    /// A copy with a buffer of its own, for a filter that outlives the packet it came with.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }
}

fn level_count(text: &str) -> usize {
    1 + text.bytes().filter(|byte| *byte == b'/').count()
}

fn matches(pattern: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1] A wildcard in the first place does not mean topics that begin with $.
    if topic.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in pattern.split('/') {
        if wanted == "#" {
            return true; // also for the level above it, where no level is left
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

fn check_filter(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty); // [MQTT-4.7.3-1]
    }
    let pattern = match text.strip_prefix("$share/") {
        None => text,
        Some(rest) => {
            let (group, pattern) = rest.split_once('/').unwrap_or((rest, ""));
            if group.is_empty() || group.contains(['+', '#']) {
                return Err(TopicError::ShareName); // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
            }
            if pattern.is_empty() {
                return Err(TopicError::ShareFilter); // [MQTT-4.8.2-2]
            }
            pattern
        }
    };
    let mut levels = pattern.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level.len() > 1 || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard); // [MQTT-4.7.1-1]
        }
        if level.contains('+') && level.len() > 1 {
            return Err(TopicError::SingleLevelWildcard); // [MQTT-4.7.1-2]
        }
    }
    Ok(())
}

/// Shares the bytes of the string.
impl TryFrom<Str> for TopicName {
    type Error = TopicError;

    fn try_from(text: Str) -> Result<Self, TopicError> {
        if text.is_empty() {
            Err(TopicError::Empty) // [MQTT-4.7.3-1]
        } else if text.contains(['+', '#']) {
            Err(TopicError::Wildcard) // [MQTT-3.3.2-2]
        } else {
            Ok(Self(text))
        }
    }
}

/// Shares the bytes of the string.
impl TryFrom<Str> for TopicFilter {
    type Error = TopicError;

    fn try_from(text: Str) -> Result<Self, TopicError> {
        check_filter(&text)?;
        Ok(Self(text))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl From<$name> for Str {
            fn from(topic: $name) -> Str {
                topic.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.as_str(), f)
            }
        }
    };
}

text!(TopicName);
text!(TopicFilter);
