//! Where clients come in.
//!
//! Owns the listening sockets. It accepts, limits how many there are, and gives each connection a
//! task; it reads nothing.

mod bind;
mod pace;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::warn;

pub use self::bind::BindError;
pub(crate) use self::{
    bind::{Bound, Listening, bind, bind_all, bind_unix},
    pace::Pace,
};

use crate::{
    config::Kind,
    connection,
    handle::{Peer, Rooms},
    shutdown::Shutdown,
    telemetry::{Seat, chain},
    tls::Tls,
};

/// One listener: how clients come in, and what that needs.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) kind: Kind,
    pub(crate) rooms: Arc<Rooms>,
    /// For the kinds that have TLS.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) shutdown: Shutdown,
    /// One for all listeners.
    pub(crate) pace: Arc<Pace>,
}

impl Listener {
    /// Lets clients in at `bound`, says where, and serves them until the node drains.
    ///
    /// # Errors
    ///
    /// [`BindError`] if somebody else listens there by now.
    pub(crate) async fn run(self, bound: Bound) -> Result<(), BindError> {
        let backlog = self.rooms.config.listener.backlog;
        let listening = bound.listen(self.kind.label(), backlog)?;
        match listening {
            Listening::Internet(listener) => self.accept_tcp(listener).await,
            Listening::Unix(listener, _file) => self.accept_unix(listener).await,
        }
        Ok(())
    }

    async fn accept_tcp(&self, listener: TcpListener) {
        if let Err(error) = prepare(&listener) {
            warn!(error = %chain(&error), "socket options not set");
        }
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.draining() => return,
            };
            match accepted {
                Ok((stream, address)) => self.serve_tcp(stream, address),
                Err(error) => pause(&error).await,
            }
            if !self.goes_on().await {
                return;
            }
        }
    }

    async fn accept_unix(&self, listener: UnixListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.draining() => return,
            };
            match accepted {
                Ok((stream, _)) => self.serve_unix(stream),
                Err(error) => pause(&error).await,
            }
            if !self.goes_on().await {
                return;
            }
        }
    }

    /// Waits until the next connection may be accepted; false if the node drains before.
    async fn goes_on(&self) -> bool {
        tokio::select! {
            () = self.pace.wait() => true,
            () = self.shutdown.draining() => false,
        }
    }

    fn serve_unix(&self, stream: UnixStream) {
        if let Some(seat) = self.seat() {
            let rooms = Arc::clone(&self.rooms);
            self.shutdown
                .spawn(connection::serve_unix(stream, seat, rooms));
        }
    }

    fn serve_tcp(&self, stream: TcpStream, address: SocketAddr) {
        let Some(seat) = self.seat() else { return };
        let peer = Peer::new(self.kind, Some(address));
        let rooms = Arc::clone(&self.rooms);
        if self.kind == Kind::Tcp {
            self.shutdown
                .spawn(connection::serve_tcp(stream, seat, peer, rooms));
            return;
        }
        let tls = self.tls.as_ref().filter(|_| self.kind.has_tls());
        let acceptor = tls.map(|tls| tls.acceptor(self.kind));
        self.shutdown.spawn(connection::serve_layered(
            stream, seat, acceptor, peer, rooms,
        ));
    }

    /// A place for one more connection, if there is one.
    fn seat(&self) -> Option<Seat> {
        let metrics = &self.rooms.metrics;
        metrics.connections_total.of(self.kind).inc();
        let most = i64::from(self.rooms.config.listener.max_connections);
        let seat = Seat::take(metrics, self.kind, most);
        if seat.is_none() {
            metrics.reject_packet("max_connections");
        }
        seat
    }
}

/// Out of files, mostly: clients wait in the backlog meanwhile.
async fn pause(error: &io::Error) {
    warn!(error = %chain(error), "cannot accept");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Sets what the sockets of all clients inherit from the one that listens.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    let listener = SockRef::from(listener);
    listener.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    listener.set_tcp_keepalive(&keepalive)
}
