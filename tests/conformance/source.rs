//! The sources of the project, read as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file by its path in the project.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the project but the checks themselves.
pub fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            if path.is_dir() && is_ours && !path.ends_with("tests/conformance") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The tags in a text, with its line: whatever begins as one, also what is none.
pub fn tags(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for part in line
            .split('[')
            .skip(1)
            .filter(|part| part.starts_with("MQTT"))
        {
            let end = part.find(']').unwrap_or(part.len());
            found.push((index + 1, part[..end].to_owned()));
        }
    }
    found
}

/// Functions and constants of a file, each with its comment and attributes.
pub struct Items(BTreeMap<String, String>);

impl Items {
    pub fn of(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let mut starts: Vec<(usize, String)> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = defined(line) else { continue };
            let above = |line: &&str| {
                let line = line.trim_start();
                line.starts_with("///") || line.starts_with("#[")
            };
            let comment = lines[..index]
                .iter()
                .rev()
                .take_while(|line| above(line))
                .count();
            starts.push((index - comment, name));
        }
        let mut items = BTreeMap::new();
        for (position, (start, name)) in starts.iter().enumerate() {
            let end = starts
                .get(position + 1)
                .map_or(lines.len(), |(next, _)| *next);
            items.insert(name.clone(), lines[*start..end].join("\n"));
        }
        Self(items)
    }

    /// Whether there is a test of this name.
    pub fn has_test(&self, name: &str) -> bool {
        let Some(text) = self.0.get(name) else {
            return false;
        };
        // A test of `everywhere!` is a function of the site, and perhaps of settings; one of the crate `ibc`
        // of a bed.
        let of_site = text
            .split_once(&format!("async fn {name}("))
            .is_some_and(|(_, rest)| {
                let rest = rest.trim_start();
                rest.starts_with("site") || rest.starts_with("bed: Bed)")
            });
        of_site || text.contains("#[test]") || text.contains("#[tokio::test")
    }

    /// Whether the tag stands in the item, or in a table or helper of the same file that it uses.
    pub fn carries(&self, name: &str, tag: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![name.to_owned()];
        while let Some(name) = waiting.pop() {
            let Some(text) = self.0.get(&name) else {
                continue;
            };
            if text.contains(&format!("[{tag}]")) {
                return true;
            }
            if seen.insert(name) {
                let used = self.0.keys().filter(|other| uses(text, other));
                waiting.extend(used.cloned());
            }
        }
        false
    }
}

/// The name of the function or constant that begins in this line.
fn defined(line: &str) -> Option<String> {
    let mut words = line.trim_start();
    for word in ["pub ", "pub(crate) ", "pub(super) ", "async "] {
        words = words.strip_prefix(word).unwrap_or(words);
    }
    let rest = words
        .strip_prefix("fn ")
        .or_else(|| words.strip_prefix("const "))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(rest[..end].to_owned())
}

/// Whether the text calls the function, not a method of its name, or names the constant.
fn uses(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let is_constant = name.chars().all(|c| !c.is_lowercase());
        !is_word(before)
            && before != Some('.')
            && !text[..start].ends_with("fn ")
            && if is_constant {
                !is_word(after)
            } else {
                after == Some('(')
            }
    })
}
