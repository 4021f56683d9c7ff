//! Packets on one connection.

use std::{io, net::SocketAddr, time::Duration};

use bytes::BytesMut;
use mqtt::{Decoder, MAXIMUM_PACKET_SIZE_BYTES, Packet, ProtocolVersion, Side};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long the last bytes of a connection may take.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Why nothing more comes.
#[derive(Debug)]
pub enum Ended {
    /// FIN or RST.
    Closed,
    /// The server has sent what is no packet.
    Nonsense(String),
}

/// A connection. It reads and writes only while somebody waits in [`Self::next`].
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    incoming: BytesMut,
    outgoing: BytesMut,
    version: ProtocolVersion,
}

impl Wire {
    /// Connects.
    pub async fn open(address: SocketAddr, version: ProtocolVersion) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut decoder = Decoder::new(Side::Client, MAXIMUM_PACKET_SIZE_BYTES);
        decoder.set_version(version);
        Ok(Self {
            stream,
            decoder,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            version,
        })
    }

    /// Appends a packet to what is to be written.
    pub fn queue(&mut self, packet: &Packet) {
        mqtt::encode(packet, self.version, &mut self.outgoing).expect("a packet of our own");
    }

    /// The next packet, whenever it comes; writes meanwhile. Cancel safe.
    pub async fn next(&mut self) -> Result<Packet, Ended> {
        loop {
            match self.decoder.decode(&mut self.incoming) {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => self.turn().await?,
                Err(error) => return Err(Ended::Nonsense(error.to_string())),
            }
        }
    }

    /// Reads or writes once.
    async fn turn(&mut self) -> Result<(), Ended> {
        let (mut reader, mut writer) = self.stream.split();
        let read = tokio::select! {
            biased;
            read = reader.read_buf(&mut self.incoming) => read,
            written = writer.write_buf(&mut self.outgoing), if !self.outgoing.is_empty() => {
                if written.is_err() {
                    // What the server has sent may still be read.
                    self.outgoing.clear();
                }
                return Ok(());
            }
        };
        match read {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Ended::Closed),
        }
    }

    /// Writes what is queued, then FIN; gives up soon.
    pub async fn finish(mut self) {
        let end = async {
            self.stream.write_all(&self.outgoing).await?;
            self.stream.shutdown().await
        };
        let _ = timeout(LAST_BYTES, end).await;
    }
}
