//! One node as a process.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use crate::process::{self, Process};

/// What all nodes of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// The program.
    pub(crate) broker: PathBuf,
    /// `KEY=VALUE`, besides name and addresses.
    pub(crate) settings: Vec<String>,
    /// Whether it also listens for TLS.
    pub(crate) tls: bool,
}

impl Kind {
    /// The same with `more` settings, which win.
    pub(crate) fn with(&self, more: &[String]) -> Self {
        let mut kind = self.clone();
        kind.settings.extend_from_slice(more);
        kind
    }
}

/// The program: `given`, or what the environment says, or else the one beside this program.
///
/// # Errors
///
/// If there is no such file.
pub(crate) fn program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => default_program()?,
    };
    std::fs::canonicalize(&path).with_context(|| format!("no {}: set CAUSEWAY_BIN", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one variable of this program, which has no configuration"
)]
fn default_program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("CAUSEWAY_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    Ok(own.with_file_name("causeway"))
}

/// Where nodes make their own CA and certificate, below their folder.
const CERTIFICATES: &str = "var/tls";

/// The CA that the nodes started in `folder` have made.
pub(crate) fn authority(folder: &Path) -> PathBuf {
    folder.join(CERTIFICATES).join("ca.pem")
}

/// Their certificate and its key.
pub(crate) fn certificate(folder: &Path) -> [PathBuf; 2] {
    ["server.pem", "server.key"].map(|name| folder.join(CERTIFICATES).join(name))
}

/// A node that takes clients, killed with this value.
#[derive(Debug)]
pub(crate) struct Node {
    process: Process,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

/// A node that may not take clients yet, killed with this value.
#[derive(Debug)]
pub(crate) struct Starting {
    process: Process,
    name: String,
    tls: bool,
}

impl Starting {
    /// Starts one that logs into `folder`.
    pub(crate) fn new(kind: &Kind, name: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut command = process::command(&kind.broker, "KILL", None);
        command.current_dir(folder).arg("serve");
        let tls = if kind.tls { "127.0.0.1:0" } else { "off" };
        let own = [
            format!("node.name={name}"),
            "listener.tcp=127.0.0.1:0".to_owned(),
            format!("listener.tls={tls}"),
            "listener.ws=off".to_owned(),
            "http.listen=127.0.0.1:0".to_owned(),
            "log.format=json".to_owned(),
        ];
        for setting in own.iter().chain(&kind.settings) {
            command.args(["--set", setting]);
        }
        Ok(Self {
            process: Process::start(command, folder.join(format!("{name}.log")))?,
            name: name.to_owned(),
            tls: kind.tls,
        })
    }

    /// Waits until it takes clients.
    pub(crate) fn ready(self) -> anyhow::Result<Node> {
        let Self {
            mut process,
            name,
            tls,
        } = self;
        let (address, tls_address) = process
            .wait_for(|log| {
                let tcp = listening(log, "tcp")?;
                let tls = match tls {
                    true => Some(listening(log, "tls")?),
                    false => None,
                };
                is_ready(listening(log, "http")?).then_some((tcp, tls))
            })
            .with_context(|| format!("node {name}"))?;
        Ok(Node {
            process,
            address,
            tls_address,
        })
    }
}

impl Node {
    /// Starts one that logs into `folder`, and waits until it is ready.
    pub(crate) fn start(kind: &Kind, name: &str, folder: &Path) -> anyhow::Result<Self> {
        Starting::new(kind, name, folder)?.ready()
    }

    /// Where it speaks MQTT.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it speaks MQTT over TLS, if it does.
    pub(crate) fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Waits at most 10 s until it has ended.
    pub(crate) fn wait_for_end(&mut self) {
        self.process.wait_for_end();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

/// The address in the JSON line "listening" of a listener.
fn listening(log: &str, listener: &str) -> Option<SocketAddr> {
    let listener = format!("\"listener\":\"{listener}\"");
    let line = log
        .lines()
        .find(|line| line.contains("\"message\":\"listening\"") && line.contains(&listener))?;
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

fn is_ready(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(http)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
