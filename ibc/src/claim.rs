//! What a claim finds, and what follows from it; the same on every database.

use crate::{Claim, Epoch, NodeId, Owner, SessionId};

/// What is stored of a client when it is claimed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) session: SessionId,
    /// 0: the client was not known.
    pub(crate) epoch: Epoch,
    pub(crate) owner: Option<NodeId>,
    pub(crate) expiry_interval: i64,
    pub(crate) is_expired: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The session goes on (Session Present).
    pub(crate) is_resumed: bool,
    /// The session that ends here.
    pub(crate) discarded: Option<SessionId>,
    /// Who must hand over.
    pub(crate) previous: Option<Owner>,
}

impl Found {
    /// `is_alive` tells whether a node is not dead.
    pub(crate) fn decide(&self, claim: &Claim, is_alive: impl Fn(NodeId) -> bool) -> Decision {
        let is_known = self.epoch.0 > 0;
        // [MQTT-3.1.2-5] A session that was to end with its connection is resumed by nobody.
        let is_resumed =
            is_known && !claim.clean_start && !self.is_expired && self.expiry_interval > 0;
        let owner = self.owner.filter(|owner| is_known && is_alive(*owner));
        Decision {
            is_resumed,
            // [MQTT-3.1.2-4] Clean Start discards an existing session.
            discarded: (is_known && !is_resumed).then_some(self.session),
            previous: owner.map(|node| Owner {
                node,
                epoch: self.epoch,
            }),
        }
    }
}
