//! What one node tells another: the contents of a frame.
//!
//! An event is a tag, a length and its fields. A node skips tags it does not know, so that a
//! release may add events while the one before it is still running; fields are only added at
//! the end of an event.

#[path = "event_fields.rs"]
mod fields;

use bytes::{BufMut, Bytes, BytesMut};
use mqtt::Str;

pub use fields::{Member, Queued, QueuedTarget, Sender, SessionClaimed};

use crate::{
    Epoch, MessageRecord, NodeId, RecordError, SessionId, StoredSubscription,
    wire::{Reader, put_bytes, put_subscription, put_text},
};

/// The tag of [`Event::Message`].
pub(crate) const MESSAGE: u8 = 14;

/// What one node tells another. Events of one stream arrive in the order they were sent.
#[derive(Debug, Clone)]
pub enum Event {
    /// "I am joining: send me your routes, and from now on every change."
    Hello,
    /// "These were all my routes."
    Welcome,
    /// "Tell me when you have applied everything before this."
    Sync(u64),
    /// The answer to [`Event::Sync`] with the same number.
    Confirm(u64),
    /// The sender has connected subscribers without a stored session for this filter.
    RouteAdded(Str),
    /// It has none any more.
    RouteRemoved(Str),
    /// A connected session without a stored one is a member of a shared subscription.
    MemberAdded(Member),
    /// It is no member any more.
    MemberRemoved {
        /// The session.
        session: SessionId,
        /// The filter, `$share/…` included.
        filter: Str,
    },
    /// A stored session was claimed: replaces all that is known about it, if the epoch is larger.
    SessionClaimed(SessionClaimed),
    /// A stored session subscribed.
    Subscribed {
        /// The session.
        session: SessionId,
        /// Its claim; older ones are ignored.
        epoch: Epoch,
        /// The subscription made or changed.
        subscription: StoredSubscription,
    },
    /// A stored session unsubscribed.
    Unsubscribed {
        /// The session.
        session: SessionId,
        /// Its claim.
        epoch: Epoch,
        /// The filter.
        filter: Str,
    },
    /// A stored session has no connection any more.
    SessionDetached {
        /// The session.
        session: SessionId,
        /// The claim that ended.
        epoch: Epoch,
    },
    /// A stored session is over.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Its last claim.
        epoch: Epoch,
    },
    /// A message for every connected session of the receiver that matches and does not get it
    /// through its queue.
    Message(MessageRecord),
    /// Where the [`Event::Message`] after this one comes from, if it must not be delivered twice.
    Sender(Sender),
    /// A client has released a packet identifier that an [`Event::Sender`] has named: it may stand
    /// for another message from now on.
    Released {
        /// The session of the client.
        session: SessionId,
        /// The Packet Identifier.
        packet_id: u16,
    },
    /// A QoS 0 message for one member of a shared subscription.
    Direct {
        /// The session.
        session: SessionId,
        /// [`DeliveryOptions`](crate::DeliveryOptions).
        options: Bytes,
        /// A [`MessageRecord`](crate::MessageRecord).
        record: Bytes,
    },
    /// A message that the sender has committed to queues of sessions connected to the receiver.
    Queued(Queued),
    /// "Look into the queue of this session of yours."
    Poke(SessionId),
    /// "I claimed this client: hand over and close" (0x8E).
    Evict {
        /// The client.
        client_id: Str,
        /// The claim that has ended.
        epoch: Epoch,
        /// Whether the new connection goes on with the session, which saves a delayed Will
        /// [MQTT-3.1.3-9].
        is_resumed: bool,
    },
    /// The answer to [`Event::Evict`]: everything of that claim is in the database.
    Evicted {
        /// The client.
        client_id: Str,
        /// The claim that has ended.
        epoch: Epoch,
    },
    /// A retained message was set, or removed.
    Retained {
        /// The topic.
        topic_name: Str,
        /// The larger wins.
        version: i64,
        /// A [`MessageRecord`](crate::MessageRecord); `None`: removed.
        record: Option<Bytes>,
    },
    /// This node is dead and its clients were let go.
    Buried(NodeId),
    /// All frames of the stream to the sender up to this one have been applied there: they need not be
    /// written again when the database has crashed.
    Applied(i64),
}

