//! `docs/conformance.md`: its rows.

use crate::source;

/// Who has to fulfil a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Server,
    Client,
    Both,
}

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    /// The tag without brackets; nothing in the table of MQTT 3.1, which has no numbers.
    pub tag: Option<String>,
    pub who: Who,
    pub statement: String,
    /// `file::name`, the file as it is written.
    pub tests: Vec<String>,
    pub line: usize,
}

/// All rows, in order.
pub fn rows() -> Vec<Row> {
    let text = source::read("docs/conformance.md");
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| row(line, index + 1))
        .collect()
}

fn row(text: &str, line: usize) -> Option<Row> {
    let cells: Vec<&str> = text
        .strip_prefix("| ")?
        .strip_suffix(" |")?
        .split(" | ")
        .collect();
    let [number, who, statement, tests] = cells[..] else {
        panic!("line {line}: a row has four cells: {text}")
    };
    if number.starts_with("---") || number == "number" {
        return None;
    }
    let tag = number
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    assert!(
        tag.is_some() || number.starts_with('§'),
        "line {line}: neither a tag nor a section"
    );
    let who = match who {
        "server" => Who::Server,
        "client" => Who::Client,
        "both" => Who::Both,
        other => panic!("line {line}: {other} is neither server, client nor both"),
    };
    let test = |name: &str| {
        let name = name
            .strip_prefix('`')
            .and_then(|name| name.strip_suffix('`'));
        name.unwrap_or_else(|| panic!("line {line}: a test stands between backquotes"))
            .to_owned()
    };
    let tests = match tests {
        "none" => Vec::new(),
        tests => tests.split(", ").map(test).collect(),
    };
    Some(Row {
        tag: tag.map(str::to_owned),
        who,
        statement: statement.to_owned(),
        tests,
        line,
    })
}
