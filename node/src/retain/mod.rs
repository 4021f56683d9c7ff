//! Retained messages: the last one of each topic, for whoever subscribes later.
//!
//! Owns two trees that are in memory as a whole: that of the cluster, which every node holds, and that
//! of this node alone (`$SYS`). Changes of the first come from the database, in this node's own
//! batches or another node's events; the larger version wins, whatever the order.

mod tree;
mod walk;

use std::sync::{Arc, PoisonError, RwLock};

use mqtt::TopicFilter;

use self::tree::Tree;
pub(crate) use self::walk::Walk;
use crate::{
    config::{MOST_TOPIC_LEVELS, Mqtt},
    delivery::Publication,
};

/// What clients may not publish to: the topics of the broker itself.
pub(crate) const SYS: &str = "$SYS";

/// Whether a topic, or what a filter matches, belongs to the broker itself.
pub(crate) fn is_sys(topic: &str) -> bool {
    topic
        .strip_prefix(SYS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The retained messages of the cluster, and those of this node alone.
pub(crate) struct Retain {
    cluster: RwLock<Tree>,
    local: RwLock<Tree>,
    max_messages: usize,
    max_bytes: usize,
}

/// How much is retained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) messages: usize,
    /// Of topic, payload and properties.
    pub(crate) bytes: usize,
}

impl Retain {
    pub(crate) fn new(settings: &Mqtt) -> Self {
        Self {
            cluster: RwLock::default(),
            local: RwLock::default(),
            max_messages: usize::try_from(settings.max_retained_messages).unwrap_or(usize::MAX),
            max_bytes: usize::try_from(settings.max_retained_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Sets or removes the message of a topic, unless a larger version is known.
    pub(crate) fn apply(
        &self,
        topic_name: &str,
        version: i64,
        publication: Option<Arc<Publication>>,
    ) {
        if topic_name.split('/').count() > MOST_TOPIC_LEVELS || is_sys(topic_name) {
            return;
        }
        let mut tree = self.cluster.write().unwrap_or_else(PoisonError::into_inner);
        tree.apply(topic_name, version, publication);
    }

    /// Sets the message of a topic that belongs to this node alone.
    pub(crate) fn apply_here(&self, publication: Arc<Publication>) {
        let mut tree = self.local.write().unwrap_or_else(PoisonError::into_inner);
        let version = tree.newest() + 1;
        let topic_name = publication.message().topic_name.clone();
        tree.apply(&topic_name, version, Some(publication));
    }

    /// Whether there is room for a message of `bytes`, in the place of the one that it replaces.
    pub(crate) fn has_room(&self, topic_name: &str, bytes: usize) -> bool {
        let tree = self.cluster.read().unwrap_or_else(PoisonError::into_inner);
        let size = tree.size();
        if size.messages < self.max_messages && size.bytes + bytes <= self.max_bytes {
            return true;
        }
        let Some(old) = tree.get(topic_name) else {
            return false;
        };
        let old_bytes = old.size_bytes();
        bytes <= old_bytes || size.bytes - old_bytes + bytes <= self.max_bytes
    }

    /// Begins a walk through every message that is there now and whose topic matches `filter`.
    pub(crate) fn walk(&self, filter: &TopicFilter) -> Walk {
        let tree = self.tree(filter);
        let newest = tree.read().unwrap_or_else(PoisonError::into_inner).newest();
        Walk::new(filter.clone(), newest)
    }

    fn tree(&self, filter: &TopicFilter) -> &RwLock<Tree> {
        if is_sys(filter.pattern()) {
            &self.local
        } else {
            &self.cluster
        }
    }

    /// How much the cluster retains, expired messages included until the next tidying.
    pub(crate) fn size(&self) -> Size {
        let tree = self.cluster.read().unwrap_or_else(PoisonError::into_inner);
        tree.size()
    }

    /// Forgets expired messages and what removed ones left behind.
    pub(crate) fn tidy(&self) {
        let mut tree = self.cluster.write().unwrap_or_else(PoisonError::into_inner);
        tree.tidy();
    }
}

#[cfg(test)]
mod tests;