impl Event {
    /// The event as it stands in a frame: tag, length and fields.
    #[must_use]
    pub fn encoded(&self) -> BytesMut {
        let mut bytes = BytesMut::new();
        put_event(self.tag(), &mut bytes, |bytes| self.put_fields(bytes));
        bytes
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Welcome => 2,
            Self::Sync(_) => 3,
            Self::Confirm(_) => 4,
            Self::RouteAdded(_) => 5,
            Self::RouteRemoved(_) => 6,
            Self::MemberAdded(_) => 7,
            Self::MemberRemoved { .. } => 8,
            Self::SessionClaimed(_) => 9,
            Self::Subscribed { .. } => 10,
            Self::Unsubscribed { .. } => 11,
            Self::SessionDetached { .. } => 12,
            Self::SessionEnded { .. } => 13,
            Self::Message(_) => MESSAGE,
            Self::Direct { .. } => 15,
            Self::Queued(_) => 16,
            Self::Poke(_) => 17,
            Self::Evict { .. } => 18,
            Self::Evicted { .. } => 19,
            Self::Retained { .. } => 20,
            Self::Buried(_) => 21,
            Self::Applied(_) => 24,
            Self::Sender(_) => 25,
            Self::Released { .. } => 26,
        }
    }

    fn put_fields(&self, frame: &mut BytesMut) {
        match self {
            Self::Hello | Self::Welcome => {}
            Self::Sync(number) | Self::Confirm(number) => frame.put_u64(*number),
            Self::RouteAdded(filter) | Self::RouteRemoved(filter) => put_text(filter, frame),
            Self::MemberAdded(member) => {
                frame.put_i64(member.session.0);
                put_text(&member.client_id, frame);
                put_subscription(&member.subscription, frame);
            }
            Self::MemberRemoved { session, filter } => {
                frame.put_i64(session.0);
                put_text(filter, frame);
            }
            Self::SessionClaimed(claimed) => claimed.put(frame),
            Self::Subscribed {
                session,
                epoch,
                subscription,
            } => {
                frame.put_i64(session.0);
                frame.put_i64(epoch.0);
                put_subscription(subscription, frame);
            }
            Self::Unsubscribed {
                session,
                epoch,
                filter,
            } => {
                frame.put_i64(session.0);
                frame.put_i64(epoch.0);
                put_text(filter, frame);
            }
            Self::SessionDetached { session, epoch } | Self::SessionEnded { session, epoch } => {
                frame.put_i64(session.0);
                frame.put_i64(epoch.0);
            }
            Self::Message(record) => {
                record.put_head(frame);
                frame.extend_from_slice(&record.message.payload);
            }
            Self::Direct {
                session,
                options,
                record,
            } => {
                frame.put_i64(session.0);
                put_bytes(options, frame);
                frame.extend_from_slice(record);
            }
            Self::Queued(queued) => queued.put(frame),
            Self::Poke(session) => frame.put_i64(session.0),
            Self::Evict {
                client_id,
                epoch,
                is_resumed,
            } => {
                put_text(client_id, frame);
                frame.put_i64(epoch.0);
                frame.put_u8(u8::from(*is_resumed));
            }
            Self::Evicted { client_id, epoch } => {
                put_text(client_id, frame);
                frame.put_i64(epoch.0);
            }
            Self::Retained {
                topic_name,
                version,
                record,
            } => {
                put_text(topic_name, frame);
                frame.put_i64(*version);
                frame.put_u8(u8::from(record.is_some()));
                frame.extend_from_slice(record.as_deref().unwrap_or_default());
            }
            Self::Buried(node) => frame.put_i64(node.0),
            Self::Applied(sequence) => frame.put_i64(*sequence),
            Self::Sender(sender) => {
                frame.put_i64(sender.session.0);
                frame.put_u16(sender.packet_id);
                frame.put_i64(sender.epoch.0);
                frame.put_u8(u8::from(sender.is_repeated));
                frame.put_u64(sender.digest);
            }
            Self::Released { session, packet_id } => {
                frame.put_i64(session.0);
                frame.put_u16(*packet_id);
            }
        }
    }

    pub(crate) fn decode(tag: u8, body: Bytes) -> Result<Option<Self>, RecordError> {
        let mut r = Reader(body);
        Ok(Some(match tag {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Sync(r.u64()?),
            4 => Self::Confirm(r.u64()?),
            5 => Self::RouteAdded(r.text()?),
            6 => Self::RouteRemoved(r.text()?),
            7 => Self::MemberAdded(Member {
                session: SessionId(r.i64()?),
                client_id: r.text()?,
                subscription: r.subscription()?,
            }),
            8 => Self::MemberRemoved {
                session: SessionId(r.i64()?),
                filter: r.text()?,
            },
            9 => Self::SessionClaimed(SessionClaimed::read(&mut r)?),
            10 => Self::Subscribed {
                session: SessionId(r.i64()?),
                epoch: Epoch(r.i64()?),
                subscription: r.subscription()?,
            },
            11 => Self::Unsubscribed {
                session: SessionId(r.i64()?),
                epoch: Epoch(r.i64()?),
                filter: r.text()?,
            },
            12 => Self::SessionDetached {
                session: SessionId(r.i64()?),
                epoch: Epoch(r.i64()?),
            },
            13 => Self::SessionEnded {
                session: SessionId(r.i64()?),
                epoch: Epoch(r.i64()?),
            },
            MESSAGE => Self::Message(MessageRecord::decode(r.0)?),
            15 => Self::Direct {
                session: SessionId(r.i64()?),
                options: r.bytes()?,
                record: r.0,
            },
            16 => Self::Queued(Queued::read(r)?),
            17 => Self::Poke(SessionId(r.i64()?)),
            18 => Self::Evict {
                client_id: r.text()?,
                epoch: Epoch(r.i64()?),
                is_resumed: r.u8()? != 0,
            },
            19 => Self::Evicted {
                client_id: r.text()?,
                epoch: Epoch(r.i64()?),
            },
            20 => {
                let (topic_name, version) = (r.text()?, r.i64()?);
                let record = (r.u8()? != 0).then_some(r.0);
                Self::Retained {
                    topic_name,
                    version,
                    record,
                }
            }
            21 => Self::Buried(NodeId(r.i64()?)),
            24 => Self::Applied(r.i64()?),
            25 => Self::Sender(Sender {
                session: SessionId(r.i64()?),
                packet_id: r.u16()?,
                epoch: Epoch(r.i64()?),
                is_repeated: r.u8()? != 0,
                digest: r.u64()?,
            }),
            26 => Self::Released {
                session: SessionId(r.i64()?),
                packet_id: r.u16()?,
            },
            _ => return Ok(None),
        }))
    }
}

/// Appends an event: its tag, a length, and what `put_fields` appends.
pub(crate) fn put_event(tag: u8, frame: &mut BytesMut, put_fields: impl FnOnce(&mut BytesMut)) {
    frame.put_u8(tag);
    let length_at = frame.len();
    frame.put_u32(0);
    put_fields(frame);
    let length = u32::try_from(frame.len() - length_at - 4).unwrap_or(u32::MAX);
    if let Some(place) = frame.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
pub(crate) mod tests;
