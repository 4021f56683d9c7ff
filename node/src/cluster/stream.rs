//! The stream of events to one other node.
//!
//! Frames that the database has are kept here too until the other node says that it has applied
//! them: the table of frames is lost when the database crashes, and then they are written again.

use std::collections::VecDeque;

use bytes::Bytes;
use ibc::{Frame, FrameWriter, event::Event};

/// About as much goes to each peer in one commit: a receiver reads the first frames while the next
/// are being written.
pub(super) const COMMIT_BYTES: usize = 256 * 1024;

/// A node that does not say what it has applied, because it is of an older release, costs no more.
const UNCONFIRMED_BYTES: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Stream {
    closed: VecDeque<Body>,
    open: FrameWriter,
    /// The batch in which the first event of the open frame came up.
    opened: u64,
    /// Whether an event of the open frame must not be lost.
    must_arrive: bool,
    /// The last frame given to the database.
    sequence: i64,
    kept: VecDeque<(i64, Bytes)>,
    kept_bytes: usize,
    /// The last frame that the peer says it has applied.
    applied: i64,
    has_confirmed: bool,
    pub(super) sync_sent: u64,
    /// Nothing was added after the last [`Event::Sync`].
    pub(super) is_synced: bool,
    pub(super) sync_confirmed: u64,
}

/// The events of a frame.
struct Body {
    /// The batch in which the first of them came up.
    first: u64,
    bytes: Bytes,
    must_arrive: bool,
}

/// How important something in a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// It may be lost when the database crashes: a message with QoS 0.
    AtMostOnce,
    /// It is written again then.
    AtLeastOnce,
}

impl Worth {
    pub(super) const fn of(event: &Event) -> Self {
        match event {
            Event::Direct { .. } | Event::Applied(_) => Self::AtMostOnce,
            _ => Self::AtLeastOnce,
        }
    }
}

impl Stream {
    /// Appends with `put` what takes at most `most` bytes. Returns how many it took.
    pub(super) fn add(
        &mut self,
        number: u64,
        worth: Worth,
        most: usize,
        put: impl FnOnce(&mut FrameWriter),
    ) -> usize {
        if self.open.len() + most > Frame::MOST_BYTES {
            self.close();
        }
        let before = self.open.len();
        if before == 0 {
            self.opened = number;
        }
        put(&mut self.open);
        self.must_arrive |= worth == Worth::AtLeastOnce;
        self.is_synced = false;
        self.open.len() - before
    }

    pub(super) fn add_event(&mut self, number: u64, worth: Worth, event: &[u8]) -> usize {
        self.add(number, worth, event.len(), |frame| frame.put(event))
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push_back(Body {
                first: self.opened,
                bytes: self.open.take(),
                must_arrive: std::mem::take(&mut self.must_arrive),
            });
        }
    }

    /// What goes into the next commit: the number of each frame and its events.
    pub(super) fn take(&mut self) -> Vec<(i64, Bytes)> {
        let mut frames = Vec::new();
        let mut bytes = 0;
        while bytes < COMMIT_BYTES {
            if self.closed.is_empty() {
                self.close();
            }
            let Some(body) = self.closed.pop_front() else {
                break;
            };
            bytes += body.bytes.len();
            self.sequence += 1;
            if body.must_arrive {
                self.keep(body.bytes.clone());
            }
            frames.push((self.sequence, body.bytes));
        }
        frames
    }

    fn keep(&mut self, bytes: Bytes) {
        self.kept_bytes += bytes.len();
        self.kept.push_back((self.sequence, bytes));
        while !self.has_confirmed && self.kept_bytes > UNCONFIRMED_BYTES {
            let Some((sequence, bytes)) = self.kept.pop_front() else {
                return;
            };
            self.kept_bytes -= bytes.len();
            self.applied = sequence;
        }
    }

    /// The peer has applied all frames up to `sequence`.
    pub(super) fn applied(&mut self, sequence: i64) {
        self.has_confirmed = true;
        self.applied = self.applied.max(sequence.min(self.sequence));
        while let Some((first, bytes)) = self.kept.front()
            && *first <= self.applied
        {
            self.kept_bytes -= bytes.len();
            self.kept.pop_front();
        }
    }

    /// All frames given to the database of which the peer has not said that it has applied them.
    /// Those with nothing but messages of QoS 0 are empty now: they only keep the stream whole.
    pub(super) fn again(&self) -> Vec<(i64, Bytes)> {
        let mut kept = self.kept.iter().peekable();
        let sequences = self.applied + 1..=self.sequence;
        let body = |sequence| {
            let bytes = kept.next_if(|(first, _)| *first == sequence);
            (sequence, bytes.map(|(_, b)| b.clone()).unwrap_or_default())
        };
        sequences.map(body).collect()
    }

    /// Bytes of the frames that the peer has not confirmed.
    pub(super) const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Bytes not yet given to the database.
    pub(super) fn bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|body| body.bytes.len()).sum();
        closed + self.open.len()
    }

    /// The batch of the oldest event that was not yet given to the database.
    pub(super) fn first(&self) -> Option<u64> {
        let open = (!self.open.is_empty()).then_some(self.opened);
        self.closed.front().map(|body| body.first).or(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(stream: &mut Stream, worth: Worth, text: &[u8]) -> Vec<i64> {
        stream.add_event(1, worth, text);
        stream
            .take()
            .into_iter()
            .map(|(number, _)| number)
            .collect()
    }

    fn again(stream: &Stream) -> Vec<(i64, usize)> {
        let frames = stream.again();
        frames
            .iter()
            .map(|(number, body)| (*number, body.len()))
            .collect()
    }

    #[test]
    fn what_was_not_confirmed_is_there_once_more() {
        let mut stream = Stream::default();
        assert_eq!(add(&mut stream, Worth::AtLeastOnce, b"a"), [1]);
        assert_eq!(add(&mut stream, Worth::AtMostOnce, b"lost"), [2]);
        assert_eq!(add(&mut stream, Worth::AtLeastOnce, b"ccc"), [3]);
        assert_eq!(again(&stream), [(1, 1), (2, 0), (3, 3)]);
        stream.applied(1);
        assert_eq!(again(&stream), [(2, 0), (3, 3)]);
        assert_eq!(stream.kept_bytes(), 3);
        stream.applied(9);
        assert!(again(&stream).is_empty());
        assert_eq!(stream.kept_bytes(), 0);
        assert_eq!(add(&mut stream, Worth::AtLeastOnce, b"d"), [4]);
        assert_eq!(again(&stream), [(4, 1)]);
    }

    #[test]
    fn a_peer_that_never_confirms_costs_little() {
        let mut stream = Stream::default();
        for _ in 0..2000 {
            add(&mut stream, Worth::AtLeastOnce, &[0; 7000]);
        }
        assert!(stream.kept_bytes() <= UNCONFIRMED_BYTES);
        assert_eq!(again(&stream).len(), UNCONFIRMED_BYTES / 7000);
    }
}
