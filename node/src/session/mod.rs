//! What the broker remembers of one client: its session while it is connected here.
//!
//! Owns the window of messages on their way to the client, the packet identifiers received, and
//! the registry of who is connected here under which claim. A session belongs to the task of its
//! connection; nobody else touches it.

mod aliases;
mod registry;
mod window;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::BuildHasherDefault,
    sync::Arc,
};

use ahash::AHasher;
use ibc::{Epoch, SessionId};
use mqtt::{PacketId, PacketType, ProtocolVersion, Qos, ReasonCode, Str};

pub(crate) use aliases::{AliasError, InboundAliases, OutboundAliases};
pub(crate) use registry::Registry;
pub(crate) use window::{InFlight, Phase, Window, WindowLimits};

use crate::{
    auth::{Exchange, Identity},
    cluster::{Stake, Ticket},
    delivery::{Delivery, Identifiers, Outbox},
    retain::Walk,
    router::TopicCache,
    telemetry::{Limit, LimitsMet, Tally, Traffic},
};

/// Packet identifiers. They have 16 bits, so a client that chooses them badly gains nothing, and a table
/// needs no secret of its own.
pub(crate) type PacketIds = HashSet<PacketId, BuildHasherDefault<AHasher>>;
/// What belongs to packet identifiers.
pub(crate) type ByPacketId<T> = HashMap<PacketId, T, BuildHasherDefault<AHasher>>;

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
    pub(crate) received: PacketIds,
    /// Those of them that came on an earlier connection; they do not count against our Receive
    /// Maximum, which begins anew with each connection (section 4.9).
    pub(crate) received_before: PacketIds,
    /// Those of them whose messages went to other nodes, which remember them until they are released.
    pub(crate) forwarded: PacketIds,
    /// What is owed to the client as soon as something is committed, in order [MQTT-4.6.0-2].
    pub(crate) owed: VecDeque<(Ticket, Owed)>,
    /// QoS 1 PUBLISH packets whose PUBACK is owed.
    pub(crate) unacknowledged: usize,
    /// Retained messages that a SUBSCRIBE has found, before all others.
    pub(crate) retained: Found,
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
    /// Limits of the broker that it has met on this connection.
    pub(crate) limits_met: LimitsMet,
    /// There is more in the mailbox, or in the database, than was sent.
    pub(crate) has_backlog: bool,
    /// What went in and out since it was counted last.
    pub(crate) tally: Tally,
}

/// Retained messages that are still to be sent.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where each SUBSCRIBE stands, one for each filter.
    pub(crate) walks: VecDeque<RetainedWalk>,
    /// The next few.
    pub(crate) next: VecDeque<Delivery>,
}

impl Found {
    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.walks.is_empty() && self.next.is_empty()
    }
}

/// The retained messages for one subscription.
#[derive(Debug)]
pub(crate) struct RetainedWalk {
    pub(crate) walk: Walk,
    /// The QoS that was granted.
    pub(crate) qos: Qos,
    pub(crate) identifiers: Identifiers,
}

impl Session {
    /// Counts what has gone in and out since the last time.
    pub(crate) fn count(&mut self, traffic: &Traffic) {
        traffic.flows.add_all(&mut self.tally);
        self.outbox.set_in_flight(self.window.len());
    }

    /// Notes that the client has met a limit. Returns whether it is the first time on this connection,
    /// so that it is logged once.
    pub(crate) fn meets(&mut self, limit: Limit) -> bool {
        self.limits_met.add(limit)
    }
}

impl Session {
    /// Whether the client accepts a packet of this size [MQTT-3.1.2-24].
    pub(crate) fn accepts(&self, packet_bytes: usize) -> bool {
        u32::try_from(packet_bytes).is_ok_and(|bytes| bytes <= self.maximum_packet_size)
    }

    /// What the first thing that the client is owed waits for.
    pub(crate) fn owed_first(&self) -> Option<Ticket> {
        self.owed.front().map(|(ticket, _)| *ticket)
    }

    /// What the client has in the lanes to the database.
    pub(crate) fn stake(&self) -> Stake {
        if self.owed.is_empty() {
            Stake::Nothing
        } else {
            Stake::Waiting
        }
    }

    /// QoS 1 and 2 messages of this connection that the client counts as under way
    /// [MQTT-3.3.4-7].
    pub(crate) fn under_way(&self) -> usize {
        self.received.len() - self.received_before.len() + self.unacknowledged
    }
}

/// What a client is owed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owed {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Acknowledge(PacketType, PacketId, ReasonCode),
    /// The PUBLISH of a message in the window whose packet identifier had to be stored first.
    Publish(PacketId),
}
