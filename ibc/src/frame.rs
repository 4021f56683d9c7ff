//! The body of a frame: events one after another.
//!
//! Messages of one frame often have publisher, topic and properties in common. These, the head of
//! the record, are written with the first such message; the others refer to it and bring their
//! payload only. A frame can be read without any other.

use std::ops::Range;

use ahash::{AHashMap, RandomState};
use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    MessageRecord, RecordError,
    event::{Event, put_event},
    wire::Reader,
};

/// A message whose head others of the frame may refer to: 0, 1, 2, … in their order.
const FIRST: u8 = 22;
/// The number of a head, and a payload.
const AGAIN: u8 = 23;

/// Writes frames.
#[derive(Debug, Default)]
pub struct FrameWriter {
    bytes: BytesMut,
    heads: Heads,
    /// Bytes of the frame before, so that the usual one is allocated once.
    usual: usize,
}

impl FrameWriter {
    /// Bytes written since the last [`FrameWriter::take`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written since the last [`FrameWriter::take`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends what [`Event::encoded`] gave.
    pub fn put(&mut self, event: &[u8]) {
        self.reserve(event.len());
        self.bytes.extend_from_slice(event);
    }

    /// Appends the event [`Event::Message`] with `record`; at most
    /// [`MessageRecord::size_hint`] bytes.
    pub fn put_message(&mut self, record: &MessageRecord) {
        let payload = &record.message.payload;
        self.reserve(record.size_hint());
        let start = self.bytes.len();
        put_event(FIRST, &mut self.bytes, |bytes| {
            record.put_head(bytes);
            bytes.extend_from_slice(payload);
        });
        let end = self.bytes.len() - payload.len();
        if let Some(number) = self.heads.find_or_insert(&self.bytes, start + HEADER..end) {
            self.bytes.truncate(start);
            put_event(AGAIN, &mut self.bytes, |bytes| {
                bytes.put_u16(number);
                bytes.extend_from_slice(payload);
            });
        }
    }

    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(self.usual.max(more));
        }
    }

    /// Ends the frame and starts the next.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.heads.clear();
        // Halfway, so that one large frame is soon forgotten.
        self.usual = self.bytes.len().max(self.usual / 2);
        std::mem::take(&mut self.bytes).freeze()
    }
}

/// Bytes of tag and length.
const HEADER: usize = 5;

/// The heads in the frame that is being written.
#[derive(Debug, Default)]
struct Heads {
    hasher: RandomState,
    found: AHashMap<u64, Head>,
    last: Option<Head>,
    count: u16,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    start: usize,
    end: usize,
    number: u16,
}

impl Heads {
    /// The number of the head that has the bytes at `range`; if there is none, that one gets the
    /// next number, unless they are used up. All heads written as [`FIRST`] get one, used or not.
    fn find_or_insert(&mut self, frame: &[u8], range: Range<usize>) -> Option<u16> {
        let bytes = frame.get(range.clone());
        let is_same = |head: &Head| frame.get(head.start..head.end) == bytes;
        if let Some(head) = self.last.filter(is_same) {
            return Some(head.number);
        }
        let hash = self.hasher.hash_one(bytes);
        if let Some(head) = self.found.get(&hash).copied().filter(is_same) {
            self.last = Some(head);
            return Some(head.number);
        }
        let head = Head {
            start: range.start,
            end: range.end,
            number: self.count,
        };
        if let Some(next) = self.count.checked_add(1) {
            self.found.insert(hash, head);
            self.last = Some(head);
            self.count = next;
        }
        None
    }

    fn clear(&mut self) {
        self.found.clear();
        self.last = None;
        self.count = 0;
    }
}

/// The events of a frame, in order; those of an unknown kind are left out. What they hold are
/// slices of the frame.
#[derive(Debug)]
pub struct Events {
    reader: Reader,
    heads: Vec<MessageRecord>,
}

impl Events {
    /// Starts at the front of `frame`.
    #[must_use]
    pub const fn new(frame: Bytes) -> Self {
        Self {
            reader: Reader(frame),
            heads: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<Option<Event>, RecordError> {
        while !self.reader.is_empty() {
            let tag = self.reader.u8()?;
            let body = self.reader.bytes()?;
            let event = match tag {
                FIRST => Some(Event::Message(self.first(body)?)),
                AGAIN => Some(Event::Message(self.again(body)?)),
                _ => Event::decode(tag, body)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn first(&mut self, body: Bytes) -> Result<MessageRecord, RecordError> {
        let record = MessageRecord::decode(body)?;
        let mut head = record.clone();
        head.message.payload = Bytes::new();
        self.heads.push(head);
        Ok(record)
    }

    fn again(&self, body: Bytes) -> Result<MessageRecord, RecordError> {
        let mut reader = Reader(body);
        let number = usize::from(reader.u16()?);
        let mut record = self.heads.get(number).ok_or(RecordError::Value)?.clone();
        record.message.payload = reader.0;
        Ok(record)
    }
}

impl Iterator for Events {
    type Item = Result<Event, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read().transpose();
        if matches!(result, Some(Err(_))) {
            // What follows cannot be told apart any more.
            self.reader.0.clear();
        }
        result
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
