//! A connection to the file that is opened again after an error.
//!
//! SQLite may end a transaction by itself when the disk is full or fails, and then neither it nor
//! sqlx knows the state of the other. A new connection knows; opening one costs a millisecond.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor, Sqlite, Transaction};

use crate::{DiskTrouble, StoreError};

/// A transaction starts with the lock for writing: `causeway user` may write from another process,
/// and one that had read before would then be refused at once and not wait.
const BEGIN: &str = "begin immediate";

/// Copies the log into the database as far as nobody reads it. Then the log begins anew in the room
/// it has, so that a full disk does not keep changes out that need no more.
const CHECKPOINT: &str = "pragma wal_checkpoint(passive)";

/// One connection, open unless the last call on it failed.
pub(super) struct Link {
    path: PathBuf,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

impl Link {
    /// An open connection to the file at `path`, and how to open it again.
    pub(super) fn new(
        path: &Path,
        options: SqliteConnectOptions,
        connection: SqliteConnection,
    ) -> Self {
        Self {
            path: path.to_owned(),
            options,
            connection: Some(connection),
        }
    }

    /// The connection, opened again if need be.
    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.options.connect().await?;
                // Nothing depends on it: the next call says whether there is room.
                let _ = connection.execute(CHECKPOINT).await;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        Ok(self.connection().await?.begin_with(BEGIN).await?)
    }

    /// What came of a call on the connection. After an error of SQLite it is closed, and trouble with
    /// the disk names the file.
    pub(super) async fn settle<T>(
        &mut self,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match &error {
            StoreError::Unreachable(_) | StoreError::Refused(_) | StoreError::Disk { .. } => {
                if let Some(connection) = self.connection.take() {
                    // It was broken anyway; what was not committed is gone with it.
                    let _ = connection.close().await;
                }
            }
            StoreError::Fenced | StoreError::Corrupt { .. } => {}
        }
        Err(match error {
            StoreError::Unreachable(source) => match DiskTrouble::of(&source) {
                Some(trouble) => StoreError::Disk {
                    trouble,
                    path: self.path.display().to_string(),
                    source,
                },
                None => StoreError::Unreachable(source),
            },
            StoreError::Refused(_)
            | StoreError::Disk { .. }
            | StoreError::Fenced
            | StoreError::Corrupt { .. } => error,
        })
    }
}
