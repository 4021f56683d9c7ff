//! What one transaction writes: everything that came up while the previous one was under way.
//!
//! The order inside a batch does not matter, so nothing in it may depend on something else in
//! it: the lane that fills batches starts a new one instead.

use bytes::Bytes;

use crate::{EntryId, Epoch, MessageId, SessionId, StoredSubscription};

/// Changes that become durable together, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Larger than that of every earlier batch of this node. A batch that is committed again with
    /// the number it had is not made twice, see [`Store::commit`](crate::Store::commit).
    pub number: u64,
    /// Messages with their queue entries.
    pub messages: Vec<NewMessage>,
    /// Queue entries that go from one session to another (shared subscriptions).
    pub moved: Vec<Moved>,
    /// Retained messages set or removed.
    pub retained: Vec<RetainedChange>,
    /// QoS 2 packet identifiers received.
    pub received: Vec<ReceivedId>,
    /// QoS 2 packet identifiers that the client has released.
    pub forgotten: Vec<ReceivedId>,
    /// Packet identifiers given to queue entries.
    pub sent: Vec<Sent>,
    /// Queue entries for which PUBREC has come.
    pub released: Vec<(SessionId, EntryId)>,
    /// Queue entries that are done.
    pub acknowledged: Vec<Acknowledged>,
    /// Subscriptions made or changed.
    pub subscribed: Vec<SubscriptionChange>,
    /// Subscriptions removed: session and filter.
    pub unsubscribed: Vec<(SessionId, String)>,
    /// Sessions whose connection is gone.
    pub detached: Vec<Detached>,
    /// Wills that are published by this very batch.
    pub wills: Vec<WillKey>,
}

impl Batch {
    /// Most identifiers that one batch may need: messages, moves and retained changes together.
    pub const MAX_IDS: usize = 65_536;

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.has_only_detached() && self.detached.is_empty()
    }

    /// Whether there is nothing to write but the end of connections.
    pub(crate) fn has_only_detached(&self) -> bool {
        self.messages.is_empty()
            && self.moved.is_empty()
            && self.retained.is_empty()
            && self.received.is_empty()
            && self.forgotten.is_empty()
            && self.sent.is_empty()
            && self.released.is_empty()
            && self.acknowledged.is_empty()
            && self.subscribed.is_empty()
            && self.unsubscribed.is_empty()
            && self.wills.is_empty()
    }
}

/// The identifiers that a committed batch was given.
///
/// Message `i` of `messages` is `MessageId(base + i)` and each of its entries `EntryId(base + i)`;
/// move `j` is `EntryId(base + messages.len() + j)`; retained change `k` has the version
/// `base + messages.len() + moved.len() + k`. A batch committed later has a larger base, also
/// when another node committed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The first identifier. 0 if the batch needed none.
    pub base: i64,
    /// Entries of [`Batch::sent`] that are not in the queue any more: another member of a shared
    /// subscription has them. They must not be sent. Empty after a repeated call.
    pub moved_on: Vec<(SessionId, EntryId)>,
}

/// A message for persistent sessions.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// A [`MessageRecord`](crate::MessageRecord), encoded.
    pub body: Bytes,
    /// For whom. At least one, each session once.
    pub entries: Vec<NewEntry>,
}

/// A message in the queue of one session.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The session.
    pub session: SessionId,
    /// Effective QoS, Retain and Subscription Identifiers, packed; opaque to the store.
    pub options: Bytes,
    /// The shared subscription it was taken from.
    pub share: Option<String>,
}

/// A queue entry that goes from one session to another.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The queue that loses it.
    pub from: SessionId,
    /// Its place there. If it is gone, nothing is inserted either.
    pub entry: EntryId,
    /// The message.
    pub message: MessageId,
    /// The queue that gets it.
    pub to: NewEntry,
}

/// A retained message set or removed.
#[derive(Debug, Clone)]
pub struct RetainedChange {
    /// The topic. Each topic at most once in a batch.
    pub topic_name: String,
    /// A [`MessageRecord`](crate::MessageRecord), encoded; `None` removes [MQTT-3.3.1-6].
    pub body: Option<Bytes>,
    /// Seconds until it expires.
    pub expiry_interval: Option<u32>,
}

/// A QoS 2 packet identifier of a persistent session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceivedId {
    /// The session of the publisher.
    pub session: SessionId,
    /// The Packet Identifier.
    pub packet_id: u16,
}

/// A packet identifier given to a queue entry.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// The session.
    pub session: SessionId,
    /// The entry.
    pub entry: EntryId,
    /// The Packet Identifier.
    pub packet_id: u16,
}

/// A queue entry that is done.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// The session.
    pub session: SessionId,
    /// The entry.
    pub entry: EntryId,
    /// The message, deleted with its last entry.
    pub message: MessageId,
}

/// A subscription of a persistent session made or changed.
#[derive(Debug, Clone)]
pub struct SubscriptionChange {
    /// The session.
    pub session: SessionId,
    /// The subscription.
    pub subscription: StoredSubscription,
}

/// What becomes of the stored Will when its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WillFate {
    /// It is deleted: the client said DISCONNECT [MQTT-3.14.4-3], or it is being published by
    /// this node in the same batch.
    Discard,
    /// It becomes due after its delay or when the session ends, whichever is first [MQTT-3.1.3-9].
    Delay,
}

/// A session whose connection is gone.
#[derive(Debug, Clone)]
pub struct Detached {
    /// The session.
    pub session: SessionId,
    /// Its client.
    pub client_id: String,
    /// The claim that ends; with a newer one in the registry only the Will is touched.
    pub epoch: Epoch,
    /// Session Expiry Interval in seconds: 0 deletes the session, `u32::MAX` keeps it for ever.
    pub expiry_interval: u32,
    /// What becomes of the Will.
    pub will: WillFate,
}

/// A stored Will.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WillKey {
    /// The client.
    pub client_id: String,
    /// The claim it belongs to.
    pub epoch: Epoch,
}
