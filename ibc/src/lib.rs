//! The inter-broker communicator: what the nodes of a cluster share through one database.
//!
//! Nodes never connect to each other. The truth (members, sessions, queues, retained messages,
//! wills) is behind [`Store`], on Postgres for a cluster and on SQLite for one node alone; what
//! travels from node to node is behind [`Forward`]; the users that people configure are behind
//! [`Users`]. All SQL of shared state is in this crate.
//! It owns no socket to a client and decides nothing about MQTT: it stores and carries.

mod batch;
mod claim;
mod error;
pub mod event;
mod forward;
mod frame;
mod id;
mod member;
pub mod postgres;
mod record;
mod session;
pub mod sqlite;
mod store;
mod user;
mod wire;

pub use batch::{
    Acknowledged, Batch, Committed, Detached, Moved, NewEntry, NewMessage, ReceivedId,
    RetainedChange, Sent, SubscriptionChange, WillFate, WillKey,
};
pub use error::{DiskTrouble, OpenError, StoreError};
pub use forward::{Cursor, Forward, Frame, FramePage, ReceivedFrame};
pub use frame::{Events, FrameWriter};
pub use id::{EntryId, Epoch, MessageId, NodeId, SessionId};
pub use member::{JoinError, Joined, Member, NodeState};
pub use record::{DeliveryOptions, MessageRecord, RecordError};
pub use session::{
    Buried, Claim, Claimed, DueWill, Ended, Kept, NewWill, Owner, PageLimit, QueuedEntry,
    QueuedPage, RetainedMessage, SessionSnapshot, SharedEntry, StoredSubscription, Surplus, Trim,
    Trimmed,
};
pub use store::Store;
pub use user::{MAX_USERNAME_BYTES, SCRAM_KEY_BYTES, ScramKeys, User, Users};
