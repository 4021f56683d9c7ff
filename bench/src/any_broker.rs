//! `causeway-bench load`: scenarios against a broker that runs already.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use rustls::pki_types::ServerName;

use crate::{
    catalogue::{Scale, Scenario},
    cpu::Meter,
    generator::{self, Broker, Tls},
    packet::Credentials,
    report,
    tunnel::Trust,
};

/// Runs scenarios against a broker that runs already, any broker of MQTT 3.1.1
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Scenarios, separated by commas: S1 to S8, C1, O1, R1; with --tls also T5, T7, H1 and H2
    #[arg(long, value_delimiter = ',', required = true, ignore_case = true)]
    scenario: Vec<Scenario>,
    /// HOST:PORT of the broker, or several nodes of one separated by commas: connection i goes to host i mod n
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:1883", value_parser = host)]
    hosts: Vec<SocketAddr>,
    /// The same for publishers only
    #[arg(long, value_delimiter = ',', value_parser = host)]
    pub_hosts: Vec<SocketAddr>,
    /// The same for subscribers and sessions only
    #[arg(long, value_delimiter = ',', value_parser = host)]
    sub_hosts: Vec<SocketAddr>,
    /// Process ids of the broker, separated by commas: its CPU time and memory are measured
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Process ids of helpers, such as a database: their CPU time is measured with that of their children
    #[arg(long, value_delimiter = ',')]
    aux_pid: Vec<u32>,
    /// User name of all clients
    #[arg(long)]
    user: Option<String>,
    /// Password of all clients
    #[arg(long, requires = "user")]
    password: Option<String>,
    /// Connect by TLS; the certificate must name the address, or --tls-name
    #[arg(long, requires = "ca")]
    tls: bool,
    /// PEM file with the issuers that are trusted
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the certificate must bear
    #[arg(long, value_name = "NAME", requires = "tls", value_parser = server_name)]
    tls_name: Option<ServerName<'static>>,
    /// Seconds measured (S, H)
    #[arg(long, default_value_t = 8.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of load before (S, H)
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    warm_up: f64,
    /// Connections of C1, 1 to 1000000
    #[arg(long, default_value_t = 17_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Times to run each scenario, in turn
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Written into the results
    #[arg(long, default_value = "")]
    label: String,
    /// Append the JSON lines to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Reads HOST:PORT.
fn host(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("not HOST:PORT, or no such host: {error}"))?;
    found.next().ok_or_else(|| "no such host".to_owned())
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Reads seconds above 0.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if seconds > 0.0 && seconds <= 86_400.0 {
        return Ok(seconds);
    }
    Err("must be more than 0 and at most 86400".to_owned())
}

impl Arguments {
    fn broker(&self, run: u32) -> anyhow::Result<Broker> {
        let own = |hosts: &[SocketAddr]| match hosts {
            [] => self.hosts.clone(),
            own => own.to_vec(),
        };
        let trust = self.ca.as_deref().filter(|_| self.tls);
        let trust = trust.map(|ca| {
            Trust::read(ca).with_context(|| format!("cannot read issuers from {}", ca.display()))
        });
        let credentials = self.user.clone().map(|user| Credentials {
            user,
            password: self.password.clone(),
        });
        Ok(Broker {
            publish_at: own(&self.pub_hosts),
            subscribe_at: own(&self.sub_hosts),
            connect_at: own(&self.sub_hosts),
            bystanders_at: Vec::new(),
            credentials,
            tls: trust.transpose()?.map(|trust| Tls {
                config: Arc::clone(trust.config()),
                name: self.tls_name.clone(),
            }),
            meter: Meter::new(self.pid.clone(), None).with_helpers(self.aux_pid.clone()),
            prefix: format!("cb{}-{run}", std::process::id()),
            tidy: true,
        })
    }

    fn scale(&self) -> Scale {
        Scale {
            warm_up: Duration::from_secs_f64(self.warm_up),
            measured: Duration::from_secs_f64(self.seconds),
            connections: self.connections as usize,
            topics: 50_000,
            settle: Duration::from_secs(2),
            hold: Duration::from_secs(3),
            rest: Duration::ZERO,
        }
    }

    /// # Errors
    ///
    /// What is wrong with a combination of arguments.
    fn check(&self) -> Result<(), clap::Error> {
        let wrong =
            |text: String| Err(clap::Error::raw(clap::error::ErrorKind::InvalidValue, text));
        for scenario in &self.scenario {
            if scenario.nodes().is_some() {
                return wrong(format!(
                    "{scenario} starts a cluster of its own: use compare\n"
                ));
            }
            if scenario.is_by_tls() && !self.tls {
                return wrong(format!("{scenario} is by TLS: --tls and --ca are needed\n"));
            }
        }
        for id in self.pid.iter().chain(&self.aux_pid) {
            if !PathBuf::from(format!("/proc/{id}")).exists() {
                return wrong(format!("there is no process {id}\n"));
            }
        }
        Ok(())
    }

    /// Runs the scenarios and prints a JSON line for each.
    ///
    /// # Errors
    ///
    /// If the broker cannot be reached or refuses, or the file cannot be written.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        self.check()?;
        generator::allow_files(1024)?;
        let mut file = match &self.json {
            Some(path) => {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                Some(opened.with_context(|| format!("cannot write {}", path.display()))?)
            }
            None => None,
        };
        let (scale, mut run) = (self.scale(), 0);
        for round in 1..=self.rounds {
            for scenario in &self.scenario {
                run += 1;
                let broker = self.broker(run)?;
                let load = scenario.load(&scale);
                let figures = generator::in_thread(|| load.run(&broker))
                    .with_context(|| scenario.to_string())?;
                let heads = [
                    ("scenario", scenario.name()),
                    ("label", self.label.as_str()),
                ];
                let line = report::line(&heads, round, &figures);
                report::print(&line)?;
                if let Some(file) = &mut file {
                    writeln!(file, "{line}")?;
                }
                report::tell_faults(scenario.name(), &figures);
            }
        }
        Ok(())
    }
}
