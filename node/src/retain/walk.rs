//! A subscriber's way through the retained messages that it found.

use std::sync::{Arc, PoisonError};

use mqtt::{Str, TopicFilter};

use super::Retain;
use crate::delivery::Publication;

/// The messages that match a filter, taken a few at a time: those that were there when it began. What
/// was replaced or removed since is left out; the subscriber has the new one as a live message.
#[derive(Debug)]
pub(crate) struct Walk {
    filter: TopicFilter,
    newest: i64,
    after: Option<Str>,
    is_done: bool,
}

impl Walk {
    pub(super) const fn new(filter: TopicFilter, newest: i64) -> Self {
        Self {
            filter,
            newest,
            after: None,
            is_done: false,
        }
    }

    /// The filter, without `$share/…`.
    pub(crate) fn filter(&self) -> &str {
        self.filter.as_str()
    }

    /// At most `limit` messages more, in the order of their topics; fewer if this was the end.
    pub(crate) fn take(&mut self, retain: &Retain, limit: usize) -> Vec<Arc<Publication>> {
        let mut found = Vec::new();
        if self.is_done || limit == 0 {
            return found;
        }
        let filter: Vec<&str> = self.filter.levels().collect();
        let after: Option<Vec<&str>> = self.after.as_ref().map(|topic| topic.split('/').collect());
        let tree = retain.tree(&self.filter);
        let tree = tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.walk(&filter, after.as_deref(), self.newest, &mut |publication| {
            found.push(Arc::clone(publication));
            found.len() < limit
        });
        drop(tree);
        self.is_done = found.len() < limit;
        self.after = found
            .last()
            .map(|publication| publication.message().topic_name.as_shared().clone());
        found
    }

    /// Whether nothing more comes.
    pub(crate) const fn is_done(&self) -> bool {
        self.is_done
    }
}
