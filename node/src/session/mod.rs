//! What the broker remembers of one client: its session while it is connected here.
//!
//! Owns the window of messages on their way to the client, the packet identifiers received, and
//! the registry of who is connected here under which claim. A session belongs to the task of its
//! connection; nobody else touches it.

mod aliases;
mod registry;
mod window;

use std::{collections::VecDeque, sync::Arc};

use ahash::AHashSet;
use ibc::{Epoch, SessionId};
use mqtt::{PacketId, PacketType, ProtocolVersion, ReasonCode, Str};

pub(crate) use aliases::{AliasError, InboundAliases, OutboundAliases};
pub(crate) use registry::Registry;
pub(crate) use window::{InFlight, Phase, Window};

use crate::{
    auth::{Exchange, Identity},
    cluster::Ticket,
    delivery::{Delivery, Outbox},
    router::TopicCache,
};

/// A client that is connected here.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) client_id: Str,
    pub(crate) version: ProtocolVersion,
    /// Who the connection is of.
    pub(crate) identity: Identity,
    /// A re-authentication under way (section 4.12.1).
    pub(crate) reauthentication: Option<Box<Exchange>>,
    /// Whether it outlives the connection and is kept in the database.
    pub(crate) is_stored: bool,
    /// Session Expiry Interval in seconds.
    pub(crate) expiry_interval: u32,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) window: Window,
    /// QoS 2 packet identifiers received and not released [MQTT-4.3.3-10].
    pub(crate) received: AHashSet<PacketId>,
    /// What is owed to the client as soon as something is committed, in order [MQTT-4.6.0-2].
    pub(crate) owed: VecDeque<(Ticket, Owed)>,
    /// QoS 1 PUBLISH packets whose PUBACK is owed.
    pub(crate) unacknowledged: usize,
    /// Retained messages that a SUBSCRIBE has found, before all others.
    pub(crate) retained: VecDeque<Delivery>,
    /// A page of the queue is under way.
    pub(crate) is_paging: bool,
    /// Every node knows that the session is here.
    pub(crate) is_settled: bool,
    /// It has published something that other nodes, or the database, were given.
    pub(crate) has_published: bool,
    /// DISCONNECT has changed the Session Expiry Interval.
    pub(crate) has_new_expiry: bool,
    /// It has been a member of a shared subscription.
    pub(crate) has_shared: bool,
    pub(crate) topics: TopicCache,
    pub(crate) inbound_aliases: InboundAliases,
    pub(crate) outbound_aliases: OutboundAliases,
    /// Largest packet the client accepts, in bytes [MQTT-3.1.2-24].
    pub(crate) maximum_packet_size: u32,
    /// A Will is in the database until the connection ends.
    pub(crate) has_stored_will: bool,
    /// The Will, until DISCONNECT deletes it.
    pub(crate) will: Option<Box<mqtt::Will>>,
}

/// What a client is owed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owed {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Acknowledge(PacketType, PacketId, ReasonCode),
    /// The PUBLISH of a message in the window whose packet identifier had to be stored first.
    Publish(PacketId),
}
