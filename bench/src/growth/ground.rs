//! What a scenario stands on: Postgres, and nodes that are started when they are needed.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Arguments;
use crate::{
    cpu::Meter,
    node::{self, Kind, Node},
    postgres::Postgres,
    report::Report,
    scratch::Scratch,
};

/// Postgres, and what nodes on it have in common. Nodes must end before it.
#[derive(Debug)]
pub(super) struct Ground {
    kind: Kind,
    database_url: String,
    postgres: Postgres,
    scratch: Scratch,
}

impl Ground {
    pub(super) fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let broker = node::program(arguments.broker.as_deref())?;
        let scratch = Scratch::new()?;
        let postgres = Postgres::start(scratch.path(), &arguments.postgres_set)?;
        let database_url = postgres.url();
        let mut settings = vec![format!("cluster.database_url={database_url}")];
        settings.extend_from_slice(&arguments.set);
        let kind = Kind {
            broker,
            settings,
            tls: false,
        };
        Ok(Self {
            kind,
            database_url,
            postgres,
            scratch,
        })
    }

    /// Starts a node, and tells how long it took until it was ready.
    pub(super) fn node(&self, name: &str) -> anyhow::Result<(Node, Duration)> {
        let begin = Instant::now();
        let node = Node::start(&self.kind, name, self.scratch.path())?;
        Ok((node, begin.elapsed()))
    }

    /// Starts two nodes, and tells an onlooker where to look.
    pub(super) fn pair(&self, report: &mut Report) -> anyhow::Result<[Node; 2]> {
        let ((a, _), (b, _)) = (self.node("a")?, self.node("b")?);
        report.progress(&format!(
            "{}: {} {}",
            self.database_url,
            a.process(),
            b.process()
        ));
        Ok([a, b])
    }

    /// Reads what `nodes` and Postgres cost.
    pub(super) fn meter(&self, nodes: &[&Node]) -> Meter {
        let brokers = nodes.iter().map(|node| node.process()).collect();
        Meter::new(brokers, Some(self.postgres.process()))
    }
}

/// Stops a node as an operator does.
pub(super) fn stop(mut node: Node) {
    node.signal("TERM");
    node.wait_for_end();
}

/// What a process has in memory now, in bytes: the resident set without files it has mapped.
pub(super) fn resident_bytes(node: &Node) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process()))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
        .map(|kibibytes| kibibytes * 1024)
        .context("no RssAnon in /proc")
}
