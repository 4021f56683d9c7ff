//! One client of many: a connection without a thread of its own.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::packet::{self, Packet};

/// Runs `work`, and what it starts, on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// A connection, and what of it was read and not handled, or is to be written.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    /// Written by the next [`Client::turn`], before it reads.
    pub(crate) out: Vec<u8>,
}

impl Client {
    /// Connects and waits for CONNACK.
    ///
    /// # Errors
    ///
    /// If nobody listens, or the broker closes or refuses.
    pub(crate) async fn open(address: SocketAddr, connect: &[u8]) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            input: Vec::new(),
            out: Vec::new(),
        };
        client.ask(connect, packet::CONNACK).await?;
        Ok(client)
    }

    /// Writes `request` and waits for the first packet of the type `kind`. What came after it is
    /// given to the next [`Client::turn`]; messages that come before it are not acknowledged.
    ///
    /// # Errors
    ///
    /// If the broker closes or refuses.
    pub(crate) async fn ask(&mut self, request: &[u8], kind: u8) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((length, success)) = find(&self.input, kind)? {
                self.input.drain(..length);
                anyhow::ensure!(success, "refused");
                return Ok(());
            }
            anyhow::ensure!(self.fill().await?, "closed");
        }
    }

    /// Writes what is in `out`, handles what was read already, or else waits for bytes and calls
    /// `each` with every packet that is complete. Returns false when the stream has ended.
    ///
    /// Cancel safe if `out` is empty; otherwise that may be written in part, and again.
    ///
    /// # Errors
    ///
    /// If the stream breaks or is not MQTT.
    pub(crate) async fn turn(
        &mut self,
        mut each: impl FnMut(Packet<'_>, &mut Vec<u8>),
    ) -> anyhow::Result<bool> {
        self.flush().await?;
        if self.handle(&mut each)? > 0 {
            return Ok(true);
        }
        let open = self.fill().await?;
        self.handle(&mut each)?;
        Ok(open)
    }

    /// Writes what is in `out`.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Writes what is in `out` and says goodbye.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.out.extend_from_slice(&packet::DISCONNECT);
        self.stream.write_all(&self.out).await?;
        self.stream.shutdown().await?;
        Ok(())
    }

    fn handle(
        &mut self,
        each: &mut impl FnMut(Packet<'_>, &mut Vec<u8>),
    ) -> Result<usize, packet::Broken> {
        let mut rest = self.input.as_slice();
        while let Some(packet) = packet::take(&mut rest)? {
            each(packet, &mut self.out);
        }
        let handled = self.input.len() - rest.len();
        self.input.drain(..handled);
        Ok(handled)
    }

    async fn fill(&mut self) -> anyhow::Result<bool> {
        self.input.reserve(4096);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }
}

/// The first packet of the type `kind`: where it ends, and whether it says yes.
fn find(mut input: &[u8], kind: u8) -> Result<Option<(usize, bool)>, packet::Broken> {
    let whole = input.len();
    while let Some(packet) = packet::take(&mut input)? {
        if packet.kind() == kind {
            return Ok(Some((whole - input.len(), packet.is_success())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_answer_is_left_to_the_next() {
        let connack = [0x20, 2, 0, 0];
        let puback = [0x40, 2, 0, 1];
        let both = [connack, puback].concat();
        assert_eq!(find(&both, packet::CONNACK).unwrap(), Some((4, true)));
        assert_eq!(find(&both[..3], packet::CONNACK).unwrap(), None);
        let refused = [puback, [0x20, 2, 0, 3], connack].concat();
        assert_eq!(find(&refused, packet::CONNACK).unwrap(), Some((8, false)));
    }
}
