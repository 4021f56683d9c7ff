//! What is told of each seed, in a line and in a table.

use std::{fmt, fs, path::Path};

use crate::outcome::Outcome;

/// Where a world says what came of it: a name and a value a line.
const FILE: &str = "outcome";

/// A seed that has run.
#[derive(Debug)]
pub struct Done {
    pub seed: u64,
    pub is_innocent: bool,
    pub seconds: f64,
    /// What the world has said of itself; nothing if it did not get to its end.
    pub fields: Vec<(String, String)>,
}

/// One line.
impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, .. } = self;
        write!(f, "seed {seed}: {} in {seconds:.0} s", self.verdict())?;
        if self.fields.is_empty() {
            return write!(f, "; the machine itself failed");
        }
        let told = self.fields.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in told {
            write!(f, "; {name} {value}")?;
        }
        Ok(())
    }
}

impl Done {
    const fn verdict(&self) -> &'static str {
        if self.is_innocent { "passed" } else { "FAILED" }
    }
}

/// Leaves what came of a run where [`read`] finds it.
pub fn write(folder: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let lines = outcome.fields();
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name}\t{value}\n"));
    fs::write(folder.join(FILE), lines.collect::<String>())?;
    Ok(())
}

/// What came of a run; empty if it did not come to its end.
pub fn read(folder: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let fields = text.lines().filter_map(|line| line.split_once('\t'));
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// All seeds as a table in Markdown.
pub fn table(done: &[Done]) -> String {
    let complete = done.iter().find(|one| !one.fields.is_empty());
    let names: Vec<&str> = complete
        .map(|one| one.fields.iter().map(|(name, _)| name.as_str()).collect())
        .unwrap_or_default();
    let mut text = format!("| seed | verdict | seconds | {} |\n", names.join(" | "));
    text += &format!("| --- | --- | --- |{}\n", " --- |".repeat(names.len()));
    for one in done {
        let values: Vec<&str> = one.fields.iter().map(|(_, value)| value.as_str()).collect();
        let Done { seed, seconds, .. } = one;
        let verdict = one.verdict();
        text += &format!(
            "| {seed} | {verdict} | {seconds:.0} | {} |\n",
            values.join(" | ")
        );
    }
    text
}
