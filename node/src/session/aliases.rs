//! Topic Aliases, in both directions (sections 3.3.2.3.4).

use std::num::NonZeroU16;

use ahash::AHashMap;
use mqtt::{Str, TopicName};

/// A Topic Alias that means nothing, answered with DISCONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AliasError {
    /// Larger than the broker allows [MQTT-3.3.2-9]. 0x94.
    #[error("topic alias {0} is larger than the maximum")]
    TooLarge(u16),
    /// Used before it was given a topic [MQTT-3.3.2-7]. 0x82.
    #[error("topic alias {0} was never given a topic")]
    Unknown(u16),
}

/// What the client means by its aliases.
#[derive(Debug, Default)]
pub(crate) struct InboundAliases {
    maximum: u16,
    topics: AHashMap<NonZeroU16, TopicName>,
}

impl InboundAliases {
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum,
            topics: AHashMap::new(),
        }
    }

    /// The topic that `alias` stands for, or is given by this packet.
    pub(crate) fn resolve(
        &mut self,
        alias: Option<NonZeroU16>,
        topic_name: TopicName,
    ) -> Result<TopicName, AliasError> {
        let Some(alias) = alias else {
            return Ok(topic_name);
        };
        if alias.get() > self.maximum {
            return Err(AliasError::TooLarge(alias.get()));
        }
        if topic_name.as_str().is_empty() {
            return self
                .topics
                .get(&alias)
                .cloned()
                .ok_or(AliasError::Unknown(alias.get()));
        }
        self.topics.insert(alias, topic_name.detached());
        Ok(topic_name)
    }
}

/// The aliases that the broker uses towards the client.
#[derive(Debug, Default)]
pub(crate) struct OutboundAliases {
    maximum: u16,
    aliases: AHashMap<Str, NonZeroU16>,
}

impl OutboundAliases {
    /// More than this is not worth the memory of each connection.
    const MOST: u16 = 128;

    /// `maximum`: what the client accepts [MQTT-3.1.2-26] [MQTT-3.1.2-27].
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum: maximum.min(Self::MOST),
            aliases: AHashMap::new(),
        }
    }

    /// The alias for a topic, and whether the client knows it already.
    pub(crate) fn alias(&mut self, topic_name: &Str) -> Option<(NonZeroU16, bool)> {
        if self.maximum == 0 {
            return None;
        }
        if let Some(alias) = self.aliases.get(topic_name) {
            return Some((*alias, true));
        }
        let next = u16::try_from(self.aliases.len()).ok()?.checked_add(1)?;
        if next > self.maximum {
            return None;
        }
        let alias = NonZeroU16::new(next)?;
        self.aliases.insert(topic_name.detached(), alias);
        Some((alias, false))
    }
}
