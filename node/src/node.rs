//! One node: builds the rooms once, passes them on, and stops them in order.

mod drain;

use std::{sync::Arc, time::Duration};

use ibc::{
    postgres::{Postgres, PostgresOptions},
    sqlite::Sqlite,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tracing::info;

use crate::{
    api,
    auth::Auth,
    cluster::{Cluster, Databases, Lane},
    config::{Config, Kind, host_name},
    delivery::QueueLimits,
    feed::Feed,
    handle::Rooms,
    listener::{self, BindError, Bound, Listener, Listening, Pace},
    retain::Retain,
    router::Router,
    session::Registry,
    shutdown::{Failure, Shutdown},
    sys,
    telemetry::{Metrics, chain},
    timer,
    tls::{self, Tls, TlsError},
};

/// HTTP clients that may wait.
const HTTP_BACKLOG: u32 = 128;

/// Why a node could not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// SIGHUP cannot be listened for.
    #[error("cannot listen for SIGHUP")]
    Signal(#[source] std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] ibc::OpenError),
    /// The cluster does not let this node in.
    #[error(transparent)]
    Join(#[from] ibc::JoinError),
    /// What the nodes know together about users cannot be read.
    #[error("authentication cannot be started")]
    Auth(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The metrics contradict each other.
    #[error("metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// Whether the database cannot be reached now, so that it may go better later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Open(ibc::OpenError::Connect { .. }) => true,
            Self::Join(ibc::JoinError::Store(error)) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether the settings are at fault rather than the world.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Tls(_)
                | Self::Join(ibc::JoinError::NameTaken { .. })
                | Self::Open(ibc::OpenError::Address { .. })
        )
    }
}

/// A node that runs.
pub struct Node {
    rooms: Arc<Rooms>,
    shutdown: Shutdown,
    /// Whoever lets clients in.
    listeners: TaskTracker,
}

impl Node {
    /// Starts a node: binds its addresses, opens its database, joins. It takes clients as soon as
    /// it knows the routes of all others.
    ///
    /// # Errors
    ///
    /// [`StartError`], whose text names what to change.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        if config.node.name.is_empty() {
            config.node.name = host_name().unwrap_or_else(|| "causeway".to_owned());
        }
        let doors = bind(&config)?;
        let http = config.http.listen.address();
        let http = http.map(|address| listener::bind("http.listen", address, false));
        let http = http.transpose()?;
        let metrics = Arc::new(Metrics::new(&config.node.name)?);
        let shutdown = Shutdown::default();
        let tls = certificates(&config, &doors, &metrics)?;
        reload_on_hangup(tls.clone(), &shutdown)?;
        let (databases, users) = open(&config).await?;
        let auth = Auth::start(&config, users, &shutdown)
            .await
            .map_err(|error| StartError::Auth(Box::new(error)))?;
        let (cluster, changes) =
            Cluster::join(databases, &config, Arc::clone(&metrics), &shutdown).await?;
        info!(name = %config.node.name, node_id = %cluster.node, version = env!("CARGO_PKG_VERSION"), "node joined");
        let retain = Arc::new(Retain::new(&config.mqtt));
        let router = Arc::new(Router::new(
            Arc::clone(&cluster),
            Arc::clone(&retain),
            Arc::clone(&metrics),
            QueueLimits::new(&config.mqtt),
        ));
        let rooms = Arc::new(Rooms {
            config,
            auth,
            cluster,
            router,
            retain,
            registry: Registry::default(),
            metrics,
            shutdown: shutdown.clone(),
            tcp_address: doors
                .iter()
                .find(|(kind, _)| *kind == Kind::Tcp)
                .and_then(|(_, bound)| bound.address()),
        });
        let landing = Arc::clone(&rooms.router);
        let lane = Lane::write(
            Arc::clone(&rooms.cluster),
            shutdown.clone(),
            move |written| {
                landing.landed(written);
            },
        );
        shutdown.spawn(lane);
        shutdown.spawn(Feed::new(Arc::clone(&rooms)).run(changes, shutdown.clone()));
        shutdown.spawn(timer::run(Arc::clone(&rooms), shutdown.clone()));
        shutdown.spawn(sys::run(Arc::clone(&rooms), shutdown.clone()));
        if let Some(http) = http {
            serve_http(http, &rooms, &shutdown)?;
        }
        let pace = Arc::new(Pace::new(rooms.config.listener.accept_rate));
        let listeners = TaskTracker::new();
        for (kind, bound) in doors {
            let listener = Listener {
                kind,
                rooms: Arc::clone(&rooms),
                tls: tls.clone(),
                shutdown: shutdown.clone(),
                pace: Arc::clone(&pace),
            };
            shutdown.spawn(accept_when_ready(bound, listener, listeners.token()));
        }
        Ok(Self {
            rooms,
            shutdown,
            listeners,
        })
    }

    /// Runs until `stop` returns, then drains; or until the node cannot go on.
    ///
    /// # Errors
    ///
    /// Why it cannot go on, or what it had to leave to others.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        tokio::select! {
            () = stop => {}
            failure = self.shutdown.failed() => return Err(failure),
        }
        tokio::select! {
            drained = self.drain() => drained,
            failure = self.shutdown.failed() => Err(failure),
        }
    }
}

