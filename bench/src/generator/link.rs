//! One connection of an [`Engine`](super::engine::Engine): its socket, TLS if any, and what is not read or
//! written yet.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
};

use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, pki_types::ServerName};
use socket2::{Domain, Socket, Type};

use crate::packet::{self, Packet};

/// Bytes read at once.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// How clients speak TLS.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// What the certificate must name, if not the address.
    pub(crate) name: Option<ServerName<'static>>,
}

/// What to do with a packet and the time it was read.
type Each<'a> = &'a mut dyn FnMut(Packet<'_>, u64);

/// A connection; the default is a closed one.
#[derive(Debug, Default)]
pub(super) struct Link {
    stream: Option<TcpStream>,
    is_open: bool,
    /// The last write did not take everything.
    blocked: bool,
    out: Vec<u8>,
    written: usize,
    /// The beginning of a packet.
    rest: Vec<u8>,
    tls: Option<Box<ClientConnection>>,
}

impl Link {
    /// Begins to connect.
    pub(super) fn connect(
        to: SocketAddr,
        from: Option<IpAddr>,
        tls: Option<&Tls>,
    ) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            // The port is chosen when it is known where to: what is left of an earlier broker's connections
            // does not stand in the way.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => {
                return Err(error.into());
            }
            _ => {}
        }
        let session = |tls: &Tls| -> anyhow::Result<_> {
            let name = tls.name.clone();
            let name = name.unwrap_or_else(|| ServerName::from(to.ip()));
            let mut session = ClientConnection::new(Arc::clone(&tls.config), name)?;
            session.set_buffer_limit(None);
            Ok(Box::new(session))
        };
        Ok(Self {
            stream: Some(socket.into()),
            tls: tls.map(session).transpose()?,
            ..Self::default()
        })
    }

    pub(super) fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(super) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn put_out(&mut self, out: Vec<u8>) {
        self.out = out;
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.out.len() - self.written
    }

    /// Whether it stands now, after an event.
    ///
    /// # Errors
    ///
    /// Why it never will.
    pub(super) fn finish_connecting(&mut self) -> Result<bool, String> {
        let Some(stream) = &self.stream else {
            return Ok(false);
        };
        if let Some(error) = stream.take_error().map_err(|error| error.to_string())? {
            return Err(error.to_string());
        }
        self.is_open = stream.peer_addr().is_ok();
        Ok(self.is_open)
    }

    /// Writes as much as the socket takes. False: something is left.
    pub(super) fn write(&mut self) -> Result<bool, String> {
        let Some(stream) = &mut self.stream else {
            return Ok(true);
        };
        if let Some(tls) = &mut self.tls {
            tls.writer()
                .write_all(&self.out)
                .map_err(|error| error.to_string())?;
            self.out.clear();
            while tls.wants_write() {
                match tls.write_tls(stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error.to_string()),
                }
            }
            return Ok(true);
        }
        while let Some(left) = self.out.get(self.written..).filter(|left| !left.is_empty()) {
            match stream.write(left) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    /// Reads once and calls `each` with every packet that is whole, and the time. Returns whether
    /// TLS has something to write.
    ///
    /// # Errors
    ///
    /// If the stream has ended, is broken or is not MQTT.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        each: Each<'_>,
        clock: &dyn Fn() -> u64,
    ) -> Result<bool, String> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let begun = self.rest.len();
        if buffer.len() < begun + CHUNK_BYTES {
            buffer.resize(begun + CHUNK_BYTES, 0);
        }
        let (head, room) = buffer.split_at_mut(begun);
        head.copy_from_slice(&self.rest);
        let count = match stream.read(room) {
            Ok(0) => return Err("closed by the broker".to_owned()),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error.to_string()),
        };
        let now = clock();
        if let Some(tls) = &mut self.tls {
            let sealed = room.get(..count).unwrap_or_default();
            open(tls, sealed, &mut self.rest)?;
            let mut input = self.rest.as_slice();
            take_all(&mut input, now, each)?;
            let left = input.len();
            self.rest.drain(..self.rest.len() - left);
            return Ok(tls.wants_write());
        }
        let mut input = buffer.get(..begun + count).unwrap_or_default();
        take_all(&mut input, now, each)?;
        self.rest.clear();
        self.rest.extend_from_slice(input);
        Ok(false)
    }
}

fn take_all(input: &mut &[u8], now: u64, each: Each<'_>) -> Result<(), String> {
    while let Some(packet) = packet::take(input).map_err(|error| error.to_string())? {
        each(packet, now);
    }
    Ok(())
}

/// Appends to `plain` what `sealed` holds.
fn open(tls: &mut ClientConnection, mut sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
    while !sealed.is_empty() {
        tls.read_tls(&mut sealed)
            .map_err(|error| error.to_string())?;
        tls.process_new_packets()
            .map_err(|error| format!("TLS: {error}"))?;
        match tls.reader().read_to_end(plain) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
