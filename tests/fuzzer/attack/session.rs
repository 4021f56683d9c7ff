//! Connections and sessions that come and go.

use std::{io, time::Duration};

use mqtt::{Message, ProtocolVersion, Qos, TopicName, Will};
use tokio::{io::AsyncWriteExt, time::sleep};

use super::Attacker;
use crate::raw;

const V5: ProtocolVersion = ProtocolVersion::V5;

impl Attacker {
    /// Many connections at once: with nothing, half a CONNECT, a whole one; closed at once or not.
    pub(super) async fn flood(&mut self) -> io::Result<()> {
        let mut open = Vec::new();
        for _ in 0..300 {
            let mut stream = raw::open(self.node()).await?;
            let client_id = self.new_client_id();
            let connect = raw::connect_packet(raw::connect(V5, &client_id, 0));
            match self.random.below(4) {
                0 => {}
                1 => stream.write_all(&connect[..connect.len() / 2]).await?,
                _ => stream.write_all(&connect).await?,
            }
            if self.random.bool() {
                open.push(stream);
            }
        }
        sleep(Duration::from_millis(200)).await;
        if self.random.bool() {
            for stream in open {
                stream.set_zero_linger()?;
            }
        }
        Ok(())
    }

    /// Many connections with one client identifier.
    pub(super) async fn takeover(&mut self) -> io::Result<()> {
        let mut open = Vec::new();
        for _ in 0..60 {
            let mut stream = raw::open(self.node()).await?;
            let version = self.version();
            let expiry = if self.random.bool() { 5 } else { 0 };
            let connect = raw::connect_packet(raw::connect(version, "attacker-0", expiry));
            stream.write_all(&connect).await?;
            let subscribe = raw::subscribe(version, &["taken/#"], Qos::ExactlyOnce);
            stream.write_all(&subscribe).await?;
            let publish = raw::publish("taken/over", "x", Qos::ExactlyOnce, 7);
            stream
                .write_all(&raw::publish_packet(version, publish))
                .await?;
            open.push(stream);
            if self.random.below(8) == 0 {
                open.clear();
            }
        }
        for mut stream in open {
            raw::drain(&mut stream, Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Sessions that are stored, for whom messages wait, and who come back elsewhere or never.
    pub(super) async fn stored(&mut self) -> io::Result<()> {
        for _ in 0..10 {
            let client_id = self.client_id();
            let connect = raw::connect_packet(raw::connect(V5, &client_id, 5));
            let mut stream = raw::welcome(self.node(), &connect).await?;
            let filter = format!("stored/{}", self.random.below(5));
            let subscribe = raw::subscribe(V5, &[&filter], Qos::ExactlyOnce);
            stream.write_all(&subscribe).await?;
            for number in 1..50 {
                let topic = format!("stored/{}", number % 5);
                let publish = raw::publish(&topic, "waits", Qos::AtLeastOnce, number);
                stream.write_all(&raw::publish_packet(V5, publish)).await?;
            }
            if self.random.bool() {
                raw::drain(&mut stream, Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Wills of all kinds, some delayed, of clients that die or are taken over.
    pub(super) async fn wills(&mut self) -> io::Result<()> {
        for _ in 0..30 {
            let version = self.version();
            let client_id = self.client_id();
            let mut connect = raw::connect(version, &client_id, 0);
            if version == V5 && self.random.bool() {
                connect = raw::connect(version, &client_id, 3);
            }
            let delay_interval = if version == V5 {
                self.random.below(3) as u32
            } else {
                0
            };
            let message = Message {
                topic_name: TopicName::new("will/x").expect("a topic name"),
                payload: "gone".into(),
                qos: *self.random.pick(&[Qos::AtMostOnce, Qos::ExactlyOnce]),
                retain: self.random.below(4) == 0,
                ..Message::default()
            };
            connect.will = Some(Box::new(Will {
                delay_interval,
                message,
            }));
            let stream = raw::welcome(self.node(), &raw::connect_packet(connect)).await?;
            if self.random.bool() {
                stream.set_zero_linger()?;
            }
        }
        Ok(())
    }
}
