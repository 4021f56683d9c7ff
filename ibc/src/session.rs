//! The session registry: what is stored for a client, and what a claim gives to its new owner.

use bytes::Bytes;
use mqtt::{SubscriptionOptions, TopicFilter};

use crate::{EntryId, Epoch, MessageId, NodeId, SessionId};

/// A client ID to be owned by this node from now on.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The client.
    pub client_id: String,
    /// Clean Start: what was stored of an earlier session is discarded.
    pub clean_start: bool,
    /// Session Expiry Interval in seconds: 0 ends with the connection, `u32::MAX` never.
    pub expiry_interval: u32,
    /// The Will of this connection, to be published should this node die.
    pub will: Option<NewWill>,
}

/// A Will to be kept for a connection.
#[derive(Debug, Clone)]
pub struct NewWill {
    /// A [`MessageRecord`](crate::MessageRecord), encoded.
    pub body: Bytes,
    /// Will Delay Interval in seconds.
    pub delay_interval: u32,
}

/// Who owned a client before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The node; it may be dead already, then it has been buried or will be soon.
    pub node: NodeId,
    /// The epoch of its claim.
    pub epoch: Epoch,
}

/// What a claim gives.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The session, new or resumed.
    pub session: SessionId,
    /// This claim. Larger than every earlier one of the client.
    pub epoch: Epoch,
    /// Whether an earlier session was resumed (Session Present).
    pub is_present: bool,
    /// The owner until now, if the client was connected somewhere and that node is not buried:
    /// it must hand over before the queue is read. Its node may be this node.
    pub previous: Option<Owner>,
    /// The session that was discarded by Clean Start or had expired.
    pub discarded: Option<SessionId>,
    /// What the resumed session keeps. With a `previous` owner it may still change: read it again
    /// with `Store::kept` after the hand-over.
    pub kept: Kept,
}

/// What a session keeps beside its queue.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// What it subscribes to.
    pub subscriptions: Vec<StoredSubscription>,
    /// Packet identifiers of QoS 2 PUBLISH packets received and not yet released [MQTT-4.3.3-10].
    pub received: Vec<u16>,
}

/// A subscription of a persistent session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubscription {
    /// The filter, `$share/…` included.
    pub filter: TopicFilter,
    /// Its options.
    pub options: SubscriptionOptions,
    /// Its Subscription Identifier.
    pub identifier: Option<u32>,
}

/// A persistent session with its subscriptions, as a joining node loads them.
#[derive(Debug, Clone)]
pub struct SessionSnapshot {
    /// The session.
    pub session: SessionId,
    /// Its client.
    pub client_id: String,
    /// The last claim.
    pub epoch: Epoch,
    /// The node where the client is connected.
    pub owner: Option<NodeId>,
    /// What it subscribes to.
    pub subscriptions: Vec<StoredSubscription>,
}

/// A message that waits for, or is on its way to, one session.
#[derive(Debug, Clone)]
pub struct QueuedEntry {
    /// Its place in the queue.
    pub entry: EntryId,
    /// The node that wrote it.
    pub source: NodeId,
    /// The message.
    pub message: MessageId,
    /// A [`MessageRecord`](crate::MessageRecord), encoded.
    pub body: Bytes,
    /// What the writer packed beside it (effective QoS, Retain, Subscription Identifiers).
    pub options: Bytes,
    /// The shared subscription it was taken from.
    pub share: Option<String>,
    /// The Packet Identifier it was sent with, if that is known.
    pub packet_id: Option<u16>,
    /// Whether PUBREC has come, so that PUBREL is owed.
    pub is_released: bool,
}

/// Most of a queue that is read at once.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// Entries, at least 1.
    pub entries: usize,
    /// Bytes of the bodies; the first one comes however large it is.
    pub bytes: usize,
}

/// The oldest part of a queue.
#[derive(Debug, Clone, Default)]
pub struct QueuedPage {
    /// In order.
    pub entries: Vec<QueuedEntry>,
    /// Packet identifiers of entries that had no room in the page by their bytes; all of them, if
    /// no more entries than [`PageLimit::entries`] wait.
    pub reserved: Vec<u16>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// Which end of a queue is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// What has waited longest.
    Oldest,
    /// What came last.
    Newest,
}

/// How far a queue is cut back.
#[derive(Debug, Clone)]
pub struct Trim {
    /// Whose queue.
    pub session: SessionId,
    /// Where the client must be connected for this to be done.
    pub owner: Option<NodeId>,
    /// What is no part of it: for each writing node the entries up to the given one.
    pub seen: Vec<(NodeId, EntryId)>,
    /// Most entries that stay.
    pub max_entries: usize,
    /// Most bytes of their bodies; an entry alone may have more.
    pub max_bytes: usize,
    /// What goes.
    pub surplus: Surplus,
}

/// What has become of a queue that was cut back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Entries deleted.
    pub dropped: u64,
    /// Entries that stayed.
    pub left_entries: u64,
    /// Bytes of their bodies.
    pub left_bytes: u64,
}

/// A retained message.
#[derive(Debug, Clone)]
pub struct RetainedMessage {
    /// Its topic.
    pub topic_name: String,
    /// A [`MessageRecord`](crate::MessageRecord), encoded; `None`: removed.
    pub body: Option<Bytes>,
    /// The change that made it; the larger wins.
    pub version: i64,
}

/// A session whose time is over and that was deleted.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The session.
    pub session: SessionId,
    /// Its client.
    pub client_id: String,
    /// The last claim.
    pub epoch: Epoch,
}

/// A Will that is due and was taken by this node for publication.
#[derive(Debug, Clone)]
pub struct DueWill {
    /// The client.
    pub client_id: String,
    /// The claim it belongs to.
    pub epoch: Epoch,
    /// A [`MessageRecord`](crate::MessageRecord), encoded.
    pub body: Bytes,
}

/// A message of a shared subscription whose receiver went away.
#[derive(Debug, Clone)]
pub struct SharedEntry {
    /// The session that had it.
    pub session: SessionId,
    /// Its place in that queue.
    pub entry: EntryId,
    /// The message.
    pub message: MessageId,
    /// A [`MessageRecord`](crate::MessageRecord), encoded.
    pub body: Bytes,
    /// What the writer packed beside it.
    pub options: Bytes,
    /// The shared subscription.
    pub share: String,
}

/// A node that was found dead and whose sessions this call has let go.
#[derive(Debug, Clone)]
pub struct Buried {
    /// The dead node.
    pub node: NodeId,
    /// Messages of shared subscriptions that its clients had not acknowledged (never a QoS 2
    /// message that was sent already [MQTT-4.8.2-5]); the caller gives them to other members.
    pub shared: Vec<SharedEntry>,
}
