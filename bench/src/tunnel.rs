//! TLS around a connection of the load, in two threads of its own.
//!
//! The load reads and writes plain bytes at one end; the other end is a TLS session with the
//! broker. So publisher and subscriber are the same with and without TLS, and what the TLS of
//! the clients costs is counted as the generator's.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

const CHUNK_BYTES: usize = 64 * 1024;

/// What clients of TLS trust.
#[derive(Debug, Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The issuers in the PEM file `ca`, and nobody else.
    pub(crate) fn read(ca: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// What makes a session.
    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }

    /// The plain end of a new TLS connection to `address`.
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
        patience: Duration,
    ) -> anyhow::Result<TcpStream> {
        let mut far = TcpStream::connect_timeout(&address, patience)?;
        far.set_nodelay(true)?;
        far.set_read_timeout(Some(patience))?;
        let name = ServerName::from(address.ip());
        let mut session = ClientConnection::new(Arc::clone(&self.0), name)?;
        while session.is_handshaking() {
            session.complete_io(&mut far).context("TLS handshake")?;
        }
        far.set_read_timeout(None)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (end, _) = listener.accept()?;
        for stream in [&near, &end] {
            stream.set_nodelay(true)?;
        }
        let tunnel = Arc::new(Tunnel {
            session: Mutex::new(session),
            far,
            end,
        });
        let other = Arc::clone(&tunnel);
        // Either end closes: both threads end, and the load reports what it sees of that.
        thread::spawn(move || other.close(other.outward()));
        thread::spawn(move || tunnel.close(tunnel.inward()));
        Ok(near)
    }
}

struct Tunnel {
    session: Mutex<ClientConnection>,
    far: TcpStream,
    end: TcpStream,
}

impl Tunnel {
    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the load to the broker. The order of records is that of the lock, so they are written
    /// under it.
    fn outward(&self) -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = (&self.end).read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            let mut session = self.lock();
            let mut plain = chunk.get(..count).unwrap_or_default();
            while !plain.is_empty() {
                let taken = session.writer().write(plain)?;
                plain = plain.get(taken..).unwrap_or_default();
                self.send(&mut session)?;
            }
        }
    }

    /// From the broker to the load.
    fn inward(&self) -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut plain = Vec::new();
        loop {
            let count = (&self.far).read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            let mut sealed = chunk.get(..count).unwrap_or_default();
            while !sealed.is_empty() {
                let mut session = self.lock();
                session.read_tls(&mut sealed)?;
                session
                    .process_new_packets()
                    .map_err(std::io::Error::other)?;
                match session.reader().read_to_end(&mut plain) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                self.send(&mut session)?;
            }
            (&self.end).write_all(&plain)?;
            plain.clear();
        }
    }

    fn send(&self, session: &mut ClientConnection) -> std::io::Result<()> {
        while session.wants_write() {
            session.write_tls(&mut &self.far)?;
        }
        Ok(())
    }

    fn close(&self, result: std::io::Result<()>) {
        drop(result);
        for stream in [&self.far, &self.end] {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
