//! Holds the map of the rooms: who may call whom. Calls go right and down, never back.
//!
//! A new arrow is a line here and a sentence in the pull request that says why.

#![allow(clippy::expect_used, clippy::string_slice)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each room with the rooms it may name.
const MAP: &[(&str, &[&str])] = &[
    (
        "node",
        &[
            "api", "auth", "cluster", "delivery", "feed", "handle", "listener", "retain", "router",
            "session", "sys", "timer", "tls",
        ],
    ),
    ("listener", &["connection", "handle", "tls"]),
    (
        "connection",
        &["cluster", "delivery", "handle", "session", "tls"],
    ),
    ("feed", &["cluster", "delivery", "handle", "router"]),
    ("api", &["handle"]),
    ("sys", &["delivery", "handle", "router"]),
    ("timer", &["delivery", "handle", "router"]),
    ("user", &["auth"]),
    (
        "handle",
        &["auth", "cluster", "delivery", "retain", "router", "session"],
    ),
    (
        "session",
        &["auth", "cluster", "delivery", "retain", "router"],
    ),
    ("router", &["cluster", "delivery", "retain"]),
    ("retain", &["delivery"]),
    ("cluster", &["delivery"]),
    ("auth", &[]),
    ("tls", &[]),
    ("delivery", &[]),
];

/// May be named from everywhere.
const EVERYWHERE: &[&str] = &["config", "shutdown", "telemetry"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room that a file belongs to: the first part of its path.
fn room(file: &Path) -> String {
    let relative = file.strip_prefix(source()).expect("below src");
    let first = relative
        .iter()
        .next()
        .expect("has a name")
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Rooms named by `crate::…` in a file, `use crate::{…}` included.
fn named(text: &str, rooms: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        // `super::` stays inside its room; `pub(crate)` has no `::`.
        let rest = &text[at + "crate::".len()..];
        for path in top_level(rest) {
            let first: String = path
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if rooms.contains(first.as_str()) || EVERYWHERE.contains(&first.as_str()) {
                found.insert(first);
            }
        }
    }
    found
}

/// The parts of `{a::{b, c}, d}`, or the one path.
fn top_level(rest: &str) -> Vec<&str> {
    let Some(list) = rest.strip_prefix('{') else {
        return vec![rest];
    };
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(list[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

#[test]
fn rooms_call_only_whom_the_map_lets_them() {
    let rooms: BTreeSet<&str> = MAP.iter().map(|(room, _)| *room).collect();
    let map: BTreeMap<&str, &[&str]> = MAP.iter().copied().collect();
    let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in files(&source()) {
        let from = room(&file);
        if ["lib", "main", "healthcheck", "user_command"].contains(&from.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("readable");
        for to in named(&text, &rooms) {
            if to == from || EVERYWHERE.contains(&to.as_str()) {
                continue;
            }
            match map.get_key_value(from.as_str()) {
                Some((room, allowed)) if allowed.contains(&to.as_str()) => {
                    arrows.entry(room).or_default().insert(to);
                }
                _ => wrong.push(format!("{}: {from} -> {to}", file.display())),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that are not on the map:\n{}",
        wrong.join("\n")
    );
    for (room, allowed) in MAP {
        for to in *allowed {
            let is_used = arrows.get(room).is_some_and(|used| used.contains(*to));
            assert!(
                is_used,
                "{room} -> {to} is on the map but nowhere in the code"
            );
        }
    }
}

#[test]
fn the_map_has_no_circle() {
    let map: BTreeMap<&str, &[&str]> = MAP.iter().copied().collect();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < map.len() {
        let next = map
            .iter()
            .find(|(room, to)| !placed.contains(**room) && to.iter().all(|to| placed.contains(to)))
            .map(|(room, _)| *room);
        placed.insert(next.expect("a circle among the rooms that are left"));
    }
}

/// The doors: what only one room may touch.
#[test]
fn doors_stay_shut() {
    let doors = [
        ("sqlx::", "no room: all SQL is in the crate ibc", ""),
        ("tokio::spawn(", "shutdown", "shutdown"),
        ("std::env", "config", "config"),
        ("std::fs", "config", "config"),
        ("mqttbytes", "the crate mqtt", ""),
    ];
    for file in files(&source()) {
        let text = fs::read_to_string(&file).expect("readable");
        for (name, owner, may) in doors {
            let is_inside = room(&file) == may;
            assert!(
                is_inside || !text.contains(name),
                "{}: {name} belongs to {owner}",
                file.display()
            );
        }
    }
}
