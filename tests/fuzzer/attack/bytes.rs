//! Bytes that are not what they should be, or come as they should not.

use std::{io, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use mqtt::{PacketType, ProtocolVersion, Qos, Side};
use tokio::{io::AsyncWriteExt, time::sleep};

use super::Attacker;
use crate::raw;

/// The packets that the search of `fuzz/` starts from.
const SEEDS: &str = include_str!("../../../fuzz/seeds/decoder.txt");

/// All packets that clients of this version may send, but CONNECT.
fn legal(version: ProtocolVersion) -> Vec<Vec<u8>> {
    checks::seeds::parse(SEEDS)
        .expect("hexadecimal")
        .into_iter()
        .filter(|input| {
            checks::decoder::first_packet(input).is_some_and(|(side, of, packet_type)| {
                side == Side::Server && of == version && packet_type != PacketType::Connect
            })
        })
        .map(|input| input[2..].to_vec())
        .collect()
}

impl Attacker {
    /// A CONNECT that is welcome.
    fn hello(&mut self, version: ProtocolVersion) -> Bytes {
        let client_id = self.new_client_id();
        raw::connect_packet(raw::connect(version, &client_id, 0))
    }

    /// Bytes without any form, before or after CONNECT.
    pub(super) async fn noise(&mut self) -> io::Result<()> {
        for _ in 0..20 {
            let mut stream = raw::open(self.node()).await?;
            if self.random.bool() {
                let version = self.version();
                stream.write_all(&self.hello(version)).await?;
            }
            let length = self.random.below(2000);
            let mut noise = self.random.bytes(length);
            if self.random.bool() && !noise.is_empty() {
                noise[0] = 0x10; // so that it looks like CONNECT
            }
            let _ = stream.write_all(&noise).await;
            raw::drain(&mut stream, Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Legal packets with a few bytes changed, CONNECT among them.
    pub(super) async fn damaged(&mut self) -> io::Result<()> {
        for _ in 0..30 {
            let version = self.version();
            let packets = legal(version);
            let mut stream = raw::open(self.node()).await?;
            let mut hello = self.hello(version).to_vec();
            if self.random.below(4) == 0 {
                self.random.damage(&mut hello);
            }
            stream.write_all(&hello).await?;
            for _ in 0..self.random.below(6) {
                let mut packet = self.random.pick(&packets).clone();
                self.random.damage(&mut packet);
                let _ = stream.write_all(&packet).await;
            }
            raw::drain(&mut stream, Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Legal packets in an order that nobody would think of.
    pub(super) async fn sequence(&mut self) -> io::Result<()> {
        for _ in 0..20 {
            let version = self.version();
            let packets = legal(version);
            let mut all = BytesMut::from(&self.hello(version)[..]);
            for _ in 0..self.random.below(40) {
                let packet: &Vec<u8> = self.random.pick(&packets);
                all.extend_from_slice(packet);
            }
            let mut stream = raw::open(self.node()).await?;
            let mut rest = &all[..];
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((1 + self.random.below(200)).min(rest.len()));
                stream.write_all(piece).await?;
                rest = tail;
            }
            raw::drain(&mut stream, Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A byte at a time.
    pub(super) async fn slow_writer(&mut self) -> io::Result<()> {
        let version = self.version();
        let mut stream = raw::open(self.node()).await?;
        let mut all = BytesMut::from(&self.hello(version)[..]);
        all.extend_from_slice(&raw::subscribe(version, &["slow/#"], Qos::AtLeastOnce));
        for number in 1..20 {
            let publish = raw::publish("slow/x", "a byte at a time", Qos::AtLeastOnce, number);
            all.extend_from_slice(&raw::publish_packet(version, publish));
        }
        let pause = Duration::from_millis(self.random.below(5) as u64);
        for byte in all {
            stream.write_all(&[byte]).await?;
            sleep(pause).await;
        }
        Ok(())
    }

    /// Says that it writes no more and goes on reading; or goes without a word (RST).
    pub(super) async fn half_closed(&mut self) -> io::Result<()> {
        for _ in 0..20 {
            let version = self.version();
            let mut stream = raw::open(self.node()).await?;
            let hello = self.hello(version);
            let length = 1 + self.random.below(hello.len());
            stream.write_all(&hello[..length]).await?;
            if length == hello.len() {
                let subscribe = raw::subscribe(version, &["#"], Qos::AtMostOnce);
                stream.write_all(&subscribe).await?;
            }
            if self.random.bool() {
                stream.set_zero_linger()?;
            } else {
                stream.shutdown().await?;
                raw::drain(&mut stream, Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Goes on after DISCONNECT.
    pub(super) async fn after_disconnect(&mut self) -> io::Result<()> {
        for _ in 0..20 {
            let version = self.version();
            let mut all = BytesMut::from(&self.hello(version)[..]);
            all.put_slice(&[0xE0, 0]);
            let subscribe = raw::subscribe(version, &["#"], Qos::ExactlyOnce);
            let publish = raw::publish("after/disconnect", "x", Qos::AtLeastOnce, 9);
            let publish = raw::publish_packet(version, publish);
            for _ in 0..50 {
                all.extend_from_slice(&subscribe);
                all.extend_from_slice(&publish);
            }
            let mut stream = raw::open(self.node()).await?;
            let _ = stream.write_all(&all).await;
            raw::drain(&mut stream, Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Announces a large packet, sends a part of it and waits.
    pub(super) async fn unfinished(&mut self) -> io::Result<()> {
        let ground = std::sync::Arc::clone(&self.ground);
        let _permit = ground.heavy.acquire().await;
        let version = self.version();
        let address = self.node();
        let mut stream = raw::welcome(address, &self.hello(version)).await?;
        let whole = self.ground.maximum_packet_size;
        let publish = raw::publish("unfinished", vec![b'x'; whole - 100], Qos::AtMostOnce, 1);
        let bytes = raw::publish_packet(version, publish);
        stream
            .write_all(&bytes[..self.random.below(whole - 200)])
            .await?;
        sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    /// Packets of 20 MB, to somebody who reads them; and ones that are too large.
    pub(super) async fn large(&mut self) -> io::Result<()> {
        let ground = std::sync::Arc::clone(&self.ground);
        let _permit = ground.heavy.acquire().await;
        let version = self.version();
        let (here, there) = (self.node(), self.node());
        let mut reader = raw::welcome(there, &self.hello(version)).await?;
        let topic = format!("large/{}", self.new_client_id());
        let subscribe = raw::subscribe(version, &[&topic], Qos::AtMostOnce);
        reader.write_all(&subscribe).await?;
        let mut writer = raw::welcome(here, &self.hello(version)).await?;
        let read = async {
            raw::drain(&mut reader, Duration::from_secs(2)).await;
            Ok(())
        };
        let too_large = self.random.below(3) == 0;
        let size = ground.maximum_packet_size - if too_large { 0 } else { 200 };
        let payload = vec![b'x'; size];
        let qos = *self.random.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce]);
        let write = async {
            for number in 1..3 {
                let publish = raw::publish(&topic, payload.clone(), qos, number);
                writer
                    .write_all(&raw::publish_packet(version, publish))
                    .await?;
            }
            raw::drain(&mut writer, Duration::from_millis(500)).await;
            Ok(())
        };
        tokio::try_join!(read, write).map(|_: ((), ())| ())
    }

    /// CONNECT with everything as large as it can be.
    pub(super) async fn large_connect(&mut self) -> io::Result<()> {
        for _ in 0..3 {
            let version = self.version();
            let mut connect = raw::connect(version, "large", 0);
            let text = mqtt::Str::new("x".repeat(65_000)).expect("a string");
            if self.random.bool() {
                connect.client_id = text.clone();
            }
            connect.username = Some(text.clone());
            connect.password = Some(Bytes::from(vec![0xFF; 65_000]));
            if version == ProtocolVersion::V5 {
                let count = self.random.below(200);
                connect.properties.user_properties = vec![(text.clone(), text); count];
            }
            let mut stream = raw::open(self.node()).await?;
            let _ = stream.write_all(&raw::connect_packet(connect)).await;
            raw::drain(&mut stream, Duration::from_millis(100)).await;
        }
        Ok(())
    }
}
