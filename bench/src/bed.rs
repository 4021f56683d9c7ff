//! What a run stands on: Postgres, three nodes, the peer.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{
    census::Census,
    cluster::Arguments,
    cpu::Meter,
    memory,
    node::{self, Kind, Node, Starting},
    peer::Peer,
    postgres::Postgres,
    scratch::Scratch,
    tunnel::Trust,
};

/// Where publisher and subscriber are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// Both at one node of the cluster.
    OneNode,
    /// At two nodes of it.
    Across,
    /// Both at mosquitto.
    #[value(name = "mosquitto")]
    Peer,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::OneNode, Self::Across, Self::Peer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneNode => "one node",
            Self::Across => "across",
            Self::Peer => "mosquitto",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name().replace(' ', "-"))
    }
}

/// Where publishers and subscribers connect, and what they trust.
pub(crate) type TlsAddresses = ((SocketAddr, SocketAddr), Trust);

/// The names of the nodes until one is replaced.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// The servers of a run. They end in the order of the fields.
#[derive(Debug)]
pub(crate) struct Bed {
    nodes: [Node; 3],
    kind: Kind,
    /// Settings since the last restart, besides those of `kind`.
    more: Vec<String>,
    postgres: Postgres,
    peer: Option<Peer>,
    scratch: Scratch,
    starts: u32,
    runs: u32,
}

impl Bed {
    pub(crate) fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let broker = node::program(arguments.broker.as_deref())?;
        let scratch = Scratch::new()?;
        let postgres = Postgres::start(scratch.path(), &arguments.postgres_set)?;
        let mut settings = vec![
            format!("cluster.database_url={}", postgres.url()),
            "log.level=warn,node::listener=info".to_owned(),
        ];
        settings.extend_from_slice(&arguments.set);
        let kind = Kind {
            broker,
            settings,
            tls: true,
        };
        let [a, b, c] = NAMES;
        let start = |name| Node::start(&kind, name, scratch.path());
        let nodes = [start(a)?, start(b)?, start(c)?];
        Ok(Self {
            nodes,
            kind,
            more: Vec::new(),
            postgres,
            peer: Peer::start(scratch.path())?,
            scratch,
            starts: 0,
            runs: 0,
        })
    }

    /// A number that no other run of load has.
    pub(crate) fn next_run(&mut self) -> u32 {
        self.runs += 1;
        self.runs
    }

    /// Where publishers and subscribers connect, `None` if there is no peer.
    pub(crate) fn addresses(&self, place: Place) -> Option<(SocketAddr, SocketAddr)> {
        let [a, b, _] = &self.nodes;
        match place {
            Place::OneNode => Some((a.address(), a.address())),
            Place::Across => Some((a.address(), b.address())),
            Place::Peer => self
                .peer
                .as_ref()
                .map(|peer| (peer.address(), peer.address())),
        }
    }

    /// Where publishers and two subscribers connect: all to one node, or each kind to others.
    pub(crate) fn fanout_addresses(&self, place: Place) -> Option<(SocketAddr, [SocketAddr; 2])> {
        let [a, b, c] = self.all_addresses();
        match place {
            Place::OneNode => Some((a, [a, a])),
            Place::Across => Some((a, [b, c])),
            Place::Peer => None,
        }
    }

    /// Those of the nodes.
    pub(crate) fn all_addresses(&self) -> [SocketAddr; 3] {
        self.nodes.each_ref().map(Node::address)
    }

    /// The same for TLS, and what the clients trust.
    pub(crate) fn tls_addresses(&self, place: Place) -> anyhow::Result<Option<TlsAddresses>> {
        let addresses = self.nodes.each_ref().map(Node::tls_address);
        let [Some(a), Some(b), _] = addresses else {
            anyhow::bail!("the nodes do not listen for TLS");
        };
        let at = match (place, &self.peer) {
            (Place::OneNode, _) => (a, a),
            (Place::Across, _) => (a, b),
            (Place::Peer, Some(peer)) => (peer.tls_address(), peer.tls_address()),
            (Place::Peer, None) => return Ok(None),
        };
        let trust = Trust::read(&node::authority(self.scratch.path()))?;
        Ok(Some((at, trust)))
    }

    /// Reads what `place` costs: all nodes and Postgres, or the peer.
    pub(crate) fn meter(&self, place: Place) -> Meter {
        match (place, &self.peer) {
            (Place::Peer, Some(peer)) => Meter::new(vec![peer.process()], None),
            _ => Meter::new(
                self.nodes.iter().map(Node::process).collect(),
                Some(self.postgres.process()),
            ),
        }
    }

    /// The same for all but the first node, and Postgres.
    pub(crate) fn survivors_meter(&self) -> Meter {
        let [_, b, c] = &self.nodes;
        let brokers = vec![b.process(), c.process()];
        Meter::new(brokers, Some(self.postgres.process()))
    }

    /// Where somebody who looks on can ask the database.
    pub(crate) fn database_url(&self) -> String {
        self.postgres.url()
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        self.nodes.iter().map(Node::process).collect()
    }

    /// Stops all nodes and starts as many with the settings of the run and `more`. Returns how long
    /// it took from the start of the first until all were ready.
    pub(crate) fn restart(&mut self, more: &[String]) -> anyhow::Result<Duration> {
        for node in &self.nodes {
            node.signal("TERM");
        }
        for node in &mut self.nodes {
            node.wait_for_end();
        }
        self.more = more.to_vec();
        let kind = self.kind.with(more);
        let begin = Instant::now();
        let [a, b, c] = NAMES;
        let start = |name| Starting::new(&kind, name, self.scratch.path());
        let [a, b, c] = [start(a)?, start(b)?, start(c)?];
        self.nodes = [a.ready()?, b.ready()?, c.ready()?];
        Ok(begin.elapsed())
    }

    /// Of the process that holds most: the largest resident set since it began, in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let peaks = self.processes().into_iter().filter_map(memory::peak_bytes);
        peaks.max().unwrap_or_default()
    }

    /// Begins to count the connections of all nodes to the database.
    pub(crate) fn count_connections(&self) -> anyhow::Result<Census> {
        Census::start(&self.postgres.url(), self.scratch.path())
    }

    /// The nodes: first the one that dies, then those that stay.
    pub(crate) fn storm_addresses(&self) -> (SocketAddr, [SocketAddr; 2]) {
        let [a, b, c] = self.all_addresses();
        (a, [b, c])
    }

    /// `kill -9` of the first node.
    pub(crate) fn kill_first(&mut self) {
        let [a, ..] = &mut self.nodes;
        a.kill();
    }

    /// A new first node in place of the one killed.
    pub(crate) fn replace_first(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let name = format!("a{}", self.starts);
        let [a, ..] = &mut self.nodes;
        *a = Node::start(&self.kind.with(&self.more), &name, self.scratch.path())?;
        Ok(())
    }
}
