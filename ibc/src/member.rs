//! Membership: which nodes there are, by leases on the clock of the database.

use crate::{NodeId, StoreError};

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Learning the routes; takes no clients yet.
    Joining,
    /// Takes clients.
    Live,
    /// Sends its clients away before it stops.
    Draining,
    /// Stopped, or declared dead. Final for this incarnation.
    Dead,
}

impl NodeState {
    /// The word stored in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Dead => "dead",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Joining, Self::Live, Self::Draining, Self::Dead]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A node as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its incarnation.
    pub node: NodeId,
    /// Its configured name, unique in the cluster.
    pub name: String,
    /// The release it runs.
    pub version: String,
    /// Where it is in its life.
    pub state: NodeState,
    /// Whether its lease has run out by the clock of the database.
    pub is_expired: bool,
    /// Whether it gives no sign of life: it has neither of its two lasting connections to the
    /// database. Always false where the database has none.
    pub is_absent: bool,
}

/// What a node is told when it joins.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The new incarnation of this node.
    pub node: NodeId,
    /// Earlier incarnations under the same name that were declared dead by this join, so that
    /// their sessions wait to be buried (`Store::bury`).
    pub previous: Vec<NodeId>,
}

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Another live node has this name: its lease was renewed while we watched.
    #[error(
        "node.name: another live node of this cluster is called \"{name}\"; give each node a name of its own"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
