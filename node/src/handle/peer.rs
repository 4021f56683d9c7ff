//! Who is at the other end of a connection, as far as the transport knows.

use std::{fmt, net::SocketAddr};

use mqtt::Str;

use crate::config::Kind;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// How it came in.
    pub(crate) listener: Kind,
    /// Its address, also behind a load balancer that tells it; IPv4 is never dressed as IPv6. None
    /// over a Unix socket.
    pub(crate) address: Option<SocketAddr>,
    /// The common name of the certificate that it has shown and that holds.
    pub(crate) common_name: Option<Str>,
}

impl Peer {
    /// A peer that has shown no certificate.
    pub(crate) fn new(listener: Kind, address: Option<SocketAddr>) -> Self {
        Self {
            listener,
            address: address
                .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port())),
            common_name: None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unix socket"),
        }
    }
}
