//! Where clients come in.
//!
//! Owns the listening sockets. It accepts, limits how many there are, and gives each connection a
//! task; it reads nothing.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tracing::{info, warn};

use crate::{connection, handle::Rooms, shutdown::Shutdown, telemetry::chain};

/// An address cannot be listened at. Nothing is bound then.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen at {address}: {hint}")]
pub struct BindError {
    key: &'static str,
    address: SocketAddr,
    hint: &'static str,
    #[source]
    source: io::Error,
}

/// A port that is ours, where nobody is let in yet.
pub(crate) struct Bound {
    key: &'static str,
    address: SocketAddr,
    socket: Socket,
}

/// Binds `address`.
///
/// # Errors
///
/// [`BindError`] naming the setting `key`.
pub(crate) fn bind(key: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    match bind() {
        Ok(socket) => Ok(Bound {
            key,
            address,
            socket,
        }),
        Err(source) => Err(BindError::new(key, address, source)),
    }
}

impl Bound {
    /// The address really bound.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Lets clients in, and says where; `backlog` of them may wait.
    ///
    /// # Errors
    ///
    /// [`BindError`] if somebody else was quicker.
    pub(crate) fn listen(self, name: &'static str, backlog: u32) -> Result<TcpListener, BindError> {
        let Self {
            key,
            address,
            socket,
        } = self;
        let listen = move || -> io::Result<TcpListener> {
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            TcpListener::from_std(socket.into())
        };
        let listener = listen().map_err(|source| BindError::new(key, address, source))?;
        if let Ok(address) = listener.local_addr() {
            info!(listener = name, %address, "listening");
        }
        Ok(listener)
    }
}

impl BindError {
    fn new(key: &'static str, address: SocketAddr, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program uses that port; stop it or choose another port"
            }
            io::ErrorKind::AddrNotAvailable => "this host has no such address",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege; choose a higher port"
            }
            _ => "the system refused",
        };
        Self {
            key,
            address,
            hint,
            source,
        }
    }
}

/// Accepts clients until the node drains.
pub(crate) async fn run(listener: TcpListener, rooms: Arc<Rooms>, shutdown: Shutdown) {
    let most = i64::from(rooms.config.listener.max_connections);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.draining() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, mostly: clients wait in the backlog meanwhile.
                warn!(error = %chain(&error), "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        rooms.metrics.connections_total.inc();
        if rooms.metrics.connections.get() >= most {
            rooms.metrics.reject_packet("max_connections");
            continue;
        }
        if let Err(error) = prepare(&stream) {
            warn!(%peer, error = %chain(&error), "socket options not set");
        }
        shutdown.spawn(connection::serve(stream, peer, Arc::clone(&rooms)));
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
