//! An Application Message on its way through this node.

use std::{
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ibc::{EntryId, MessageId, MessageRecord, NodeId, RecordError};
use mqtt::{Message, Qos, Str};

/// Milliseconds since 1970 UTC.
fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// An Application Message, shared by everybody who gets it.
#[derive(Debug)]
pub(crate) struct Publication {
    record: MessageRecord,
    encoded: OnceLock<Bytes>,
}

impl Publication {
    /// A message just published by `publisher`.
    pub(crate) fn new(publisher: Str, message: Message) -> Self {
        let expires_at = message
            .properties
            .message_expiry_interval
            .map(|seconds| now_ms() + u64::from(seconds) * 1000);
        Self {
            record: MessageRecord {
                publisher,
                expires_at,
                message,
            },
            encoded: OnceLock::new(),
        }
    }

    /// The form in which a Will is stored: it expires only after it was published.
    pub(crate) fn encode_will(publisher: Str, message: Message) -> Bytes {
        let expires_at = message.properties.message_expiry_interval.map(|_| 0);
        MessageRecord {
            publisher,
            expires_at,
            message,
        }
        .encode()
    }

    /// A stored Will that is published now.
    pub(crate) fn decode_will(body: Bytes) -> Result<Self, RecordError> {
        let MessageRecord {
            publisher, message, ..
        } = MessageRecord::decode(body)?;
        Ok(Self::new(publisher, message))
    }

    /// The message in `record`, which another node has sent.
    pub(crate) const fn from_record(record: MessageRecord) -> Self {
        Self {
            record,
            encoded: OnceLock::new(),
        }
    }

    /// A message as another node, or the database, wrote it.
    pub(crate) fn decode(record: Bytes) -> Result<Self, RecordError> {
        Ok(Self {
            record: MessageRecord::decode(record.clone())?,
            encoded: record.into(),
        })
    }

    /// The form for other nodes and the database; made once.
    pub(crate) fn encoded(&self) -> Bytes {
        self.encoded.get_or_init(|| self.record.encode()).clone()
    }

    pub(crate) const fn record(&self) -> &MessageRecord {
        &self.record
    }

    pub(crate) const fn message(&self) -> &Message {
        &self.record.message
    }

    pub(crate) const fn publisher(&self) -> &Str {
        &self.record.publisher
    }

    /// Bytes of topic, payload and properties.
    pub(crate) fn size_bytes(&self) -> usize {
        size_bytes(&self.record.message)
    }

    /// Seconds until it expires; `Some(0)` when it has [MQTT-3.3.2-5] [MQTT-3.3.2-6].
    pub(crate) fn remaining_expiry(&self) -> Option<u32> {
        let left = self.record.expires_at?.saturating_sub(now_ms());
        Some(u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

/// Bytes of topic, payload and properties: what settings count.
pub(crate) fn size_bytes(message: &Message) -> usize {
    let mut size = message.topic_name.len() + message.payload.len();
    let properties = &message.properties;
    if !properties.is_empty() {
        let content_type = properties.content_type.as_ref();
        let response_topic = properties.response_topic.as_ref();
        let correlation_data = properties.correlation_data.as_ref();
        size += content_type.map_or(0, |text| text.len())
            + response_topic.map_or(0, |topic| topic.len())
            + correlation_data.map_or(0, Bytes::len);
        let user = properties.user_properties.iter();
        size += user
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
    }
    size
}

/// Where a message stands in the queue of the session in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The node that wrote it.
    pub(crate) source: NodeId,
    pub(crate) entry: EntryId,
    pub(crate) message: MessageId,
    /// The Packet Identifier it had on an earlier connection.
    pub(crate) packet_id: Option<u16>,
    /// Whether PUBREC has come on an earlier connection.
    pub(crate) is_released: bool,
}

/// Subscription Identifiers [MQTT-3.3.4-3]; shared by all messages for one subscription.
pub(crate) type Identifiers = Option<Arc<[u32]>>;

/// The form in which deliveries have them.
pub(crate) fn identifiers(identifiers: Vec<u32>) -> Identifiers {
    (!identifiers.is_empty()).then(|| identifiers.into())
}

/// A message for one session.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) publication: Arc<Publication>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) identifiers: Identifiers,
    pub(crate) stored: Option<Stored>,
    /// The shared subscription it was taken from, to be given to another member if this one
    /// goes away.
    pub(crate) share: Option<Str>,
}
