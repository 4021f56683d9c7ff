//! Topic filters by their levels, so that a topic name finds all that match it (section 4.7).

use ahash::AHashMap;

/// Values by topic filter. An empty value is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tree<V> {
    root: Level<V>,
}

/// A value that may be empty.
pub(crate) trait Value: Default {
    /// Whether there is nothing in it, so that its place can be given up.
    fn is_empty(&self) -> bool;
}

#[derive(Debug, Default)]
struct Level<V> {
    /// Filters that end here.
    here: V,
    /// Filters that end in `#` below here; they match this level as well [MQTT-4.7.1-1].
    below: V,
    children: AHashMap<Box<str>, Level<V>>,
    /// The child for `+`.
    any: Option<Box<Level<V>>>,
}

impl<V: Value> Level<V> {
    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.below.is_empty()
            && self.children.is_empty()
            && self.any.is_none()
    }
}

impl<V: Value> Tree<V> {
    /// Changes the value of `filter`, which has no `$share` part.
    pub(crate) fn update<R>(&mut self, filter: &str, change: impl FnOnce(&mut V) -> R) -> R {
        let mut levels: Vec<&str> = filter.split('/').collect();
        levels.reverse();
        Self::update_level(&mut self.root, &mut levels, change)
    }

    fn update_level<R>(
        level: &mut Level<V>,
        rest: &mut Vec<&str>,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let Some(name) = rest.pop() else {
            return change(&mut level.here);
        };
        match name {
            "#" => change(&mut level.below),
            "+" => {
                let child = level.any.get_or_insert_with(|| Box::new(Level::new()));
                let result = Self::update_level(child, rest, change);
                if child.is_empty() {
                    level.any = None;
                }
                result
            }
            _ => {
                if !level.children.contains_key(name) {
                    level.children.insert(name.into(), Level::new());
                }
                let Some(child) = level.children.get_mut(name) else {
                    return change(&mut level.here);
                };
                let result = Self::update_level(child, rest, change);
                if child.is_empty() {
                    level.children.remove(name);
                }
                result
            }
        }
    }

    /// Calls `found` with the value of each filter that matches `topic`.
    pub(crate) fn matches<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a V)) {
        if topic.starts_with('$') {
            // [MQTT-4.7.2-1] A wildcard in the first level does not match these.
            let (first, rest) = match topic.split_once('/') {
                Some((first, rest)) => (first, Some(rest)),
                None => (topic, None),
            };
            if let Some(child) = self.root.children.get(first) {
                Self::match_level(child, rest, found);
            }
        } else {
            Self::match_level(&self.root, Some(topic), found);
        }
    }

    fn match_level<'a>(level: &'a Level<V>, rest: Option<&str>, found: &mut impl FnMut(&'a V)) {
        if !level.below.is_empty() {
            found(&level.below);
        }
        let Some(rest) = rest else {
            if !level.here.is_empty() {
                found(&level.here);
            }
            return;
        };
        let (first, rest) = match rest.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (rest, None),
        };
        if let Some(child) = level.children.get(first) {
            Self::match_level(child, rest, found);
        }
        if let Some(child) = &level.any {
            Self::match_level(child, rest, found);
        }
    }
}

impl<V: Default> Level<V> {
    fn new() -> Self {
        Self {
            here: V::default(),
            below: V::default(),
            children: AHashMap::new(),
            any: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<&'static str>);

    impl Value for Names {
        fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn tree(filters: &[&'static str]) -> Tree<Names> {
        let mut tree = Tree::default();
        for filter in filters {
            tree.update(filter, |names: &mut Names| names.0.push(filter));
        }
        tree
    }

    fn found(tree: &Tree<Names>, topic: &str) -> Vec<&'static str> {
        let mut all = Vec::new();
        tree.matches(topic, &mut |names| all.extend(&names.0));
        all.sort_unstable();
        all
    }

    /// [MQTT-4.7.1-1] [MQTT-4.7.1-2]
    #[test]
    fn a_topic_finds_the_filters_that_the_specification_says() {
        let all = [
            "sport/tennis/player1/#",
            "sport/#",
            "#",
            "+/tennis/#",
            "sport+",
            "sport/+",
            "/+",
            "+",
            "+/+",
        ];
        let tree = tree(&all);
        let expect = |topic: &str| {
            let mut expected: Vec<_> = all
                .into_iter()
                .filter(|filter| {
                    mqtt::TopicFilter::new(filter).is_ok_and(|filter| filter.matches(topic))
                })
                .collect();
            expected.sort_unstable();
            expected
        };
        for topic in [
            "sport/tennis/player1",
            "sport/tennis/player1/ranking",
            "sport",
            "sport/",
            "/finance",
            "a",
            "été/é",
        ] {
            assert_eq!(found(&tree, topic), expect(topic), "{topic}");
        }
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn a_dollar_topic_is_found_only_by_its_name() {
        let tree = tree(&["#", "+/x", "$SYS/#", "$SYS/+", "$SYS/x"]);
        assert_eq!(found(&tree, "$SYS/x"), ["$SYS/#", "$SYS/+", "$SYS/x"]);
        assert_eq!(found(&tree, "$SYS"), ["$SYS/#"]);
    }

    #[test]
    fn an_emptied_place_is_given_up() {
        let mut tree = tree(&["a/+/c", "a/#", "b"]);
        for filter in ["a/+/c", "a/#", "b"] {
            tree.update(filter, |names: &mut Names| names.0.clear());
        }
        assert!(tree.root.is_empty());
    }
}
