//! Opens the file, makes sure that nobody else has it, and brings its schema up to date.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor};

use super::Synchronous;
use crate::OpenError;

const KEY: &str = "store.path";
/// How long the process before may take to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pages written before the log is copied into the database.
const CHECKPOINT_PAGES: &str = "4000";

/// An open database.
pub(super) struct Opened {
    /// Keeps other processes out for as long as it is open.
    pub(super) lock: SqliteConnection,
    pub(super) writer: SqliteConnection,
    pub(super) readers: [SqliteConnection; 2],
}

/// Opens the database at `path`, and creates what is missing.
pub(super) async fn open(path: &Path, synchronous: Synchronous) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Connect {
        key: KEY,
        address: address(path),
        source,
    };
    create_folder(path).map_err(|error| failed(error.into()))?;
    let lock = take_lock(path).await.map_err(failed)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .disable_statement_logging();
    let mut writer = options.connect().await.map_err(failed)?;
    migrate(&mut writer, path).await?;
    let reading = options.create_if_missing(false).pragma("query_only", "on");
    let readers = [
        reading.connect().await.map_err(failed)?,
        reading.connect().await.map_err(failed)?,
    ];
    Ok(Opened {
        lock,
        writer,
        readers,
    })
}

fn address(path: &Path) -> String {
    path.display().to_string()
}

fn create_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

/// Holds a lock on a file of its own beside the database, because one on the database would keep our own
/// readers out. The system gives it up with the process, however that ends.
async fn take_lock(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut lock = SqliteConnectOptions::new()
        .filename(PathBuf::from(name))
        .create_if_missing(true)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(LOCK_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await?;
    match lock.execute("begin exclusive").await {
        Ok(_) => Ok(lock),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("5") => Err(
            sqlx::Error::Configuration("another process uses this file".into()),
        ),
        Err(error) => Err(error),
    }
}

async fn migrate(writer: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let migrations = vec![Migration::new(
        1,
        Cow::Borrowed("shared state"),
        MigrationType::Simple,
        Cow::Borrowed(include_str!(
            "../../migrations/sqlite/0001_shared_state.sql"
        )),
        false,
    )];
    let known = migrations
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
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
