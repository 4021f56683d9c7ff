//! A private Postgres with the settings it has by itself, so with every commit on the disk.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::process::{self, Process};

pub(crate) const USER: Option<&str> = Some("postgres");

/// A running server, stopped with this value.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Process,
    port: u16,
}

/// The folder of the newest version that Debian has installed, or nothing if `PATH` must do.
pub(crate) fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.pop().map_or_else(PathBuf::new, |(_, path)| path)
}

impl Postgres {
    /// Makes a database cluster in `folder` and starts a server on it, with `KEY=VALUE` settings.
    pub(crate) fn start(folder: &Path, settings: &[String]) -> anyhow::Result<Self> {
        let home = folder.join("postgres");
        std::fs::create_dir(&home)?;
        if process::is_root() {
            let owner = std::process::Command::new("chown")
                .arg("postgres:")
                .arg(&home)
                .status()?;
            anyhow::ensure!(owner.success(), "there is no user postgres");
        }
        let data = home.join("data");
        let mut command = process::command(programs().join("initdb"), "KILL", USER);
        command.current_dir(&home).arg("--pgdata").arg(&data);
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        let made = command.output().context("cannot run initdb")?;
        let text = String::from_utf8_lossy(&made.stderr);
        anyhow::ensure!(made.status.success(), "initdb failed: {text}");

        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = process::command(programs().join("postgres"), "INT", USER);
        command.current_dir(&home).arg("-D").arg(&data);
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories="]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        let mut process = Process::start(command, folder.join("postgres.log"))?;
        process.wait_for(|log| log.contains("ready to accept connections").then_some(()))?;
        Ok(Self { process, port })
    }

    /// What `cluster.database_url` needs.
    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes an empty database and returns its address.
    ///
    /// # Errors
    ///
    /// If there is one of that name.
    pub(crate) fn create(&self, database: &str) -> anyhow::Result<String> {
        self.execute(&format!("create database {database}"))?;
        Ok(self.url_of(database))
    }

    /// Removes a database and ends the connections to it.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub(crate) fn remove(&self, database: &str) -> anyhow::Result<()> {
        self.execute(&format!("drop database {database} with (force)"))
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn execute(&self, statement: &str) -> anyhow::Result<()> {
        let mut command = process::command(programs().join("psql"), "KILL", None);
        command.args(["--no-psqlrc", "--quiet", "--command", statement]);
        let output = command.arg(self.url()).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{statement}: {}", text.trim_end());
        Ok(())
    }

    /// The process all others of it descend from.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process.stop("INT");
    }
}
