//! Opens the file, makes sure that nobody else has it, and brings its schema up to date.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor};

use super::{Synchronous, link::Link};
use crate::OpenError;

const KEY: &str = "store.path";
/// How long the process before may take to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pages written before the log is copied into the database.
const CHECKPOINT_PAGES: &str = "4000";
const CHECKPOINT: &str = "pragma wal_checkpoint(truncate)";
/// Bytes of the log that stay allocated when it begins anew.
const KEPT_LOG_BYTES: &str = "67108864";

/// Who else may have the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nobody.
    Nobody,
    /// A node.
    Node,
}

/// An open database.
pub(super) struct Opened {
    /// Keeps other processes out for as long as it is open; none if another process does.
    pub(super) lock: Option<SqliteConnection>,
    pub(super) writer: Link,
    pub(super) readers: [Link; 2],
}

/// Opens the database at `path`, and creates what is missing. With [`Beside::Node`] also if a node
/// has it; then its schema must be the one we know.
pub(super) async fn open(
    path: &Path,
    synchronous: Synchronous,
    beside: Beside,
) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Connect {
        key: KEY,
        address: address(path),
        source,
    };
    create_folder(path).map_err(|error| failed(error.into()))?;
    create_file(path).map_err(|error| failed(error.into()))?;
    let lock = match (take_lock(path, beside).await.map_err(failed)?, beside) {
        (None, Beside::Nobody) => {
            return Err(failed(sqlx::Error::Configuration(
                "another process uses this file".into(),
            )));
        }
        (lock, Beside::Nobody | Beside::Node) => lock,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        // It is there, and if it vanishes it must not be made anew in silence.
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", KEPT_LOG_BYTES)
        .disable_statement_logging();
    let mut writer = options.connect().await.map_err(failed)?;
    match lock {
        Some(_) => {
            migrate(&mut writer, path).await?;
            // With `Synchronous::Normal` too, the disk has what the run before left, and the schema.
            writer.execute(CHECKPOINT).await.map_err(failed)?;
        }
        None => check_version(&mut writer, path).await?,
    }
    let reading = options.clone().pragma("query_only", "on");
    let readers = [
        reading.connect().await.map_err(failed)?,
        reading.connect().await.map_err(failed)?,
    ];
    let writer = Link::new(path, options, writer);
    let readers = readers.map(|reader| Link::new(path, reading.clone(), reader));
    Ok(Opened {
        lock,
        writer,
        readers,
    })
}

fn address(path: &Path) -> String {
    path.display().to_string()
}

/// Makes the folder with all above it that are missing. Afterwards the disk has their names: a database
/// that is safe in a folder without a name would be lost with the power all the same.
fn create_folder(path: &Path) -> io::Result<()> {
    let folder = folder(path);
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    std::fs::create_dir_all(folder)?;
    missing
        .into_iter()
        .try_for_each(|made| sync_folder(self::folder(made)))
}

/// Makes the file where there is none, for its owner only: it holds keys of users. SQLite gives the
/// files beside it the same permissions.
fn create_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => sync_folder(folder(path)),
        // What is wrong with one that exists, SQLite says.
        Err(_) if path.exists() => Ok(()),
        Err(error) => Err(error),
    }
}

/// What `path` is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Returns when the disk has the names in a folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match std::fs::File::open(folder)?.sync_all() {
        // Some file systems cannot, and need not.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

/// Holds a lock on a file of its own beside the database, because one on the database would keep our own
/// readers out. The system gives it up with the process, however that ends.
/// None if another process has it.
async fn take_lock(path: &Path, beside: Beside) -> Result<Option<SqliteConnection>, sqlx::Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut lock = SqliteConnectOptions::new()
        .filename(PathBuf::from(name))
        .create_if_missing(true)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(match beside {
            Beside::Nobody => LOCK_TIMEOUT,
            Beside::Node => Duration::ZERO,
        })
        .disable_statement_logging()
        .connect()
        .await?;
    match lock.execute("begin exclusive").await {
        Ok(_) => Ok(Some(lock)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("5") => Ok(None),
        Err(error) => Err(error),
    }
}

fn migrations() -> Vec<Migration> {
    let migration = |version, description, sql| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            Cow::Borrowed(sql),
            false,
        )
    };
    vec![
        migration(
            1,
            "shared state",
            include_str!("../../migrations/sqlite/0001_shared_state.sql"),
        ),
        migration(
            2,
            "users",
            include_str!("../../migrations/sqlite/0002_users.sql"),
        ),
    ]
}

/// The newest version of the schema that this program knows.
fn known_version(migrations: &[Migration]) -> i64 {
    let versions = migrations.iter().map(|migration| migration.version);
    versions.max().unwrap_or(0)
}

/// A node has the file: its schema is not touched.
async fn check_version(c: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let known = known_version(&migrations());
    let found: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(c)
            .await
            .map_err(|source| OpenError::Connect {
                key: KEY,
                address: address(path),
                source,
            })?;
    let (key, address, found) = (KEY, address(path), found.unwrap_or(0));
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(OpenError::SchemaOlder {
            key,
            address,
            found,
            known,
        }),
        Ordering::Greater => Err(OpenError::SchemaNewer {
            key,
            address,
            found,
            known,
        }),
    }
}

async fn migrate(writer: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let migrations = migrations();
    let known = known_version(&migrations);
    let migrator = Migrator {
        migrations: Cow::Owned(migrations),
        ..Migrator::DEFAULT
    };
    match migrator.run(writer).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) if found > known => Err(OpenError::SchemaNewer {
            key: KEY,
            address: address(path),
            found,
            known,
        }),
        Err(error) => Err(OpenError::Migrate {
            key: KEY,
            address: address(path),
            source: error.into(),
        }),
    }
}
