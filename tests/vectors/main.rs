//! Bytes in, bytes out: conversations written down to the last bit, on a node of their own.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod article;
mod mqtt_3;
mod mqtt_5;

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// One end of a conversation in bytes. Spaces in the hexadecimal text mean nothing.
struct Wire {
    stream: TcpStream,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| u8::try_from(letter.to_digit(16).expect("hexadecimal")).unwrap())
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {hex}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

impl Wire {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    async fn send(&mut self, hex: &str) {
        self.stream.write_all(&bytes(hex)).await.unwrap();
    }

    /// Exactly these bytes come.
    async fn expect(&mut self, hex: &str) {
        let expected = bytes(hex);
        let mut actual = vec![0; expected.len()];
        let mut length = 0;
        while length < actual.len() {
            let read = timeout(harness::LIMIT, self.stream.read(&mut actual[length..])).await;
            match read.unwrap_or_else(|_| panic!("only {:02x?} came, not {hex}", &actual[..length]))
            {
                Ok(0) | Err(_) => panic!("closed after {:02x?}, not {hex}", &actual[..length]),
                Ok(count) => length += count,
            }
        }
        assert_eq!(actual, expected, "{actual:02x?} instead of {expected:02x?}");
    }

    /// One whole packet, whatever it is.
    async fn packet(&mut self) -> Vec<u8> {
        let mut packet = Vec::new();
        let read = async {
            packet.push(self.stream.read_u8().await.unwrap());
            let (mut length, mut shift) = (0_usize, 0);
            loop {
                let byte = self.stream.read_u8().await.unwrap();
                packet.push(byte);
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut rest = vec![0; length];
            self.stream.read_exact(&mut rest).await.unwrap();
            packet.extend(rest);
        };
        timeout(harness::LIMIT, read).await.expect("no packet came");
        packet
    }

    /// The server closes and sends nothing more.
    async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let read = timeout(harness::LIMIT, self.stream.read_to_end(&mut rest)).await;
        let _ = read.expect("the server does not close"); // a reset is an end, too
        assert!(rest.is_empty(), "{rest:02x?}");
    }
}
