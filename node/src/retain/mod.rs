//! Retained messages: the last one of each topic, for whoever subscribes later.
//!
//! Owns the tree that every node holds of them all. Changes come from the database, in this
//! node's own batches or another node's events; the larger version wins, whatever the order.

use std::sync::{Arc, PoisonError, RwLock};

use ahash::AHashMap;
use mqtt::TopicFilter;

use crate::delivery::Publication;

/// Deeper topics are refused where they come in; what walks the levels uses the stack.
const MAX_LEVELS: usize = 128;

/// The retained messages of the cluster.
#[derive(Default)]
pub(crate) struct Retain(RwLock<Level>);

/// A level of the topic tree. A removed message leaves its version, so that an older change that
/// arrives later cannot bring it back.
#[derive(Default)]
struct Level {
    version: i64,
    /// A tidying has passed since the message was removed.
    is_old: bool,
    publication: Option<Arc<Publication>>,
    children: AHashMap<Box<str>, Level>,
}

impl Retain {
    /// Sets or removes the message of a topic, unless a larger version is known.
    pub(crate) fn apply(
        &self,
        topic_name: &str,
        version: i64,
        publication: Option<Arc<Publication>>,
    ) {
        if topic_name.split('/').count() > MAX_LEVELS {
            return;
        }
        let mut root = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut level = &mut *root;
        for name in topic_name.split('/') {
            level = level.children.entry(name.into()).or_default();
        }
        if version > level.version {
            level.version = version;
            level.is_old = false;
            level.publication = publication;
        }
    }

    /// Every message whose topic matches `filter`, without expired ones.
    pub(crate) fn matching(&self, filter: &TopicFilter) -> Vec<Arc<Publication>> {
        let root = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let levels: Vec<&str> = filter.levels().collect();
        let mut found = Vec::new();
        root.collect(&levels, true, &mut found);
        found
    }

    /// The number of messages, and forgets what removed or expired ones left behind.
    pub(crate) fn tidy(&self) -> usize {
        let mut root = self.0.write().unwrap_or_else(PoisonError::into_inner);
        root.tidy()
    }
}

impl Level {
    fn collect(&self, filter: &[&str], is_first: bool, found: &mut Vec<Arc<Publication>>) {
        let Some((name, rest)) = filter.split_first() else {
            self.give(found);
            return;
        };
        // [MQTT-4.7.2-1] A wildcard in the first level does not match topics that begin with $.
        let is_hidden = |child: &str| is_first && child.starts_with('$');
        match *name {
            "#" => {
                if !is_first {
                    self.give(found);
                }
                for (child, level) in &self.children {
                    if !is_hidden(child) {
                        level.collect(filter, false, found);
                    }
                }
            }
            "+" => {
                for (child, level) in &self.children {
                    if !is_hidden(child) {
                        level.collect(rest, false, found);
                    }
                }
            }
            name => {
                if let Some(level) = self.children.get(name) {
                    level.collect(rest, false, found);
                }
            }
        }
    }

    fn give(&self, found: &mut Vec<Arc<Publication>>) {
        found.extend(
            self.publication
                .iter()
                .filter(|publication| publication.remaining_expiry() != Some(0))
                .cloned(),
        );
    }

    fn tidy(&mut self) -> usize {
        let mut count = 0;
        self.children.retain(|_, child| {
            count += child.tidy();
            child.publication.is_some() || !child.children.is_empty() || child.is_recent()
        });
        if self
            .publication
            .as_ref()
            .is_some_and(|old| old.remaining_expiry() == Some(0))
        {
            self.publication = None;
        }
        count + usize::from(self.publication.is_some())
    }

    /// Whether an older change may still arrive. Versions are not times, so what was removed is
    /// kept until the next but one tidying.
    fn is_recent(&mut self) -> bool {
        let is_recent = self.version > 0 && !self.is_old;
        self.is_old = true;
        is_recent
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use mqtt::{Message, MessageProperties, Qos, Str, TopicName};

    use super::*;

    fn publication(topic: &str, payload: &'static str) -> Arc<Publication> {
        let message = Message {
            topic_name: TopicName::new(topic).unwrap(),
            payload: Bytes::from_static(payload.as_bytes()),
            qos: Qos::AtMostOnce,
            retain: true,
            properties: MessageProperties::default(),
        };
        Arc::new(Publication::new(Str::default(), message))
    }

    fn set(retain: &Retain, topic: &str, version: i64, payload: &'static str) {
        retain.apply(topic, version, Some(publication(topic, payload)));
    }

    fn found(retain: &Retain, filter: &str) -> Vec<String> {
        let filter = TopicFilter::new(filter).unwrap();
        let mut topics: Vec<_> = retain
            .matching(&filter)
            .iter()
            .map(|publication| publication.message().topic_name.to_string())
            .collect();
        topics.sort();
        topics
    }

    /// [MQTT-4.7.1-1] [MQTT-4.7.2-1]
    #[test]
    fn a_filter_finds_the_topics_that_the_specification_says() {
        let retain = Retain::default();
        for topic in ["a", "a/b", "a/b/c", "/a", "$SYS/x"] {
            set(&retain, topic, 1, "1");
        }
        assert_eq!(found(&retain, "#"), ["/a", "a", "a/b", "a/b/c"]);
        assert_eq!(found(&retain, "a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(found(&retain, "+/+"), ["/a", "a/b"]);
        assert_eq!(found(&retain, "+/x"), Vec::<String>::new());
        assert_eq!(found(&retain, "$SYS/#"), ["$SYS/x"]);
    }

    #[test]
    fn the_larger_version_wins_whatever_the_order() {
        let retain = Retain::default();
        set(&retain, "a", 5, "new");
        set(&retain, "a", 4, "old");
        let filter = TopicFilter::new("a").unwrap();
        assert_eq!(
            retain.matching(&filter).first().unwrap().message().payload,
            "new"
        );
        retain.apply("a", 7, None);
        set(&retain, "a", 6, "late");
        assert!(retain.matching(&filter).is_empty());
    }

    #[test]
    fn tidying_forgets_removed_messages_after_a_while() {
        let retain = Retain::default();
        set(&retain, "a/b", 1, "1");
        retain.apply("a/b", 2, None);
        assert_eq!(retain.tidy(), 0);
        set(&retain, "a/b", 1, "late");
        retain.tidy();
        retain.tidy();
        assert!(retain.0.read().unwrap().children.is_empty());
    }
}
