//! `docs/guarantees.md`: every test that it names is where the link before it points to.

use std::collections::BTreeMap;

use crate::source::{self, Items};

const FILE: &str = "docs/guarantees.md";

/// A test that is named, the file that is said to have it, and the part of the document.
struct Named {
    part: String,
    path: String,
    test: String,
}

/// What stands between backquotes after a link to a Rust file, in the same item of a list (its further
/// lines are indented) or cell of a table.
fn named(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let (mut part, mut path) = (String::new(), None);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut part);
        }
        if !line.starts_with("  ") {
            path = None;
        }
        let mut rest = line;
        while let Some(at) = rest.find(['`', '(', '|']) {
            let (is_link, inner) = (rest[at..].starts_with('('), &rest[at + 1..]);
            if rest[at..].starts_with('|') {
                path = None;
                rest = inner;
                continue;
            }
            let Some(end) = inner.find(if is_link { ')' } else { '`' }) else {
                break;
            };
            let word = &inner[..end];
            rest = &inner[end + 1..];
            if is_link {
                let target = word.strip_prefix("../").filter(|to| to.ends_with(".rs"));
                path = target.map(str::to_owned).or(path);
            } else if let Some(path) = &path {
                found.push(Named {
                    part: part.clone(),
                    path: path.clone(),
                    test: word.to_owned(),
                });
            }
        }
    }
    found
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let mut files: BTreeMap<String, Items> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Named { part, path, test } in named(&source::read(FILE)) {
        let items = files
            .entry(path.clone())
            .or_insert_with(|| Items::of(&source::read(&path)));
        if !items.has_test(&test) {
            wrong.push(format!("{part}: no test {test} in {path}"));
        }
    }
    assert!(wrong.is_empty(), "{FILE}: {wrong:#?}");
}

#[test]
fn every_guarantee_names_its_tests() {
    let named = named(&source::read(FILE));
    for number in 1..=10 {
        let part = format!("G{number} ");
        let count = named
            .iter()
            .filter(|one| one.part.starts_with(&part))
            .count();
        assert!(count >= 2, "{FILE}: G{number} names {count} tests");
    }
}

#[test]
fn a_name_belongs_to_the_link_before_it() {
    let text = "## G1 x\n- [a](../tests/a.rs): `one`,\n  `two`\n- `make`\n| [b](../b/c.rs): `three` | `four` |\n";
    let found: Vec<_> = named(text)
        .into_iter()
        .map(|one| format!("{}{}::{}", one.part, one.path, one.test))
        .collect();
    assert_eq!(
        found,
        [
            "G1 xtests/a.rs::one",
            "G1 xtests/a.rs::two",
            "G1 xb/c.rs::three"
        ]
    );
}
