//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

use crate::{schedule::Wish, world::Places};

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// In this order.
    pub seeds: Vec<u64>,
    pub jobs: usize,
    pub wish: Wish,
    pub report: Option<PathBuf>,
    /// Print the schedules, run nothing.
    pub only_print: bool,
    /// Keep logs and history in any case.
    pub keep: bool,
    /// This process is the world of its one seed.
    pub world: Option<Places>,
}

impl Arguments {
    /// Reads them.
    pub fn read() -> anyhow::Result<Self> {
        let mut read = Self {
            seeds: Vec::new(),
            jobs: 1,
            wish: Wish {
                seconds: 12,
                only: Vec::new(),
                is_calm: false,
                old: std::env::var_os("CAUSEWAY_OLD_BIN").map(PathBuf::from),
            },
            report: None,
            only_print: false,
            keep: false,
            world: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} what?"));
            match word.as_str() {
                "--seeds" => read.seeds = seeds(&value()?)?,
                "--jobs" => read.jobs = value()?.parse().context("--jobs")?,
                "--seconds" => read.wish.seconds = value()?.parse().context("--seconds")?,
                "--only" => {
                    for kind in value()?.split(',') {
                        read.wish.only.push(kind.parse()?);
                    }
                }
                "--report" => read.report = Some(value()?.into()),
                "--old" => read.wish.old = Some(value()?.into()),
                "--calm" => read.wish.is_calm = true,
                "--print" => read.only_print = true,
                "--keep" => read.keep = true,
                "--world" => {
                    read.world = Some(Places {
                        binary: value()?.into(),
                        template: value()?.into(),
                        scratch: value()?.into(),
                        folder: value()?.into(),
                    });
                }
                _ => bail!("unknown argument {word}"),
            }
        }
        ensure!(!read.seeds.is_empty(), "--seeds which? 7, 1-200 or 3,5,9");
        ensure!((1..=64).contains(&read.jobs), "--jobs: 1 to 64");
        ensure!(
            (1..=600).contains(&read.wish.seconds),
            "--seconds: 1 to 600"
        );
        Ok(read)
    }
}

/// `7`, `1-200` or `3,5,9`.
fn seeds(text: &str) -> anyhow::Result<Vec<u64>> {
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = || -> anyhow::Result<_> { Ok(first.parse::<u64>()?..=last.parse::<u64>()?) };
        seeds.extend(range().with_context(|| format!("no seeds: {text:?}"))?);
    }
    Ok(seeds)
}
