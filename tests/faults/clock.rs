//! The clock of a node, moved by libfaketime while the node runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

/// An hour, in the words of libfaketime.
pub const HOUR_FORWARDS: &str = "+3600";
pub const HOUR_BACKWARDS: &str = "-3600";
/// No difference.
pub const RIGHT_TIME: &str = "+0";

/// How much the clock of one node is off.
#[derive(Debug, Clone)]
pub struct Clock {
    library: PathBuf,
    /// What the library reads.
    file: PathBuf,
}

impl Clock {
    /// One that is right; `file` will be written.
    pub fn new(file: PathBuf) -> anyhow::Result<Self> {
        let library = library().context("no libfaketime: apt-get install libfaketime")?;
        let clock = Self { library, file };
        clock.set(RIGHT_TIME)?;
        Ok(clock)
    }

    /// Moves it; the node sees it within a second.
    pub fn set(&self, difference: &str) -> anyhow::Result<()> {
        // In one piece: it is read at any time.
        let new = self.file.with_extension("new");
        fs::write(&new, difference)?;
        fs::rename(&new, &self.file)?;
        Ok(())
    }

    /// Lets a program that is to be started see this clock.
    pub fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_CACHE_DURATION", "1");
        // A machine whose clock is set goes on counting seconds.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// Where Debian has it on this architecture.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    folders.flatten().find_map(|entry| {
        let path = entry.path().join("faketime/libfaketime.so.1");
        Path::exists(&path).then_some(path)
    })
}
