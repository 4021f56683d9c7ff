//! A private Postgres server for this process, stopped when the process ends, however it ends.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

struct Server {
    port: u16,
    _alive: ChildStdin,
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);
static UNIQUE: AtomicU32 = AtomicU32::new(0);

/// Runs the server until standard input closes, which is when our process is gone, and removes its
/// data. `$1` programs, `$2` data, `$3` port, `$4…` how to become somebody without privileges.
const RUN: &str = r#"
bin=$1 data=$2 port=$3; shift 3
mkdir -p "$data" && chmod 700 "$data"
if [ $# -gt 0 ]; then chown -R postgres "$data"; fi
"$@" "$bin/initdb" -D "$data/pg" -U postgres -A trust -E UTF8 --no-sync >"$data.log" 2>&1 || exit 1
cat >"$data/pg/pg_hba.conf" <<END
host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
END
"$@" "$bin/postgres" -D "$data/pg" -p "$port" -k "" -c listen_addresses=127.0.0.1 \
  -c max_connections=300 -c fsync=off -c shared_buffers=64MB >>"$data.log" 2>&1 </dev/null &
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
    versions
        .pop()
        .expect("no Postgres: apt-get install postgresql")
        .1
}

/// A name nobody else has.
pub fn unique(prefix: &str) -> String {
    format!(
        "{prefix}_{}_{}",
        std::process::id(),
        UNIQUE.fetch_add(1, Ordering::Relaxed)
    )
}

#[expect(
    clippy::zombie_processes,
    reason = "it ends when this process has ended"
)]
fn start() -> Server {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let data = std::env::temp_dir().join(unique("causeway_ibc"));
    let mut command = Command::new("sh");
    command
        .args(["-c", RUN, "sh"])
        .arg(programs())
        .arg(&data)
        .arg(port.to_string());
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout == b"0\n" {
        let become_postgres = [
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ];
        command.arg("setpriv").args(become_postgres);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0_u8; 7];
    let started = child.stdout.take().unwrap().read_exact(&mut word);
    let log = || std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
    assert!(started.is_ok(), "Postgres does not start: {}", log());
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            Instant::now() < deadline,
            "Postgres does not listen: {}",
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Server {
        port,
        _alive: child.stdin.take().unwrap(),
    }
}

/// The port of the server, started at first use.
pub fn port() -> u16 {
    let mut server = SERVER.lock().unwrap();
    server.get_or_insert_with(start).port
}

/// The URL of a new database.
pub async fn new_database() -> String {
    let port = tokio::task::spawn_blocking(port).await.unwrap();
    let base = format!("postgres://postgres@127.0.0.1:{port}");
    let name = unique("ibc");
    let mut attempts = 0;
    loop {
        match execute(
            &format!("{base}/postgres"),
            &format!("create database {name}"),
        )
        .await
        {
            Ok(()) => return format!("{base}/{name}"),
            Err(error) => assert!(attempts < 100, "no database: {error}"),
        }
        attempts += 1; // the server may still be starting
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs statements in the database at `url`.
pub async fn execute(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(statements).execute(&mut connection).await?;
    connection.close().await
}

/// One number.
pub async fn number(url: &str, query: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let number = sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    number
}
