//! The database server of the tests: the one of `CAUSEWAY_TEST_POSTGRES` (a superuser's URL), or
//! else a private one that is started at first use and stops with this process.

use std::{
    io::Read as _,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};

use crate::{Scratch, process, scratch};

/// The server's URL, without the database, and the process (and pipe) of a private one.
struct Server {
    base: String,
    _alive: Option<Child>,
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);

/// A shell that runs the server until our end of its standard input closes, however we ended, and
/// then removes its data. `$1` folder of the programs, `$2` data, `$3` port, `$4…` prefix.
const RUN: &str = r#"
bin=$1 data=$2 port=$3; shift 3
mkdir -p "$data" && chmod 700 "$data"
if [ $# -gt 0 ]; then chown -R postgres "$data"; fi
"$@" "$bin/initdb" -D "$data/pg" -U postgres -A trust -E UTF8 --no-sync >"$data.log" 2>&1 || exit 1
"$@" "$bin/postgres" -D "$data/pg" -p "$port" -k "" -c listen_addresses=127.0.0.1 \
  -c max_connections=400 -c fsync=off -c shared_buffers=64MB >>"$data.log" 2>&1 </dev/null &
pid=$!
echo started
read -r _
kill -INT $pid
wait $pid
rm -rf "$data" "$data.log"
"#;

fn programs() -> PathBuf {
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
    versions.pop().map_or_else(
        || panic!("no Postgres: apt-get install postgresql, or set CAUSEWAY_TEST_POSTGRES"),
        |(_, path)| path,
    )
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

fn start() -> Server {
    if let Ok(url) = std::env::var("CAUSEWAY_TEST_POSTGRES") {
        let scheme = url.find("://").map_or(0, |at| at + 3);
        let end = url[scheme..].find('/').map_or(url.len(), |at| scheme + at);
        return Server {
            base: url[..end].to_owned(),
            _alive: None,
        };
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = Scratch::new("postgres");
    let data = folder.path().to_path_buf();
    std::mem::forget(folder); // removed by the shell
    let mut command = Command::new("sh");
    command
        .args(["-c", RUN, "sh"])
        .arg(programs())
        .arg(&data)
        .arg(port.to_string());
    if is_root() {
        command.args([
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = process::spawn(command).unwrap();
    let mut word = [0_u8; 7];
    let started = child.stdout.take().unwrap().read_exact(&mut word);
    let log = || std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
    assert!(started.is_ok(), "Postgres does not start: {}", log());
    let deadline = Instant::now() + crate::PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            Instant::now() < deadline,
            "Postgres does not listen: {}",
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Server {
        base: format!("postgres://postgres@127.0.0.1:{port}"),
        _alive: Some(child),
    }
}

/// The URL of the server without a database, such as `postgres://postgres@127.0.0.1:5432`.
fn base() -> String {
    let mut server = SERVER.lock().unwrap();
    server.get_or_insert_with(start).base.clone()
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(&statement).execute(&mut connection).await?;
    connection.close().await
}

/// A database of one test, dropped with this value.
#[derive(Debug)]
pub struct Database {
    base: String,
    name: String,
}

impl Database {
    /// Creates one.
    ///
    /// # Panics
    ///
    /// If there is no server.
    pub async fn create() -> Self {
        let base = tokio::task::spawn_blocking(base).await.unwrap();
        let name = format!("causeway_{}_{}", std::process::id(), scratch::unique());
        let mut attempts = 0;
        while let Err(error) = execute(
            &format!("{base}/postgres"),
            format!("create database {name}"),
        )
        .await
        {
            attempts += 1; // the server may still be starting
            assert!(attempts < 100, "cannot create a database: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { base, name }
    }

    /// What a node needs to join.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.base, self.name)
    }

    /// Runs statements in it.
    ///
    /// # Panics
    ///
    /// If one fails.
    pub async fn execute(&self, statements: &str) {
        execute(&self.url(), statements.to_owned()).await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let url = format!("{}/postgres", self.base);
        let statement = format!("drop database if exists {} with (force)", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.map(|runtime| runtime.block_on(execute(&url, statement)))
        });
        let _ = dropped.join();
    }
}
