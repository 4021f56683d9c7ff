//! Messages that are many, odd or never finished.

use std::{io, num::NonZeroU16, time::Duration};

use bytes::{BufMut, BytesMut};
use mqtt::{ProtocolVersion, Publish, Qos, Str};
use tokio::io::AsyncWriteExt;

use super::Attacker;
use crate::raw;

const V5: ProtocolVersion = ProtocolVersion::V5;

impl Attacker {
    async fn welcome_5(&mut self) -> io::Result<tokio::net::TcpStream> {
        let client_id = self.new_client_id();
        let connect = raw::connect_packet(raw::connect(V5, &client_id, 0));
        raw::welcome(self.node(), &connect).await
    }

    /// Topic Aliases: the longest topics, changed again and again, unknown, 0 and too large.
    pub(super) async fn alias(&mut self) -> io::Result<()> {
        let mut stream = self.welcome_5().await?;
        for round in 0..20_u16 {
            for alias in 1..=50 {
                let topic = format!("alias/{round}/{}", "x".repeat(60_000 / usize::from(alias)));
                let mut publish = raw::publish(&topic, "", Qos::AtMostOnce, 0);
                publish.topic_alias = NonZeroU16::new(alias);
                stream.write_all(&raw::publish_packet(V5, publish)).await?;
            }
            let known = self.random.below(50) as u16 + 1;
            let publish = Publish {
                topic_alias: NonZeroU16::new(known),
                ..Publish::default()
            };
            stream.write_all(&raw::publish_packet(V5, publish)).await?;
        }
        let wrong = *self.random.pick(&[0_u16, 51, 4000, u16::MAX]);
        let mut bytes = BytesMut::from(&[0x30, 7, 0, 0, 3, 0x23][..]);
        bytes.put_u16(wrong);
        bytes.put_u8(b'x');
        stream.write_all(&bytes).await?;
        raw::drain(&mut stream, Duration::from_millis(100)).await;
        Ok(())
    }

    /// A megabyte of properties, to somebody who reads them.
    pub(super) async fn properties(&mut self) -> io::Result<()> {
        let ground = std::sync::Arc::clone(&self.ground);
        let _permit = ground.heavy.acquire().await;
        let mut stream = self.welcome_5().await?;
        let topic = format!("properties/{}", self.new_client_id());
        stream
            .write_all(&raw::subscribe(V5, &[&topic], Qos::ExactlyOnce))
            .await?;
        let length = *self.random.pick(&[0, 5, 500, 60_000]);
        let text = Str::new("p".repeat(length)).expect("a string");
        let count = 1_000_000 / (5 + 2 * length);
        let mut publish = raw::publish(&topic, "x", Qos::AtLeastOnce, 1);
        publish.message.properties.user_properties = vec![(text.clone(), text); count];
        for _ in 0..3 {
            let bytes = raw::publish_packet(V5, publish.clone());
            stream.write_all(&bytes).await?;
            raw::drain(&mut stream, Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Topics of as many levels as fit, and as are allowed.
    pub(super) async fn deep_topics(&mut self) -> io::Result<()> {
        for levels in [127, 128, 129, 1000, 30_000] {
            let mut stream = self.welcome_5().await?;
            let level = if levels > 10_000 { "/" } else { "d/" };
            let topic = level.repeat(levels - 1) + "d";
            for number in 1..20 {
                let mut publish = raw::publish(&topic, "deep", Qos::AtLeastOnce, number);
                publish.message.retain = number == 1 && levels < 200;
                stream.write_all(&raw::publish_packet(V5, publish)).await?;
            }
            let mut clear = raw::publish(&topic, "", Qos::AtMostOnce, 0);
            clear.message.retain = true;
            let _ = stream.write_all(&raw::publish_packet(V5, clear)).await;
            raw::drain(&mut stream, Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Retained messages that come and go, and somebody who asks for all of them at once.
    pub(super) async fn retained(&mut self) -> io::Result<()> {
        let version = self.version();
        let client_id = self.new_client_id();
        let connect = raw::connect_packet(raw::connect(version, &client_id, 0));
        let mut stream = raw::welcome(self.node(), &connect).await?;
        for round in 0..3 {
            for number in 0..300 {
                let topic = format!("kept/{}/{}", number % 17, number);
                let payload = if round == 2 { "" } else { "kept" };
                let mut publish = raw::publish(&topic, payload, Qos::AtMostOnce, 0);
                publish.message.retain = true;
                let bytes = raw::publish_packet(version, publish);
                stream.write_all(&bytes).await?;
            }
            for filter in ["#", "kept/+/+", "kept/1/#"] {
                let bytes = raw::subscribe(version, &[filter], Qos::ExactlyOnce);
                stream.write_all(&bytes).await?;
            }
            raw::drain(&mut stream, Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// QoS 2 handshakes that are never finished, finished twice or never begun.
    pub(super) async fn qos_2(&mut self) -> io::Result<()> {
        let client_id = self.client_id();
        let expiry = if self.random.bool() { 5 } else { 0 };
        let connect = raw::connect_packet(raw::connect(V5, &client_id, expiry));
        let mut stream = raw::welcome(self.node(), &connect).await?;
        let subscribe = raw::subscribe(V5, &["half/#"], Qos::ExactlyOnce);
        stream.write_all(&subscribe).await?;
        for _ in 0..40 {
            let mut bytes = BytesMut::new();
            for _ in 0..50 {
                let packet_id = 1 + self.random.below(300) as u16;
                match self.random.below(6) {
                    0 | 1 => {
                        let mut publish = raw::publish("half/x", "2", Qos::ExactlyOnce, packet_id);
                        publish.dup = self.random.bool();
                        bytes.extend_from_slice(&raw::publish_packet(V5, publish));
                    }
                    kind => {
                        bytes.extend_from_slice(&raw::acknowledgement(2 + kind as u8, packet_id))
                    }
                }
            }
            stream.write_all(&bytes).await?;
            raw::drain(&mut stream, Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
