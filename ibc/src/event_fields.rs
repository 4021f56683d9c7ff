//! Events with many fields, and their byte forms.

use bytes::{BufMut, Bytes, BytesMut};
use mqtt::Str;

use crate::{
    EntryId, Epoch, MessageId, NodeId, RecordError, SessionId, StoredSubscription,
    wire::{Reader, put_bytes, put_subscription, put_text},
};

/// The client that has sent a message with QoS 2, or left a Will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its session. Of a Will: the number of the claim that it belongs to.
    pub session: SessionId,
    /// The Packet Identifier. Of a Will: 0.
    pub packet_id: u16,
    /// The claim under which it was sent.
    pub epoch: Epoch,
    /// Whether it may have been sent before: DUP, or a Will.
    pub is_repeated: bool,
    /// Tells messages with one packet identifier apart; the same at every node.
    pub digest: u64,
}

/// See [`Event::MemberAdded`].
#[derive(Debug, Clone)]
pub struct Member {
    /// The session.
    pub session: SessionId,
    /// Its client.
    pub client_id: Str,
    /// The filter, `$share/…` included, with its options.
    pub subscription: StoredSubscription,
}

/// See [`Event::SessionClaimed`].
#[derive(Debug, Clone)]
pub struct SessionClaimed {
    /// The session.
    pub session: SessionId,
    /// Its client.
    pub client_id: Str,
    /// The claim.
    pub epoch: Epoch,
    /// Where it is connected.
    pub owner: NodeId,
    /// The session that this claim discarded.
    pub discarded: Option<SessionId>,
    /// All its subscriptions.
    pub subscriptions: Vec<StoredSubscription>,
}

/// See [`Event::Queued`].
#[derive(Debug, Clone)]
pub struct Queued {
    /// Its place in each of the queues.
    pub entry: EntryId,
    /// The message.
    pub message: MessageId,
    /// Sessions, each with its [`DeliveryOptions`](crate::DeliveryOptions) and the shared
    /// subscription it was taken from.
    pub targets: Vec<QueuedTarget>,
    /// A [`MessageRecord`](crate::MessageRecord).
    pub record: Bytes,
}

/// One queue of [`Queued`].
#[derive(Debug, Clone)]
pub struct QueuedTarget {
    /// The session.
    pub session: SessionId,
    /// [`DeliveryOptions`](crate::DeliveryOptions).
    pub options: Bytes,
    /// The shared subscription it was taken from.
    pub share: Option<Str>,
}

impl SessionClaimed {
    pub(super) fn put(&self, frame: &mut BytesMut) {
        frame.put_i64(self.session.0);
        put_text(&self.client_id, frame);
        frame.put_i64(self.epoch.0);
        frame.put_i64(self.owner.0);
        frame.put_i64(self.discarded.map_or(0, |session| session.0));
        frame.put_u32(u32::try_from(self.subscriptions.len()).unwrap_or(u32::MAX));
        for subscription in &self.subscriptions {
            put_subscription(subscription, frame);
        }
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, RecordError> {
        let session = SessionId(r.i64()?);
        let client_id = r.text()?;
        let (epoch, owner, discarded) = (Epoch(r.i64()?), NodeId(r.i64()?), r.i64()?);
        let count = r.u32()?;
        let mut subscriptions = Vec::new();
        for _ in 0..count {
            subscriptions.push(r.subscription()?);
        }
        let discarded = (discarded != 0).then_some(SessionId(discarded));
        Ok(Self {
            session,
            client_id,
            epoch,
            owner,
            discarded,
            subscriptions,
        })
    }
}

impl Queued {
    pub(super) fn put(&self, frame: &mut BytesMut) {
        frame.put_i64(self.entry.0);
        frame.put_i64(self.message.0);
        frame.put_u32(u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
        for target in &self.targets {
            frame.put_i64(target.session.0);
            put_bytes(&target.options, frame);
            put_text(target.share.as_deref().unwrap_or(""), frame);
        }
        frame.extend_from_slice(&self.record);
    }

    pub(super) fn read(mut r: Reader) -> Result<Self, RecordError> {
        let (entry, message) = (EntryId(r.i64()?), MessageId(r.i64()?));
        let count = r.u32()?;
        let mut targets = Vec::new();
        for _ in 0..count {
            let session = SessionId(r.i64()?);
            let options = r.bytes()?;
            let share = r.text()?;
            let share = (!share.is_empty()).then_some(share);
            targets.push(QueuedTarget {
                session,
                options,
                share,
            });
        }
        Ok(Self {
            entry,
            message,
            targets,
            record: r.0,
        })
    }
}
