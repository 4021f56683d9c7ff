//! The byte forms of events with many fields.

use bytes::{BufMut, BytesMut};

use super::{Queued, QueuedTarget, SessionClaimed};
use crate::{
    EntryId, Epoch, MessageId, NodeId, RecordError, SessionId,
    wire::{Reader, put_bytes, put_subscription, put_text},
};

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
