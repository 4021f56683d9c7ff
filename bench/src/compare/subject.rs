//! What is measured: mosquitto, a node or a cluster, started afresh for every run.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::ValueEnum;

use super::Arguments;
use crate::{
    catalogue::Scenario,
    cpu::Meter,
    generator::{Broker, Tls},
    node::{self, Kind, Node, Starting},
    peer::{self, Peer},
    postgres::Postgres,
    scratch::Scratch,
    tunnel::Trust,
};

/// A broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// mosquitto
    Mosquitto,
    /// one node of Causeway, on SQLite
    Node,
    /// nodes of Causeway around Postgres: publishers at the first, subscribers at the second
    Cluster,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Mosquitto, Self::Node, Self::Cluster];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Node => "node",
            Self::Cluster => "cluster",
        }
    }

    /// Whether the scenario says anything about it.
    pub(crate) fn takes_part(self, scenario: Scenario) -> bool {
        match (scenario.nodes(), scenario.is_by_tls()) {
            (Some(_), _) => self == Self::Cluster,
            (None, true) => self != Self::Cluster,
            (None, false) => true,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is needed to start any of them.
#[derive(Debug)]
pub(crate) struct Stable {
    program: PathBuf,
    settings: Vec<String>,
    mosquitto: Option<PathBuf>,
    postgres: Option<Postgres>,
    /// Certificate and key that mosquitto can read, and what clients trust.
    tls: Option<([PathBuf; 2], Tls)>,
    starts: u32,
    scratch: Scratch,
}

/// Brokers that run, killed with this value.
#[derive(Debug)]
pub(crate) struct Running {
    /// How to reach and measure them.
    pub(crate) broker: Broker,
    nodes: Vec<Node>,
    peer: Option<Peer>,
    database: Option<String>,
    folder: PathBuf,
}

impl Stable {
    /// Starts what all runs share: Postgres, and a node that makes certificates, if they are needed.
    ///
    /// # Errors
    ///
    /// If there is no such program, or it does not start.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let takes_part = |subject: Subject, scenario: &Scenario| {
            arguments.rounds > 0
                && arguments.brokers.contains(&subject)
                && subject.takes_part(*scenario)
        };
        let mut only = arguments.only.iter();
        let clustered = only.any(|scenario| takes_part(Subject::Cluster, scenario));
        let mut only = arguments.only.iter();
        let by_tls = only.any(|scenario| arguments.rounds > 0 && scenario.is_by_tls());
        let scratch = Scratch::new()?;
        let postgres = match clustered {
            true => Some(Postgres::start(scratch.path(), &arguments.postgres_set)?),
            false => None,
        };
        let mut stable = Self {
            program: node::program(arguments.causeway.as_deref())?,
            settings: arguments.set.clone(),
            mosquitto: peer::program(),
            postgres,
            tls: None,
            starts: 0,
            scratch,
        };
        if by_tls {
            stable.make_certificates()?;
        }
        Ok(stable)
    }

    /// The version of mosquitto, if it is installed.
    pub(crate) fn mosquitto_version(&self) -> Option<String> {
        self.mosquitto.as_deref().map(peer::version)
    }

    fn make_certificates(&mut self) -> anyhow::Result<()> {
        let folder = self.scratch.path().to_owned();
        let kind = Kind {
            broker: self.program.clone(),
            settings: vec![format!("store.path={}", folder.join("first.db").display())],
            tls: true,
        };
        Node::start(&kind, "first", &folder)?;
        let trust = Trust::read(&node::authority(&folder))?;
        let certificate = peer::readable(&folder)?;
        let tls = Tls {
            config: Arc::clone(trust.config()),
            name: None,
        };
        self.tls = Some((certificate, tls));
        Ok(())
    }

    /// Starts `subject` for `scenario`; `None` if it is not installed.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn start(
        &mut self,
        subject: Subject,
        scenario: Scenario,
    ) -> anyhow::Result<Option<Running>> {
        self.starts += 1;
        let folder = self.scratch.path().join(format!("run-{}", self.starts));
        std::fs::create_dir(&folder)?;
        let tls = scenario.is_by_tls();
        let mut running = Running {
            broker: self.broker(tls)?,
            nodes: Vec::new(),
            peer: None,
            database: None,
            folder,
        };
        match subject {
            Subject::Mosquitto => {
                let Some(program) = &self.mosquitto else {
                    return Ok(None);
                };
                let certificate = self.tls.as_ref().filter(|_| tls);
                let certificate = certificate.map(|(files, _)| files);
                let peer = Peer::start_bare(program, &running.folder, certificate)?;
                running.reach(&[peer.address()]);
                running.broker.meter = Meter::new(vec![peer.process()], None);
                running.peer = Some(peer);
            }
            Subject::Node => self.start_nodes(&mut running, 1, None, tls)?,
            Subject::Cluster => {
                let postgres = self.postgres.as_ref().context("there is no Postgres")?;
                let database = format!("run_{}", self.starts);
                let url = postgres.create(&database)?;
                running.database = Some(database);
                let count = scenario.nodes().unwrap_or(2);
                self.start_nodes(&mut running, count, Some(&url), tls)?;
            }
        }
        Ok(Some(running))
    }

    fn broker(&self, tls: bool) -> anyhow::Result<Broker> {
        let config = match (tls, &self.tls) {
            (true, Some((_, tls))) => Some(tls.clone()),
            (true, None) => anyhow::bail!("there are no certificates"),
            (false, _) => None,
        };
        Ok(Broker {
            publish_at: Vec::new(),
            subscribe_at: Vec::new(),
            connect_at: Vec::new(),
            bystanders_at: Vec::new(),
            credentials: None,
            tls: config,
            meter: Meter::new(Vec::new(), None),
            prefix: "bench".to_owned(),
            tidy: false,
        })
    }

    fn start_nodes(
        &self,
        running: &mut Running,
        count: usize,
        database_url: Option<&str>,
        tls: bool,
    ) -> anyhow::Result<()> {
        let tls_folder = self.scratch.path().join("var/tls");
        let mut settings = vec![
            format!("store.path={}", running.folder.join("db").display()),
            format!("tls.folder={}", tls_folder.display()),
        ];
        settings.extend(database_url.map(|url| format!("cluster.database_url={url}")));
        settings.extend_from_slice(&self.settings);
        let kind = Kind {
            broker: self.program.clone(),
            settings,
            tls,
        };
        let start = |number| Starting::new(&kind, &format!("node{number}"), &running.folder);
        let starting: Vec<Starting> = (1..=count).map(start).collect::<anyhow::Result<_>>()?;
        for node in starting {
            running.nodes.push(node.ready()?);
        }
        let addresses: Vec<SocketAddr> = running
            .nodes
            .iter()
            .map(|node| node.tls_address().unwrap_or_else(|| node.address()))
            .collect();
        running.reach(&addresses);
        let mut ids = running.nodes.iter().map(Node::process);
        // In the scenarios N only two nodes care; I3 has no load at all.
        let caring = if addresses.len() > 3 {
            2
        } else {
            addresses.len()
        };
        let brokers: Vec<u32> = ids.by_ref().take(caring).collect();
        let database = database_url.and(self.postgres.as_ref());
        running.broker.meter =
            Meter::new(brokers, database.map(Postgres::process)).with_bystanders(ids.collect());
        Ok(())
    }

    /// Ends it, and what it has left.
    ///
    /// # Errors
    ///
    /// If its database cannot be removed.
    pub(crate) fn stop(&self, running: Running) -> anyhow::Result<()> {
        let Running {
            nodes,
            peer,
            database,
            folder,
            ..
        } = running;
        drop((nodes, peer));
        if let (Some(database), Some(postgres)) = (database, &self.postgres) {
            postgres.remove(&database)?;
        }
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))
    }
}

impl Running {
    /// Publishers go to the first, subscribers to the second, connections to both, and bystanders
    /// to the others.
    fn reach(&mut self, addresses: &[SocketAddr]) {
        let broker = &mut self.broker;
        broker.publish_at = addresses.iter().take(1).copied().collect();
        broker.subscribe_at = addresses
            .iter()
            .take(2)
            .next_back()
            .copied()
            .into_iter()
            .collect();
        broker.connect_at = addresses.iter().take(2).copied().collect();
        broker.bystanders_at = addresses.iter().skip(2).copied().collect();
    }
}
