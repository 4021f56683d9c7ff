//! The files of `ibc` that read and write records and frames, and nothing else of it: its
//! databases would have to be compiled once more for the fuzz targets.

#[path = "../../ibc/src/event.rs"]
pub mod event;
#[path = "../../ibc/src/frame.rs"]
mod frame;
#[path = "../../ibc/src/id.rs"]
mod id;
#[path = "../../ibc/src/record.rs"]
mod record;
#[path = "../../ibc/src/session.rs"]
mod session;
#[path = "../../ibc/src/wire.rs"]
mod wire;

pub use frame::{Events, FrameWriter};
pub use id::{EntryId, Epoch, MessageId, NodeId, SessionId};
pub use record::{DeliveryOptions, MessageRecord, RecordError};
pub use session::*;
