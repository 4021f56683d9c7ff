//! Connections for one call each.
//!
//! Not the pool of sqlx: that one asks the server a question whenever a connection comes back,
//! and a connection that died silently keeps its place there for ever. Here a connection is
//! kept only after a call that ended; whatever was interrupted is closed.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::StoreError;

/// The server gives up a statement after this time.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A call that takes longer has lost its server.
const CALL_TIMEOUT: Duration = Duration::from_secs(45);
/// A connection that was idle for this long is asked first whether it lives.
const IDLE_CHECK: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// At most so many connections, opened when needed.
#[derive(Debug)]
pub(super) struct Pool {
    options: PgConnectOptions,
    acquire_timeout: Duration,
    permits: Semaphore,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one used last is at the end, and is taken first.
    connections: Vec<(PgConnection, Instant)>,
    failed_at: Option<Instant>,
}

/// A connection in use. Closed when dropped, unless it is kept.
pub(super) struct Taken<'a> {
    pool: &'a Pool,
    pub(super) connection: PgConnection,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, max: u32, acquire_timeout: Duration) -> Self {
        Self {
            options,
            acquire_timeout,
            permits: Semaphore::new(usize::try_from(max.max(1)).unwrap_or(1)),
            idle: Mutex::default(),
        }
    }

    /// A connection that works, as far as one can know. Cancel safe.
    pub(super) async fn take(&self) -> Result<Taken<'_>, StoreError> {
        let wait = self.acquire_timeout;
        let permit = match timeout(wait, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(sqlx::Error::PoolClosed.into()),
            Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        };
        while let Some((mut connection, must_ping)) = self.pop() {
            if !must_ping || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(()))) {
                return Ok(Taken {
                    pool: self,
                    connection,
                    _permit: permit,
                });
            }
        }
        let connection = connect(&self.options, STATEMENT_TIMEOUT, wait).await?;
        Ok(Taken {
            pool: self,
            connection,
            _permit: permit,
        })
    }

    fn pop(&self) -> Option<(PgConnection, bool)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (connection, since) = idle.connections.pop()?;
        let is_suspect = idle.failed_at.is_some_and(|at| at >= since);
        Some((connection, is_suspect || since.elapsed() >= IDLE_CHECK))
    }
}

impl Taken<'_> {
    /// Gives the connection back after a call that succeeded.
    ///
    /// After any other it is closed: that ends a transaction at once, while sqlx would send the
    /// rollback only with the next statement and hold the locks until then.
    pub(super) fn give_back<T>(self, result: &Result<T, StoreError>) {
        let now = Instant::now();
        let mut idle = self
            .pool
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => idle.connections.push((self.connection, now)),
            Err(StoreError::Unreachable(error)) if !matches!(error, sqlx::Error::Database(_)) => {
                idle.failed_at = Some(now);
            }
            Err(_) => {}
        }
    }
}

/// Waits for `call`, but not for ever: a connection whose other end vanished never answers.
pub(super) async fn limited<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(timed_out().into()))
}

/// The error of a server that does not answer.
pub(super) fn timed_out() -> sqlx::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the database server does not answer",
    )
    .into()
}

/// What is set on each connection: by a statement and not as start-up options, which poolers between us
/// and the server refuse. A server that closes idle sessions must not close ours.
///
/// `silence`: the server does not give up a client that it has not heard of for less than this.
fn settings(statement_timeout: Duration, silence: Duration) -> String {
    let silence = silence.as_secs() + u64::from(silence.subsec_nanos() > 0);
    format!(
        "set statement_timeout = {}; set idle_in_transaction_session_timeout = '3s'; \
         set tcp_keepalives_idle = {}; set tcp_keepalives_interval = {}; set tcp_keepalives_count = 3; \
         set client_min_messages = warning; set jit = off; set enable_seqscan = off; \
         select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout'",
        statement_timeout.as_millis(),
        silence.max(5),
        silence.div_ceil(3).max(2),
    )
}

/// Opens a connection, for at most `wait`.
pub(super) async fn connect(
    options: &PgConnectOptions,
    statement_timeout: Duration,
    wait: Duration,
) -> Result<PgConnection, sqlx::Error> {
    connect_for(options, statement_timeout, wait, Duration::ZERO).await
}

/// The same for one that the server keeps for at least `lease` after it has heard of us: whoever sees
/// that it is gone may take us for dead.
pub(super) async fn connect_for(
    options: &PgConnectOptions,
    statement_timeout: Duration,
    wait: Duration,
    lease: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let settings = settings(statement_timeout, lease);
    let open = async {
        let mut connection = options.connect().await?;
        connection.execute(settings.as_str()).await?;
        Ok(connection)
    };
    timeout(wait, open)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}

/// The same as [`connect_for`] for one that can listen. When it is lost it opens no other by itself, unless it is used
/// after that.
pub(super) async fn listener(
    options: &PgConnectOptions,
    wait: Duration,
    lease: Duration,
) -> Result<PgListener, sqlx::Error> {
    let settings = settings(STATEMENT_TIMEOUT, lease);
    // There is no other way to a listener than a pool.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(wait)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_lazy_with(options.clone());
    let open = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.execute(settings.as_str()).await?;
        Ok(listener)
    };
    timeout(wait, open)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}
