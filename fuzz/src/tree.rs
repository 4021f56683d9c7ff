//! The router's tree of topic filters, beside a list and an oracle.
//!
//! An input is lines: `+filter` puts a filter in, `-filter` takes it out, anything else is a topic
//! that is looked up.

use std::collections::BTreeSet;

use mqtt::{TopicFilter, TopicName};

use crate::oracle;

#[path = "../../node/src/router/tree/mod.rs"]
mod of_the_router;

use of_the_router::{Tree, Value};

/// As `node::router` refuses them: what walks the tree uses the stack.
const MAX_LEVELS: usize = 128;
/// More lines than that only make an input slow.
const MAX_LINES: usize = 64;

#[derive(Debug, Default)]
struct Filters(BTreeSet<String>);

impl Value for Filters {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn found(tree: &Tree<Filters>, topic: &str) -> Vec<String> {
    let mut found = Vec::new();
    tree.matches(topic, &mut |filters: &Filters| {
        found.extend(filters.0.iter().cloned());
    });
    found.sort_unstable();
    found
}

/// A topic finds each filter that means it, once; and an emptied tree is as a new one.
pub fn check(input: &[u8]) {
    let mut tree = Tree::default();
    let mut all = BTreeSet::new();
    for line in String::from_utf8_lossy(input).split('\n').take(MAX_LINES) {
        let filter = |text: &str| {
            TopicFilter::new(text)
                .ok()
                .filter(|filter| filter.share().is_none() && filter.level_count() <= MAX_LEVELS)
                .map(|filter| filter.as_str().to_owned())
        };
        if let Some(filter) = line.strip_prefix('+').and_then(filter) {
            tree.update(&filter, |here: &mut Filters| here.0.insert(filter.clone()));
            all.insert(filter);
        } else if let Some(filter) = line.strip_prefix('-').and_then(filter) {
            tree.update(&filter, |here: &mut Filters| here.0.remove(&filter));
            all.remove(&filter);
        } else if let Ok(topic) = TopicName::new(line)
            && topic.level_count() <= MAX_LEVELS
        {
            let expected: Vec<String> = all
                .iter()
                .filter(|filter| oracle::matches(filter, &topic))
                .cloned()
                .collect();
            assert_eq!(found(&tree, &topic), expected, "{topic:?}");
        }
    }
    assert_eq!(tree.places(|_| true).len(), all.len());
    for filter in &all {
        let place = tree.find(filter);
        let known = place.map(|place| tree.filter(place));
        assert_eq!(known.as_deref(), Some(filter.as_str()));
        let value = place.and_then(|place| tree.get(place));
        assert!(value.is_some_and(|here| here.0.contains(filter)));
    }
    for filter in &all {
        tree.update(filter, |here: &mut Filters| here.0.remove(filter));
    }
    assert_eq!(
        format!("{tree:?}"),
        format!("{:?}", Tree::<Filters>::default()),
        "an emptied place is given up"
    );
}
