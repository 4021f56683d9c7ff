//! What can go wrong between a node and the database.

/// The database did not do what was asked. Nothing has happened unless a method says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or broke the connection. Whether the last statement was
    /// carried out is not known. Worth repeating.
    #[error("database unreachable")]
    Unreachable(#[source] sqlx::Error),
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

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let transient = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // 08 connection, 40 rollback (deadlock, serialization), 53 resources, 57 operator
            // intervention (shutdown), 25006 read-only during a failover.
            sqlx::Error::Database(db) => db.code().is_some_and(|code| {
                ["08", "40", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || code == "25006"
                    || code == "5" // SQLITE_BUSY
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
