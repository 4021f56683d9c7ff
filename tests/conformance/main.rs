//! Holds `docs/conformance.md` against the specifications and against the tests: every normative
//! statement is listed, every one for a server has a test, every test is there and says so, and
//! nothing refers to a statement that does not exist. And the tests that `docs/guarantees.md` names.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod guarantees;
mod list;
mod numbers;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use list::Who;
use source::Items;

/// The file that `name` means: in `tests/protocol` if it has no folder.
fn path(name: &str) -> String {
    if name.contains('/') {
        name.to_owned()
    } else {
        format!("tests/protocol/{name}")
    }
}

#[test]
fn every_statement_is_listed_once_and_in_order() {
    let listed: Vec<String> = list::rows().into_iter().filter_map(|row| row.tag).collect();
    let known = numbers::tags();
    let missing: Vec<&String> = known.iter().filter(|tag| !listed.contains(tag)).collect();
    assert!(
        missing.is_empty(),
        "not in docs/conformance.md: {missing:?}"
    );
    let unknown: Vec<&String> = listed.iter().filter(|tag| !known.contains(tag)).collect();
    assert!(unknown.is_empty(), "no such statements: {unknown:?}");
    assert_eq!(
        listed, known,
        "twice, or not in the order of the specification"
    );
}

#[test]
fn every_statement_for_a_server_has_a_test() {
    for row in list::rows() {
        let line = row.line;
        if row.tests.is_empty() {
            assert_eq!(
                row.who,
                Who::Client,
                "docs/conformance.md:{line} names no test"
            );
        }
        let words = row.statement.to_lowercase();
        for excuse in ["not done", "not yet", "todo", "later"] {
            assert!(
                !words.contains(excuse),
                "docs/conformance.md:{line} says {excuse}"
            );
        }
    }
}

#[test]
fn every_test_that_is_named_exists_and_carries_the_tag() {
    let mut files: BTreeMap<String, Items> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in list::rows() {
        for test in &row.tests {
            let Some((file, name)) = test.split_once("::") else {
                wrong.push(format!("line {}: {test} is not file::name", row.line));
                continue;
            };
            let path = path(file);
            let items = files
                .entry(path.clone())
                .or_insert_with(|| Items::of(&source::read(&path)));
            if !items.has_test(name) {
                wrong.push(format!("line {}: no test {name} in {path}", row.line));
            } else if let Some(tag) = &row.tag
                && !items.carries(name, tag)
            {
                wrong.push(format!("{path}: {name} does not carry [{tag}]"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_refers_to_a_statement_that_does_not_exist() {
    let known: BTreeSet<String> = numbers::tags().into_iter().collect();
    let mut wrong = Vec::new();
    for path in source::rust_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, tag) in source::tags(&text) {
            if !known.contains(&tag) {
                wrong.push(format!("{}:{line}: [{tag}]", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
