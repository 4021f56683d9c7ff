//! The nodes under attack, and what must hold of them afterwards.

use std::net::SocketAddr;

use anyhow::ensure;
use harness::{Cluster, TestNode, eventually};

use crate::watch::Footprint;

const MIB: u64 = 1024 * 1024;
/// Largest packet that the nodes accept: one of 20 MB and some more.
pub const MAXIMUM_PACKET_SIZE: usize = 21 * 1024 * 1024;
/// What may wait for one client.
const MAXIMUM_QUEUED_BYTES: u64 = 8 * MIB;
/// Connections that a node opens to its database when there is much to do, and some of a moment.
const MORE_FILES: usize = 8 + 4;

/// Settings that make memory small enough to see whether they are respected, and a lease that a
/// busy machine does not cost a node.
fn settings() -> Vec<String> {
    [
        format!("mqtt.server_maximum_packet_size={MAXIMUM_PACKET_SIZE}"),
        "mqtt.max_queued_messages=1000".to_owned(),
        format!("mqtt.max_queued_bytes={MAXIMUM_QUEUED_BYTES}"),
        "mqtt.server_topic_alias_maximum=50".to_owned(),
        "mqtt.connect_timeout=2s".to_owned(),
        "listener.max_connections=3000".to_owned(),
        "cluster.lease=30s".to_owned(),
        "log.level=info".to_owned(),
    ]
    .to_vec()
}

/// Most memory that a node may take with these settings, whatever clients do, in bytes.
///
/// - 200 MiB: the program, its routes and retained messages, the database's caches;
/// - for each of the `heavy` attacks with packets of megabytes under way four times the largest
///   packet: the input buffer and the larger one it is moved to, the output of whoever gets the
///   message, and one that has just been let go;
/// - for each of 24 connections that do their worst at once (six attackers with up to four): a full
///   queue, output up to the mark of 256 KiB where nothing more is read and as much beyond it, and
///   50 aliases of 64 KiB;
/// - 3000 connections with nothing to say at 64 KiB.
const fn most_bytes(heavy: u64) -> u64 {
    let worst = MAXIMUM_QUEUED_BYTES + 2 * 256 * 1024 + 50 * 64 * 1024;
    200 * MIB + heavy * 4 * MAXIMUM_PACKET_SIZE as u64 + 24 * worst + 3000 * 64 * 1024
}

/// One node on SQLite, or several on Postgres.
#[derive(Debug)]
pub struct Bed {
    alone: Option<TestNode>,
    cluster: Option<Cluster>,
    before: Vec<Footprint>,
}

impl Bed {
    /// Starts `count` nodes.
    pub async fn start(count: usize) -> Self {
        let settings = settings();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let mut bed = Self {
            alone: None,
            cluster: None,
            before: Vec::new(),
        };
        if count == 1 {
            bed.alone = Some(TestNode::start_with(&settings).await);
        } else {
            bed.cluster = Some(Cluster::start_with(count, &settings).await);
        }
        bed
    }

    fn nodes(&self) -> impl Iterator<Item = &TestNode> {
        let cluster = self.cluster.iter().flat_map(|cluster| &cluster.nodes);
        self.alone.iter().chain(cluster)
    }

    /// Where they speak MQTT.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes().map(TestNode::tcp).collect()
    }

    /// Remembers how large they are before the attack.
    ///
    /// # Errors
    ///
    /// If one is gone.
    pub fn remember(&mut self) -> anyhow::Result<()> {
        let footprints = self.nodes().map(|node| Footprint::of(node.process_id()));
        self.before = footprints.collect::<anyhow::Result<_>>()?;
        Ok(())
    }

    /// After the attack: no connection is left, nor a file of one; memory was bounded; nobody has
    /// panicked; and a new client is served. Returns a line for each node.
    ///
    /// # Errors
    ///
    /// Whatever does not hold, with the name of the node.
    pub async fn check(&mut self, heavy: usize) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for (node, before) in self.nodes().zip(&self.before) {
            let name = node.name();
            eventually("no connection is left", async || {
                let metrics = node.metrics().await;
                (metrics.sum("causeway_connections", &[]) == 0.0).then_some(())
            })
            .await;
            eventually("the files of connections are closed", async || {
                let files = Footprint::of(node.process_id()).ok()?.files;
                (files <= before.files + MORE_FILES).then_some(())
            })
            .await;
            let after = Footprint::of(node.process_id())?;
            let most = most_bytes(heavy as u64);
            lines.push(format!(
                "node {name:?}: memory {} MiB at first, {} MiB at most (allowed {}), {} MiB now; files {} at first, {} now",
                before.resident_bytes / MIB,
                after.peak_bytes / MIB,
                most / MIB,
                after.resident_bytes / MIB,
                before.files,
                after.files,
            ));
            ensure!(after.peak_bytes <= most, "too much memory: {lines:?}");
            let log = node.output();
            ensure!(!log.contains("panicked"), "node {name:?} has panicked");
            ensure!(
                !log.contains("\"level\":\"ERROR\""),
                "node {name:?} asks for its operator: {:?}",
                log.lines()
                    .find(|line| line.contains("\"level\":\"ERROR\""))
            );
            node.client("afterwards").await.disconnect().await;
        }
        match (&mut self.alone, &mut self.cluster) {
            (Some(node), _) => node.assert_healthy(),
            (None, Some(cluster)) => cluster.assert_healthy(),
            (None, None) => {}
        }
        Ok(lines)
    }
}
