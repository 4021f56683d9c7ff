//! What can go wrong between a node and the database.

/// The database did not do what was asked. Nothing has happened unless a method says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or broke the connection. Whether the last statement was
    /// carried out is not known. Worth repeating.
    #[error("database unreachable")]
    Unreachable(#[source] sqlx::Error),
    /// The disk of the embedded store is full or fails. Nothing has happened, unless the process ends
    /// before the call is repeated: then it may have. Worth repeating: an operator may help.
    #[error("store.path: {trouble}; the database is {path}")]
    Disk {
        /// What is wrong.
        trouble: DiskTrouble,
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The database refused the statement. Not worth repeating unchanged.
    #[error("database refused a statement")]
    Refused(#[source] sqlx::Error),
    /// This node was declared dead by the others: it may do nothing more in the name of the
    /// cluster before it has joined again.
    #[error("this node was declared dead by the cluster")]
    Fenced,
    /// A row holds what this program cannot read. Not worth repeating.
    #[error("unreadable row in table {table}")]
    Corrupt {
        /// The table.
        table: &'static str,
    },
}

/// What is wrong with the disk of the embedded store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiskTrouble {
    /// ENOSPC.
    #[error("no room is left on the file system, make room")]
    Full,
    /// It cannot be read, written or opened; such as EIO, EDQUOT, EMFILE.
    #[error("the file system does not do what it is told, see the log of the kernel")]
    Failing,
}

impl DiskTrouble {
    pub(crate) fn of(error: &sqlx::Error) -> Option<Self> {
        match sqlite_code(error)? {
            SQLITE_FULL => Some(Self::Full),
            SQLITE_IOERR | SQLITE_CANTOPEN => Some(Self::Failing),
            _ => None,
        }
    }
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Disk { .. })
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_NOMEM: u32 = 7;
const SQLITE_IOERR: u32 = 10;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_PROTOCOL: u32 = 15;

/// The primary result code, if `error` is one of SQLite. Extended ones have it in the lowest byte.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code: u32 = error.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let transient = match (&error, sqlite_code(&error)) {
            (_, Some(code)) => matches!(
                code,
                SQLITE_BUSY
                    | SQLITE_LOCKED
                    | SQLITE_NOMEM
                    | SQLITE_IOERR
                    | SQLITE_FULL
                    | SQLITE_CANTOPEN
                    | SQLITE_PROTOCOL
            ),
            (
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed,
                None,
            ) => true,
            // 08 connection, 40 rollback (deadlock, serialization), 53 resources, 57 operator
            // intervention (shutdown), 25006 read-only during a failover, 25P03 a transaction that was idle for
            // too long because this process was stopped.
            (sqlx::Error::Database(db), None) => db.code().is_some_and(|code| {
                ["08", "40", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || ["25006", "25P03"].contains(&&*code)
            }),
            _ => false,
        };
        if transient {
            Self::Unreachable(error)
        } else {
            Self::Refused(error)
        }
    }
}

/// Why a database could not be opened. Each text names what to change.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL or path cannot be understood.
    #[error("{key}: not a usable database address")]
    Address {
        /// The setting at fault.
        key: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// Nobody answers there, or the credentials or the database name are wrong.
    #[error("{key}: cannot open the database at {address}")]
    Connect {
        /// The setting at fault.
        key: &'static str,
        /// Host, port and database without credentials; or the path of the file.
        address: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The schema was written by a newer release.
    #[error(
        "{key}: the schema in {address} is of version {found}, this program knows {known}; start a newer causeway or use another database"
    )]
    SchemaNewer {
        /// The setting at fault.
        key: &'static str,
        /// The database.
        address: String,
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A node that runs has the file, and its schema is of an older release.
    #[error(
        "{key}: the schema in {address} is of version {found}, this program needs {known}, and a node uses it; restart that node with this release first"
    )]
    SchemaOlder {
        /// The setting at fault.
        key: &'static str,
        /// The database.
        address: String,
        /// The version found.
        found: i64,
        /// The version this program needs.
        known: i64,
    },
    /// The migrations failed.
    #[error("{key}: cannot create or upgrade the schema in {address}")]
    Migrate {
        /// The setting at fault.
        key: &'static str,
        /// The database.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
