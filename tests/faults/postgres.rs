//! The database of one world: a real one, that writes and syncs as in production.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use harness::Process;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::network;

/// Where the machine itself finds it: never cut off.
const URL: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// How long a start may take, recovery included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder with the programs of the newest Postgres that Debian has installed.
fn programs() -> anyhow::Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .context("no Postgres: apt-get install postgresql")?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let newest = versions.pop().context("no version of Postgres")?;
    Ok(newest.1)
}

/// Runs to the end.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

const AS_POSTGRES: [&str; 4] = [
    "--reuid=postgres",
    "--regid=postgres",
    "--clear-groups",
    "--",
];

/// Makes an empty database cluster in `folder`, to be copied for each world.
pub fn make_template(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    run(Command::new("chown").arg("postgres:").arg(folder))?;
    let mut initdb = Command::new("setpriv");
    initdb.args(AS_POSTGRES).arg(programs()?.join("initdb"));
    initdb.arg("-D").arg(folder.join("data"));
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
    run(initdb.current_dir("/"))
}

/// The server.
#[derive(Debug)]
pub struct Postgres {
    data: PathBuf,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Postgres {
    /// A server on a copy of the template, in `folder`; not started yet.
    pub fn new(template: &Path, folder: &Path, log: PathBuf) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(template.join("data")).arg(&data);
        run(&mut copy)?;
        Ok(Self {
            data,
            log,
            process: Mutex::default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&self) -> anyhow::Result<()> {
        let mut command = Command::new("setpriv");
        // QUIT is the immediate shutdown: everything ends with the machine.
        command.args(["--pdeathsig", "QUIT"]).args(AS_POSTGRES);
        command.arg(programs()?.join("postgres"));
        command.arg("-D").arg(&self.data);
        command.args(["-k", "", "-p", &network::POSTGRES_PORT.to_string()]);
        for setting in [
            "listen_addresses=0.0.0.0",
            "max_connections=200",
            "shared_buffers=64MB",
            // In the data folder, not in the memory of the machine, where a killed server leaves it.
            "dynamic_shared_memory_type=mmap",
            "log_line_prefix=%m [%p] %a ",
        ] {
            command.args(["-c", setting]);
        }
        command.env("LC_ALL", "C").current_dir("/");
        *self.lock() = Some(Process::start(command, self.log.clone()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.lock().as_mut().and_then(Process::status) {
                bail!("Postgres ended with {status}");
            }
            let connected = timeout(Duration::from_secs(2), PgConnection::connect(URL)).await;
            if let Ok(Ok(connection)) = connected {
                let _ = connection.close().await;
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "Postgres does not start");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it without a checkpoint (`pg_ctl stop -m immediate`), and waits until it is gone.
    pub async fn crash(&self) -> anyhow::Result<()> {
        let Some(mut process) = self.lock().take() else {
            bail!("Postgres does not run");
        };
        process.signal("QUIT");
        let deadline = Instant::now() + PATIENCE;
        while process.status().is_none() {
            ensure!(Instant::now() < deadline, "Postgres does not stop");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Whose queues are not empty: client identifier and number of entries. Those of sessions that
    /// have ended are swept up at some time, and do not count.
    pub async fn queues(&self) -> anyhow::Result<Vec<(String, i64)>> {
        let mut connection = PgConnection::connect(URL).await?;
        let rows = sqlx::query_as(
            "select client_id, count(*) from queue
               join session on session.id = queue.session_id group by 1 order by 1",
        )
        .fetch_all(&mut connection)
        .await?;
        let _ = connection.close().await;
        Ok(rows)
    }
}
