//! Sockets that are ours, where nobody is let in yet.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tracing::info;

use crate::config::{Kind, Mode, files};

/// An address cannot be listened at. Nothing is bound then.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen at {place}: {hint}")]
pub struct BindError {
    key: &'static str,
    place: Place,
    hint: &'static str,
    #[source]
    source: io::Error,
}

/// Where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// An IP address and a port.
    Internet(SocketAddr),
    /// A file.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A socket that is ours, where nobody is let in yet.
pub(crate) struct Bound {
    key: &'static str,
    place: Place,
    socket: Socket,
}

/// A socket where clients come in.
pub(crate) enum Listening {
    /// By TCP.
    Internet(TcpListener),
    /// By a file, which is removed with this value.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; removed with this value.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever starts next finds it and replaces it.
        let _ = files::remove(&self.0);
    }
}

/// Binds `address`. An IPv6 address takes IPv4, too, unless `only_v6`.
///
/// # Errors
///
/// [`BindError`] naming the setting `key`.
pub(crate) fn bind(
    key: &'static str,
    address: SocketAddr,
    only_v6: bool,
) -> Result<Bound, BindError> {
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let place = Place::Internet(address);
    match bind() {
        Ok(socket) => Ok(Bound { key, place, socket }),
        Err(source) => Err(BindError::new(key, place, source)),
    }
}

/// Binds all addresses of one listener.
///
/// # Errors
///
/// [`BindError`] for the first that cannot be bound.
pub(crate) fn bind_all(kind: Kind, addresses: &[SocketAddr]) -> Result<Vec<Bound>, BindError> {
    let has_v4 = |port: u16| {
        addresses
            .iter()
            .any(|address| address.is_ipv4() && address.port() == port)
    };
    addresses
        .iter()
        .map(|address| bind(kind.key(), *address, has_v4(address.port())))
        .collect()
}

/// Binds a Unix socket with the permissions `mode`, in place of one that nobody listens at.
///
/// # Errors
///
/// [`BindError`] if somebody listens there, or there is something else.
pub(crate) fn bind_unix(path: &Path, mode: Mode) -> Result<Bound, BindError> {
    let bind = || -> io::Result<Socket> {
        let address = SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        if files::is_socket(path) {
            if socket.connect(&address).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            files::remove(path)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        // Nobody can connect before `listen`, so nobody comes before these permissions hold.
        files::set_mode(path, mode.bits())?;
        Ok(socket)
    };
    let (key, place) = (Kind::Unix.key(), Place::Unix(path.to_owned()));
    match bind() {
        Ok(socket) => Ok(Bound { key, place, socket }),
        Err(source) => Err(BindError::new(key, place, source)),
    }
}

impl Bound {
    /// The address really bound; none for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Lets clients in, and says where; `backlog` of them may wait.
    ///
    /// # Errors
    ///
    /// [`BindError`] if somebody else was quicker.
    pub(crate) fn listen(self, name: &'static str, backlog: u32) -> Result<Listening, BindError> {
        let address = self.address();
        let Self { key, place, socket } = self;
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let listen = || -> io::Result<Listening> {
            socket.listen(backlog)?;
            Ok(match &place {
                Place::Internet(_) => Listening::Internet(TcpListener::from_std(socket.into())?),
                Place::Unix(path) => Listening::Unix(
                    UnixListener::from_std(socket.into())?,
                    SocketFile(path.clone()),
                ),
            })
        };
        match listen() {
            Ok(listening) => {
                let address = address.map_or(place, Place::Internet);
                info!(listener = name, %address, "listening");
                Ok(listening)
            }
            Err(source) => Err(BindError::new(key, place, source)),
        }
    }
}

impl BindError {
    fn new(key: &'static str, place: Place, source: io::Error) -> Self {
        let is_file = matches!(place, Place::Unix(_));
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse if is_file => {
                "another program listens there, or there is a file that is no socket"
            }
            io::ErrorKind::NotFound if is_file => "there is no such folder",
            io::ErrorKind::PermissionDenied if is_file => "this user may not write there",
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
            place,
            hint,
            source,
        }
    }
}
