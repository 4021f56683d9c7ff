//! Topic filters by their levels, so that a topic name finds all that match it (section 4.7).

mod levels;
mod name;

use self::levels::{LevelId, Levels, ROOT};

/// Values by topic filter. An empty value is forgotten.
#[derive(Debug)]
pub(crate) struct Tree<V: Default> {
    levels: Levels<V>,
}

/// A value that may be empty.
pub(crate) trait Value: Default {
    /// Whether there is nothing in it, so that its place can be given up.
    fn is_empty(&self) -> bool;
}

/// Where the value of a filter is, for as long as it is not empty: the number of the last level before
/// `#`, and a bit for whether there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PlaceId(u32);

impl PlaceId {
    const fn new(level: LevelId, is_below: bool) -> Self {
        Self(level << 1 | is_below as u32)
    }

    const fn level(self) -> LevelId {
        self.0 >> 1
    }

    const fn is_below(self) -> bool {
        self.0 & 1 == 1
    }
}

impl<V: Default> Default for Tree<V> {
    fn default() -> Self {
        Self {
            levels: Levels::default(),
        }
    }
}

impl<V: Value> Tree<V> {
    /// The place of `filter`, which has no `$share` part.
    pub(crate) fn find(&self, filter: &str) -> Option<PlaceId> {
        let mut level = ROOT;
        for name in filter.split('/') {
            match name {
                "#" => return Some(PlaceId::new(level, true)),
                "+" => level = Some(self.levels.get(level)?.any).filter(|any| *any != ROOT)?,
                name => level = self.levels.child(level, name)?,
            }
        }
        Some(PlaceId::new(level, false))
    }

    /// Changes the value of `filter`, which has no `$share` part. The place is good for as long as the
    /// value is not empty. `None`: there are as many filters as there can be, and nothing has changed.
    pub(crate) fn update<R>(
        &mut self,
        filter: &str,
        change: impl FnOnce(&mut V) -> R,
    ) -> Option<(PlaceId, R)> {
        let mut level = ROOT;
        let mut is_below = false;
        for name in filter.split('/') {
            let next = match name {
                "#" => {
                    is_below = true;
                    break;
                }
                "+" => match self.levels.get(level)?.any {
                    ROOT => self.levels.add_any(level),
                    any => Some(any),
                },
                name => match self.levels.child(level, name) {
                    None => self.levels.add(level, name),
                    child => child,
                },
            };
            let Some(next) = next else {
                self.give_up(level);
                return None;
            };
            level = next;
        }
        let place = PlaceId::new(level, is_below);
        Some((place, self.change(place, change)?))
    }

    /// Changes the value at `place`.
    pub(crate) fn change<R>(
        &mut self,
        place: PlaceId,
        change: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        let level = self.levels.get_mut(place.level())?;
        let value = if place.is_below() {
            &mut level.below
        } else {
            &mut level.here
        };
        let result = change(value);
        if value.is_empty() {
            self.give_up(place.level());
        }
        Some(result)
    }

    /// Gives up a level that nothing is in, and those above that were there for it alone.
    fn give_up(&mut self, mut id: LevelId) {
        while id != ROOT
            && let Some(level) = self.levels.get(id)
            && level.here.is_empty()
            && level.below.is_empty()
            && !level.has_children()
        {
            match self.levels.remove(id) {
                Some(parent) => id = parent,
                None => return,
            }
        }
    }

    /// The value at `place`.
    pub(crate) fn get(&self, place: PlaceId) -> Option<&V> {
        let level = self.levels.get(place.level())?;
        Some(if place.is_below() {
            &level.below
        } else {
            &level.here
        })
    }

    /// The filter of `place`.
    pub(crate) fn filter(&self, place: PlaceId) -> String {
        let mut names: Vec<&[u8]> = Vec::new();
        if place.is_below() {
            names.push(b"#");
        }
        let mut id = place.level();
        while id != ROOT
            && let Some(level) = self.levels.get(id)
        {
            names.push(level.name());
            id = level.parent;
        }
        names.reverse();
        // It was text when it came.
        String::from_utf8(names.join(&b'/')).unwrap_or_default()
    }

    /// The places with a value that `is_wanted`. Looks at each.
    pub(crate) fn places(&self, is_wanted: impl Fn(&V) -> bool) -> Vec<PlaceId> {
        let mut found = Vec::new();
        for (id, level) in self.levels.iter() {
            let here = (PlaceId::new(id, false), &level.here);
            for (place, value) in [here, (PlaceId::new(id, true), &level.below)] {
                if !value.is_empty() && is_wanted(value) {
                    found.push(place);
                }
            }
        }
        found
    }

    /// Calls `found` with the value of each filter that matches `topic`.
    pub(crate) fn matches<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a V)) {
        if topic.starts_with('$') {
            // [MQTT-4.7.2-1] A wildcard in the first level does not match these.
            let (first, rest) = next_level(topic);
            if let Some(child) = self.levels.child(ROOT, first) {
                self.match_level(child, rest, found);
            }
        } else {
            self.match_level(ROOT, Some(topic), found);
        }
    }

    fn match_level<'a>(&'a self, id: LevelId, rest: Option<&str>, found: &mut impl FnMut(&'a V)) {
        let Some(level) = self.levels.get(id) else {
            return;
        };
        if !level.below.is_empty() {
            found(&level.below);
        }
        let Some(rest) = rest else {
            if !level.here.is_empty() {
                found(&level.here);
            }
            return;
        };
        if !level.has_children() {
            return;
        }
        let (first, rest) = next_level(rest);
        if let Some(child) = self.levels.child(id, first) {
            self.match_level(child, rest, found);
        }
        if level.any != ROOT {
            self.match_level(level.any, rest, found);
        }
    }
}

fn next_level(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (topic, None),
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
        assert_eq!(format!("{:?}", tree.levels), "Levels { count: 1 }");
    }

    #[test]
    fn a_place_knows_its_filter() {
        let all = ["a/+/c", "#", "a/#", "+", "/", "//+/#", "é/$x", "a//b"];
        let tree = tree(&all);
        for filter in all {
            let place = tree.find(filter).unwrap();
            assert_eq!(tree.filter(place), filter);
            assert_eq!(tree.get(place).unwrap().0, [filter]);
        }
        assert_eq!(tree.find("a/+/d"), None);
        assert_eq!(tree.find("+/b"), None);
        let wanted = tree.places(|names| names.0[0].starts_with('a'));
        let mut wanted: Vec<_> = wanted.into_iter().map(|place| tree.filter(place)).collect();
        wanted.sort_unstable();
        assert_eq!(wanted, ["a/#", "a/+/c", "a//b"]);
    }
}
