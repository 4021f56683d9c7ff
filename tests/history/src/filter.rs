//! Topic filters (section 4.7) and shared subscriptions (section 4.8.2).
//!
//! Written for the checker alone, from the specification: a mistake of the broker's own matching
//! must not be repeated here.

/// A topic filter as it stands in SUBSCRIBE, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Filter<'a> {
    /// `GROUP` of `$share/GROUP/FILTER`.
    pub(crate) group: Option<&'a str>,
    /// What a topic name is compared with.
    pub(crate) pattern: &'a str,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        let shared = text
            .strip_prefix("$share/")
            .and_then(|rest| rest.split_once('/'));
        match shared {
            Some((group, pattern)) => Self {
                group: Some(group),
                pattern,
            },
            None => Self {
                group: None,
                pattern: text,
            },
        }
    }

    /// Without wildcard: matches the one topic that it spells.
    pub(crate) fn is_plain(self) -> bool {
        !self.pattern.contains(['+', '#'])
    }

    pub(crate) fn matches(self, topic: &str) -> bool {
        // [MQTT-4.7.2-1] A wildcard at the beginning does not match what begins with `$`.
        if topic.starts_with('$') && self.pattern.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        let mut wanted = self.pattern.split('/');
        loop {
            match (wanted.next(), levels.next()) {
                // `a/#` matches `a` too: the parent is included.
                (Some("#"), _) => return true,
                (Some("+"), Some(_)) => {}
                (Some(pattern), Some(level)) if pattern == level => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn filters_match_as_section_4_7_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a", "A", false),
            ("#", "a", true),
            ("#", "a/b/c", true),
            ("#", "/", true),
            ("#", "$SYS/a", false),
            ("+", "$SYS", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/+", "$SYS/a", true),
            ("a/#", "a", true),
            ("a/#", "a/", true),
            ("a/#", "ab", false),
            ("a/#", "a/b/c", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("+", "a", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("+/b/#", "a/b", true),
            ("+/b/#", "a/c/b", false),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/#", "$SYS/a", false),
            ("$share/g//a", "/a", true),
        ] {
            assert_eq!(
                Filter::new(filter).matches(topic),
                expected,
                "{filter} and {topic}"
            );
        }
    }

    #[test]
    fn a_share_has_its_group() {
        assert_eq!(Filter::new("$share/g/a/b").group, Some("g"));
        assert_eq!(Filter::new("$share/g/a/b").pattern, "a/b");
        assert_eq!(Filter::new("a/b").group, None);
    }
}
