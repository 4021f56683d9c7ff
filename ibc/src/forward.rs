//! What travels from node to node.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{NodeId, StoreError};

/// A row of events from this node to another.
#[derive(Debug, Clone)]
pub struct Frame {
    /// For whom.
    pub destination: NodeId,
    /// 1, 2, 3, … within the stream from this node to `destination`.
    pub sequence: i64,
    /// Events, see [`crate::FrameWriter`]; at most [`Frame::MOST_BYTES`], unless one event alone is
    /// larger.
    pub body: Bytes,
}

impl Frame {
    /// A frame of several events is no larger. One that is no larger fits into a page of Postgres,
    /// so that it is one row, and not many in the TOAST table; and a message that is kept for a
    /// slow client keeps no more than this in memory.
    pub const MOST_BYTES: usize = 8000;
}

/// A frame that came from another node.
#[derive(Debug, Clone)]
pub struct ReceivedFrame {
    /// From whom.
    pub source: NodeId,
    /// Its place in the stream.
    pub sequence: i64,
    /// Events.
    pub body: Bytes,
}

/// Frames from other nodes, of several streams.
#[derive(Debug, Clone, Default)]
pub struct FramePage {
    /// In the order of each stream; and a frame that was committed before another was written comes
    /// before it, whoever wrote them.
    pub frames: Vec<ReceivedFrame>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// How far a stream has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The node that writes the stream.
    pub source: NodeId,
    /// The last frame read.
    pub sequence: i64,
}

/// Carries frames from node to node, in the order of each stream, without gaps, and in the order of
/// cause and effect between streams: a client that publishes at one node and then at another is
/// heard in this order.
///
/// Apart from [`Store`](crate::Store), because forwarding is the first thing that outgrows one
/// database server: another engine can carry the frames while the database keeps the truth.
#[async_trait]
pub trait Forward: Send + Sync + 'static {
    /// Appends `frames` in one transaction and rings each destination once; on return they are
    /// committed. A frame that is there already is left as it is, so a repeated call is harmless.
    async fn append(&self, node: NodeId, frames: &[Frame]) -> Result<(), StoreError>;

    /// Frames to this node after `cursors`, at most about `limit`.
    /// A source not named is read from its start; it is found by the first call after
    /// [`Forward::wait`] has returned, and else 0.1 s later at most.
    async fn read(
        &self,
        node: NodeId,
        cursors: &[Cursor],
        limit: usize,
    ) -> Result<FramePage, StoreError>;

    /// Deletes the frames to this node up to `cursors`.
    async fn consumed(&self, node: NodeId, cursors: &[Cursor]) -> Result<(), StoreError>;

    /// Makes the room of deleted frames usable again, if it is worth it. To be called a few times a
    /// second.
    async fn vacuum(&self) -> Result<(), StoreError>;

    /// Another number than before means that frames which were there have been lost, in a crash of the
    /// database. The sender appends again what it was not told to be applied.
    async fn life(&self) -> Result<i64, StoreError>;

    /// Returns when the doorbell rang, or after `patience` without it. A ring that came since the
    /// last call returns at once. Cancel safe.
    async fn wait(&self, node: NodeId, patience: std::time::Duration) -> Result<(), StoreError>;
}
