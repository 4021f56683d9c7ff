//! The byte forms of numbers and strings in records and events: big-endian, strings and byte
//! strings behind a length. Reading never goes past the end and copies nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt::{Str, SubscriptionOptions, TopicFilter};

use crate::{StoredSubscription, record::RecordError};

#[derive(Debug)]
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn need(&self, bytes: usize) -> Result<(), RecordError> {
        if self.0.len() < bytes {
            Err(RecordError::Short)
        } else {
            Ok(())
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RecordError> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RecordError> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RecordError> {
        self.need(8)?;
        Ok(self.0.get_u64())
    }

    pub(crate) fn i64(&mut self) -> Result<i64, RecordError> {
        self.need(8)?;
        Ok(self.0.get_i64())
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = self.u32()? as usize;
        self.need(length)?;
        Ok(self.0.split_to(length))
    }

    pub(crate) fn text(&mut self) -> Result<Str, RecordError> {
        let length = usize::from(self.u16()?);
        self.need(length)?;
        Str::from_bytes(self.0.split_to(length)).map_err(|_| RecordError::Text)
    }

    pub(crate) fn subscription(&mut self) -> Result<StoredSubscription, RecordError> {
        let filter = TopicFilter::try_from(self.text()?).map_err(|_| RecordError::Text)?;
        let options = SubscriptionOptions::from_byte(self.u8()?).ok_or(RecordError::Value)?;
        let identifier = self.u32()?;
        Ok(StoredSubscription {
            filter,
            options,
            identifier: (identifier != 0).then_some(identifier),
        })
    }
}

pub(crate) fn put_text(text: &str, buffer: &mut BytesMut) {
    // Every text that gets here is an MQTT string or a client ID, so it fits [MQTT-1.5.4-1].
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    buffer.put_u16(length);
    buffer.extend_from_slice(
        text.as_bytes()
            .get(..usize::from(length))
            .unwrap_or_default(),
    );
}

pub(crate) fn put_bytes(bytes: &[u8], buffer: &mut BytesMut) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    buffer.put_u32(length);
    buffer.extend_from_slice(bytes);
}

pub(crate) fn put_subscription(subscription: &StoredSubscription, buffer: &mut BytesMut) {
    put_text(subscription.filter.as_str(), buffer);
    buffer.put_u8(subscription.options.to_byte());
    buffer.put_u32(subscription.identifier.unwrap_or(0));
}
