//! Messages by the levels of their topics, in order, so that a walk can go on where it was.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::Size;
use crate::delivery::Publication;

/// The last message of each topic.
#[derive(Default)]
pub(super) struct Tree {
    root: Level,
    size: Size,
    newest: i64,
}

/// A level of the topic tree. A removed message leaves its version, so that an older change that
/// arrives later cannot bring it back.
#[derive(Default)]
pub(super) struct Level {
    version: i64,
    /// A tidying has passed since the message was removed.
    is_old: bool,
    publication: Option<Arc<Publication>>,
    children: BTreeMap<Box<str>, Level>,
}

impl Size {
    fn exchange(&mut self, old: Option<&Arc<Publication>>, new: Option<&Arc<Publication>>) {
        if let Some(old) = old {
            self.messages -= 1;
            self.bytes -= old.size_bytes();
        }
        if let Some(new) = new {
            self.messages += 1;
            self.bytes += new.size_bytes();
        }
    }
}

impl Tree {
    /// Sets or removes the message of a topic, unless a larger version is known.
    pub(super) fn apply(
        &mut self,
        topic_name: &str,
        version: i64,
        publication: Option<Arc<Publication>>,
    ) {
        let mut level = &mut self.root;
        for name in topic_name.split('/') {
            level = level.children.entry(name.into()).or_default();
        }
        self.newest = self.newest.max(version);
        if version > level.version {
            self.size
                .exchange(level.publication.as_ref(), publication.as_ref());
            level.version = version;
            level.is_old = false;
            level.publication = publication;
        }
    }

    pub(super) fn get(&self, topic_name: &str) -> Option<&Arc<Publication>> {
        let mut level = &self.root;
        for name in topic_name.split('/') {
            level = level.children.get(name)?;
        }
        level.publication.as_ref()
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// The largest version that was applied.
    pub(super) const fn newest(&self) -> i64 {
        self.newest
    }

    /// Gives each message that matches `filter` to `found`, those after the topic `after` only, in
    /// order, until it returns false. Expired ones, and those above `newest`, are left out.
    pub(super) fn walk(
        &self,
        filter: &[&str],
        after: Option<&[&str]>,
        newest: i64,
        found: &mut dyn FnMut(&Arc<Publication>) -> bool,
    ) {
        let mut walker = Walker { newest, found };
        // Whether it went to the end is of no interest: the last call of `found` knows.
        let _ = self.root.walk(filter, after, true, &mut walker);
    }

    pub(super) fn tidy(&mut self) {
        self.root.tidy(&mut self.size);
    }
}

struct Walker<'a> {
    newest: i64,
    found: &'a mut dyn FnMut(&Arc<Publication>) -> bool,
}

impl Walker<'_> {
    fn give(&mut self, level: &Level) -> bool {
        match &level.publication {
            Some(publication)
                if level.version <= self.newest && publication.remaining_expiry() != Some(0) =>
            {
                (self.found)(publication)
            }
            _ => true,
        }
    }
}

impl Level {
    /// `after` is what is left of the topic after which to go on; `None`: from the beginning; empty:
    /// that topic is this level, whose children come next. Returns false if it was told to stop.
    fn walk(
        &self,
        filter: &[&str],
        after: Option<&[&str]>,
        is_first: bool,
        walker: &mut Walker<'_>,
    ) -> bool {
        let Some((name, rest)) = filter.split_first() else {
            return after.is_some() || walker.give(self);
        };
        // A topic comes before those below it.
        let is_multi_level = *name == "#";
        if is_multi_level && !is_first && after.is_none() && !walker.give(self) {
            return false;
        }
        if !is_multi_level && *name != "+" {
            let after = match after.map(<[&str]>::split_first) {
                None | Some(None) => None,
                Some(Some((first, _))) if *first < *name => None,
                Some(Some((first, below))) if first == name => Some(below),
                Some(Some(_)) => return true,
            };
            return match self.children.get(*name) {
                Some(child) => child.walk(rest, after, false, walker),
                None => true,
            };
        }
        let below = if is_multi_level { filter } else { rest };
        let mut start = Bound::Unbounded;
        if let Some((first, after)) = after.and_then(<[&str]>::split_first) {
            if let Some(child) = self.children.get(*first)
                && !child.walk(below, Some(after), false, walker)
            {
                return false;
            }
            start = Bound::Excluded(*first);
        }
        self.children
            .range::<str, _>((start, Bound::Unbounded))
            // [MQTT-4.7.2-1] A wildcard in the first level does not match topics that begin with $.
            .filter(|(child, _)| !(is_first && child.starts_with('$')))
            .all(|(_, child)| child.walk(below, None, false, walker))
    }

    fn tidy(&mut self, size: &mut Size) {
        self.children.retain(|_, child| {
            child.tidy(size);
            child.publication.is_some() || !child.children.is_empty() || child.is_recent()
        });
        if let Some(old) = &self.publication
            && old.remaining_expiry() == Some(0)
        {
            size.exchange(Some(old), None);
            self.publication = None;
        }
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
impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.root.children.is_empty()
    }
}