async fn open(config: &Config) -> Result<(Databases, Arc<dyn ibc::Users>), ibc::OpenError> {
    let url = &config.cluster.database_url;
    if url.is_empty() {
        let synchronous = config.store.sync.into();
        let sqlite = Arc::new(Sqlite::open(&config.store.path, synchronous).await?);
        let databases = Databases {
            store: Arc::<Sqlite>::clone(&sqlite),
            forward: None,
        };
        return Ok((databases, sqlite));
    }
    let options = PostgresOptions {
        max_connections: config.cluster.max_connections,
        acquire_timeout: Duration::from_secs(5),
        lease: config.cluster.lease,
    };
    let postgres = Arc::new(Postgres::open(url, options).await?);
    let databases = Databases {
        store: Arc::<Postgres>::clone(&postgres),
        forward: Some(Arc::<Postgres>::clone(&postgres)),
    };
    Ok((databases, postgres))
}

/// Says what is wrong with the files that `config` names, as far as starting would read them.
///
/// # Errors
///
/// [`TlsError`], whose text names the setting and the file.
pub fn check(config: &Config) -> Result<(), TlsError> {
    if config.listener.has_tls() {
        tls::check(&config.tls)?;
    }
    Ok(())
}

/// Makes all sockets for clients ours.
fn bind(config: &Config) -> Result<Vec<(Kind, Bound)>, BindError> {
    let mut doors = Vec::new();
    for (kind, addresses) in config.listener.addresses() {
        let bound = listener::bind_all(kind, addresses.as_slice())?;
        doors.extend(bound.into_iter().map(|bound| (kind, bound)));
    }
    if let Some(path) = config.listener.unix.path() {
        let bound = listener::bind_unix(path, config.listener.unix_mode)?;
        doors.push((Kind::Unix, bound));
    }
    Ok(doors)
}

/// The certificates, if a listener needs some.
fn certificates(
    config: &Config,
    doors: &[(Kind, Bound)],
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Tls>>, TlsError> {
    if !config.listener.has_tls() {
        return Ok(None);
    }
    let bound = doors.iter().filter(|(kind, _)| kind.has_tls());
    let addresses = bound.filter_map(|(_, bound)| bound.address());
    let names = tls::names(host_name(), addresses, &config.tls.names);
    let tls = Tls::start(&config.tls, names, Arc::clone(metrics))?;
    Ok(Some(Arc::new(tls)))
}

/// SIGHUP reads the certificates again, and never ends the process.
fn reload_on_hangup(tls: Option<Arc<Tls>>, shutdown: &Shutdown) -> Result<(), StartError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Signal)?;
    if let Some(tls) = &tls {
        shutdown.spawn(Arc::clone(tls).watch(shutdown.clone()));
    }
    let stopping = shutdown.clone();
    shutdown.spawn(async move {
        loop {
            tokio::select! {
                signal = hangup.recv() => if signal.is_none() { return },
                () = stopping.stopped() => return,
            }
            match &tls {
                Some(tls) => tls.reload(),
                None => info!("SIGHUP: no listener has TLS, so there is nothing to reload"),
            }
        }
    });
    Ok(())
}

fn serve_http(http: Bound, rooms: &Arc<Rooms>, shutdown: &Shutdown) -> Result<(), BindError> {
    if let Listening::Internet(listener) = http.listen("http", HTTP_BACKLOG)? {
        shutdown.spawn(api::run(listener, Arc::clone(rooms), shutdown.clone()));
    }
    Ok(())
}

/// Until it takes clients a node refuses them, so that a load balancer tries the next one; as soon as
/// `_token` is dropped it does so again.
async fn accept_when_ready(bound: Bound, listener: Listener, _token: TaskTrackerToken) {
    let shutdown = listener.shutdown.clone();
    tokio::select! {
        () = listener.rooms.cluster.membership.joined() => {}
        () = shutdown.draining() => return,
        () = shutdown.stopped() => return,
    }
    if let Err(error) = listener.run(bound).await {
        shutdown.fail(Failure::Broken(chain(&error)));
    }
}
