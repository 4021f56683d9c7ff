//! Opens the database and brings its schema up to date.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::pool;
use crate::OpenError;

const KEY: &str = "cluster.database_url";
/// How long a server may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Waiting for another node that migrates included.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(300);
/// `cannot_connect_now`: the server is starting up, or recovers from a crash.
const STARTING_UP: &str = "57P03";

/// What every call needs to know about the database.
pub(super) struct Opened {
    pub(super) options: PgConnectOptions,
    /// The schema in which everything is, hashed: part of the names that are global in a database.
    pub(super) schema_hash: u64,
}

/// In order; the first has number 1.
const MIGRATIONS: [(&str, &str); 5] = [
    (
        "shared state",
        include_str!("../../migrations/postgres/0001_shared_state.sql"),
    ),
    (
        "frames in pages",
        include_str!("../../migrations/postgres/0002_frames_in_pages.sql"),
    ),
    (
        "users",
        include_str!("../../migrations/postgres/0003_users.sql"),
    ),
    (
        "outcomes",
        include_str!("../../migrations/postgres/0004_outcomes.sql"),
    ),
    (
        "life of frames",
        include_str!("../../migrations/postgres/0005_life_of_frames.sql"),
    ),
];

fn migrations() -> Vec<Migration> {
    (1..)
        .zip(MIGRATIONS)
        .map(|(version, (name, sql))| {
            let (name, sql) = (Cow::Borrowed(name), Cow::Borrowed(sql));
            Migration::new(version, name, MigrationType::Simple, sql, false)
        })
        .collect()
}

/// Connects to `url` and migrates.
pub(super) async fn open(url: &str) -> Result<Opened, OpenError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|source| OpenError::Address { key: KEY, source })?
        .disable_statement_logging();
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("causeway"),
    };
    let address = address(&options);
    let mut connection = first_connection(&options)
        .await
        .map_err(|source| OpenError::Connect {
            key: KEY,
            address: address.clone(),
            source,
        })?;
    migrate(&mut connection, &address).await?;
    let schema: Option<String> = sqlx::query_scalar("select current_schema()::text")
        .fetch_one(&mut connection)
        .await
        .map_err(|source| OpenError::Connect {
            key: KEY,
            address,
            source,
        })?;
    // Closed and not kept: an error above leaves the advisory lock of the migrator behind.
    let _ = connection.close().await;
    let schema_hash = fnv1a(schema.as_deref().unwrap_or_default().as_bytes());
    Ok(Opened {
        options,
        schema_hash,
    })
}

/// Host, port and database; never the user or the password.
fn address(options: &PgConnectOptions) -> String {
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

async fn first_connection(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match pool::connect(options, MIGRATE_TIMEOUT, left).await {
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(STARTING_UP) && Instant::now() < deadline =>
            {
                sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

async fn migrate(connection: &mut PgConnection, address: &str) -> Result<(), OpenError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Migrate {
        key: KEY,
        address: address.to_owned(),
        source,
    };
    let migrations = migrations();
    let known = migrations
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    let found = newest(connection)
        .await
        .map_err(|error| failed(error.into()))?;
    if found == Some(known) {
        return Ok(());
    }
    let newer = |found| OpenError::SchemaNewer {
        key: KEY,
        address: address.to_owned(),
        found,
        known,
    };
    if let Some(found) = found.filter(|found| *found > known) {
        return Err(newer(found));
    }
    let migrator = Migrator {
        migrations: Cow::Owned(migrations),
        ..Migrator::DEFAULT
    };
    match migrator.run(connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) if found > known => Err(newer(found)),
        Err(error) => Err(failed(error.into())),
    }
}

/// The newest migration in the database, if there was one.
async fn newest(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar(
        "select to_regclass(quote_ident(current_schema()) || '._sqlx_migrations') is not null",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
        .fetch_one(connection)
        .await
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
