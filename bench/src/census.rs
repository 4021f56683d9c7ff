//! How many connections to the database there are, several times a second, from `pg_stat_activity`.
//!
//! `psql` asks, because this program speaks MQTT only; its own connection does not count.

use std::path::Path;

use anyhow::Context as _;

use crate::{
    postgres,
    process::{self, Process},
};

const QUESTION: &str = "\
select count(*) from pg_stat_activity
 where backend_type = 'client backend' and pid <> pg_backend_pid() \\watch 0.1
";

/// Connections being counted. It ends with this value.
#[derive(Debug)]
pub(crate) struct Census {
    process: Process,
}

impl Census {
    /// Counts all connections to the server of `database_url`, with files in `folder`, and returns
    /// when there is a first number.
    pub(crate) fn start(database_url: &str, folder: &Path) -> anyhow::Result<Self> {
        let question = folder.join("census.sql");
        std::fs::write(&question, QUESTION)?;
        let mut command = process::command(postgres::programs().join("psql"), "KILL", None);
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]);
        command.arg("--file").arg(question).arg(database_url);
        let mut process = Process::start(command, folder.join("census.log"))?;
        process
            .wait_for(largest)
            .context("cannot count connections")?;
        Ok(Self { process })
    }

    /// The largest number so far.
    pub(crate) fn largest(&self) -> Option<u32> {
        largest(&self.process.output())
    }
}

fn largest(output: &str) -> Option<u32> {
    // The last line may be half written.
    let (lines, _) = output.rsplit_once('\n')?;
    lines
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_of_whole_lines_counts() {
        assert_eq!(largest("7\n\n12\n\n9\n\n99"), Some(12));
        assert_eq!(largest("7"), None);
        assert_eq!(largest("psql: no\n"), None);
    }
}
