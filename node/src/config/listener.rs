//! The table `listener`.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Addresses;

/// Where and how clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// Addresses for MQTT over TCP, or `off`. Fixed until restart.
    pub tcp: Addresses,
    /// Addresses for MQTT over TLS, or `off`. Fixed until restart.
    pub tls: Addresses,
    /// Addresses for MQTT over WebSocket, or `off`. Fixed until restart.
    pub ws: Addresses,
    /// Addresses for MQTT over WebSocket over TLS, or `off`. Fixed until restart.
    pub wss: Addresses,
    /// Path of a Unix socket for MQTT, at most 107 bytes, or `off`. Fixed until restart.
    pub unix: UnixPath,
    /// Permissions of that socket, octal, 0000 to 0777: who may write to it may connect. Fixed
    /// until restart.
    pub unix_mode: Mode,
    /// Where in HTTP the WebSocket is. Fixed until restart.
    pub ws_path: String,
    /// Origins of pages that may connect by WebSocket, separated by commas, as in
    /// `https://example.com`; empty: all. Clients that are no browsers send none, and may. Fixed
    /// until restart.
    pub ws_origins: String,
    /// Whether a load balancer tells the client's address by the PROXY protocol, v1 or v2, before
    /// anything else on each connection, TLS included; not on the Unix socket. Fixed until restart.
    pub proxy_protocol: ProxyProtocol,
    /// Connections waiting to be accepted on each address, 1 to 65 535; the system may lower it.
    /// Fixed until restart.
    pub backlog: u32,
    /// Most network connections at one time on all listeners together, 1 to 10 000 000; further
    /// ones are closed at once.
    pub max_connections: u32,
    /// Connections accepted per second on average, on all listeners together, as many at once after
    /// a pause; 0 (no limit) to 1 000 000. Further ones wait in the backlog.
    pub accept_rate: u32,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            tcp: SocketAddr::from(([127, 0, 0, 1], 1883)).into(),
            tls: Addresses::default(),
            ws: SocketAddr::from(([127, 0, 0, 1], 8083)).into(),
            wss: Addresses::default(),
            unix: UnixPath::default(),
            unix_mode: Mode(0o660),
            ws_path: "/mqtt".to_owned(),
            ws_origins: String::new(),
            proxy_protocol: ProxyProtocol::Off,
            backlog: 4096,
            max_connections: 1_000_000,
            accept_rate: 50_000,
        }
    }
}

impl Listener {
    /// The addresses of each listener that has some.
    pub(crate) fn addresses(&self) -> [(Kind, &Addresses); 4] {
        [
            (Kind::Tcp, &self.tcp),
            (Kind::Tls, &self.tls),
            (Kind::Ws, &self.ws),
            (Kind::Wss, &self.wss),
        ]
    }

    /// Whether a certificate is needed.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls.is_off() || !self.wss.is_off()
    }
}

/// How clients come in; each is one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// Unix socket.
    Unix,
}

impl Kind {
    /// All of them, in the order of their values.
    pub(crate) const ALL: [Self; 5] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss, Self::Unix];

    /// Its name in logs and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
        }
    }

    /// Its setting.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Tcp => "listener.tcp",
            Self::Tls => "listener.tls",
            Self::Ws => "listener.ws",
            Self::Wss => "listener.wss",
            Self::Unix => "listener.unix",
        }
    }

    /// Whether it starts with a TLS handshake.
    pub(crate) const fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether MQTT is inside of a WebSocket.
    pub(crate) const fn has_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Whether a connection starts with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// It never does.
    Off,
    /// It always does; a connection without one is closed.
    On,
    /// It may.
    Auto,
}

/// The path of a Unix socket, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnixPath(Option<PathBuf>);

impl UnixPath {
    /// Longest path that the system takes, in bytes.
    const MOST_BYTES: usize = 107;

    /// The path, unless off.
    #[must_use]
    pub fn path(&self) -> Option<&PathBuf> {
        self.0.as_ref()
    }
}

impl TryFrom<String> for UnixPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "off" => Ok(Self(None)),
            "" => Err("is empty: give a path, or \"off\"".to_owned()),
            _ if text.len() > Self::MOST_BYTES => Err(format!(
                "\"{text}\" has {} bytes, and the path of a Unix socket at most {}",
                text.len(),
                Self::MOST_BYTES
            )),
            _ => Ok(Self(Some(text.into()))),
        }
    }
}

impl From<UnixPath> for String {
    fn from(path: UnixPath) -> Self {
        path.0.map_or_else(
            || "off".to_owned(),
            |path| path.to_string_lossy().into_owned(),
        )
    }
}

/// Permissions, octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

impl Mode {
    /// As the system takes them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match u32::from_str_radix(&text, 8) {
            Ok(bits) if bits <= 0o777 => Ok(Self(bits)),
            Ok(_) | Err(_) => Err(format!(
                "\"{text}\" are no permissions: expected four octal digits, 0000 to 0777"
            )),
        }
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:04o}", mode.0)
    }
}
