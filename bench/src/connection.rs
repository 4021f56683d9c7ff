//! One blocking connection of the load, and reading packets off it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    packet::{self, Packet},
    tunnel::Trust,
};

/// Bytes read at once at most; also the largest packet.
const BUFFER_BYTES: usize = 256 * 1024;
/// How long opening may take, packet by packet.
const PATIENCE: Duration = Duration::from_secs(15);

/// Packets off a stream.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Reader {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
        }
    }

    /// Waits for bytes and calls `each` with every packet that is complete now. Returns false
    /// when the stream has ended.
    ///
    /// # Errors
    ///
    /// If the stream breaks, is not MQTT, or `each` fails.
    pub(crate) fn read(
        &mut self,
        each: &mut dyn FnMut(Packet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let count = self.stream.read(room)?;
        if count == 0 {
            return Ok(false);
        }
        self.filled += count;
        let mut input = self.buffer.get(..self.filled).unwrap_or_default();
        while let Some(packet) = packet::take(&mut input)? {
            each(packet)?;
        }
        let rest = input.len();
        anyhow::ensure!(
            rest < BUFFER_BYTES,
            "a packet of more than {BUFFER_BYTES} bytes"
        );
        self.buffer.copy_within(self.filled - rest..self.filled, 0);
        self.filled = rest;
        Ok(true)
    }

    fn expect(&mut self, kind: u8) -> anyhow::Result<()> {
        let mut answer = None;
        while answer.is_none() {
            let open = self.read(&mut |packet| {
                answer = Some(packet.kind() == kind && packet.is_success());
                Ok(())
            })?;
            anyhow::ensure!(open, "the broker closed");
        }
        anyhow::ensure!(answer == Some(true), "refused");
        Ok(())
    }
}

/// A client that is connected.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What to write to.
    pub(crate) stream: TcpStream,
    /// What to read from.
    pub(crate) reader: Reader,
}

impl Connection {
    /// Connects, by TLS if there is somebody to trust, and waits for CONNACK.
    pub(crate) fn open(
        address: SocketAddr,
        trust: Option<&Trust>,
        client_id: &str,
        clean_session: bool,
    ) -> anyhow::Result<Self> {
        let stream = match trust {
            Some(trust) => trust.connect(address, PATIENCE)?,
            None => TcpStream::connect_timeout(&address, PATIENCE)?,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self {
            reader: Reader::new(stream.try_clone()?),
            stream,
        };
        connection.ask(&packet::connect(client_id, clean_session), packet::CONNACK)?;
        Ok(connection)
    }

    /// Subscribes and waits for SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> anyhow::Result<()> {
        self.ask(&packet::subscribe(filter, qos), packet::SUBACK)
    }

    /// From now on a read waits for as long as it takes.
    pub(crate) fn patient(self) -> anyhow::Result<Self> {
        self.stream.set_read_timeout(None)?;
        Ok(self)
    }

    fn ask(&mut self, request: &[u8], answer: u8) -> anyhow::Result<()> {
        self.stream.write_all(request)?;
        self.reader
            .expect(answer)
            .with_context(|| format!("waiting for packet type {answer}"))
    }
}
