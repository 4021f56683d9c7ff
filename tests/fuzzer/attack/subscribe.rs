//! Subscriptions that are many, wide or of no use, and subscribers that do not take what comes.

use std::{io, time::Duration};

use bytes::BytesMut;
use mqtt::{Packet, PacketId, ProtocolVersion, Qos, TopicFilter, Unsubscribe};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::Attacker;
use crate::raw;

const V4: ProtocolVersion = ProtocolVersion::V3_1_1;

impl Attacker {
    async fn welcome_4(&mut self) -> io::Result<TcpStream> {
        let client_id = self.new_client_id();
        let connect = raw::connect_packet(raw::connect(V4, &client_id, 0));
        raw::welcome(self.node(), &connect).await
    }

    /// Ten thousand subscriptions of one client, which it then gives up, or forgets.
    pub(super) async fn many_subscriptions(&mut self) -> io::Result<()> {
        let mut stream = self.welcome_4().await?;
        let own = self.random.below(1000);
        for start in (0..10_000).step_by(1000) {
            let filters: Vec<String> = (start..start + 1000)
                .map(|number| format!("many/{own}/{}/+/{number}", number % 100))
                .collect();
            stream
                .write_all(&raw::subscribe(V4, &filters, Qos::AtLeastOnce))
                .await?;
        }
        raw::drain(&mut stream, Duration::from_millis(300)).await;
        let publish = raw::publish(&format!("many/{own}/7/x/7"), "x", Qos::AtLeastOnce, 1);
        stream.write_all(&raw::publish_packet(V4, publish)).await?;
        raw::drain(&mut stream, Duration::from_millis(50)).await;
        if self.random.bool() {
            let filters = (0..10_000)
                .filter_map(|n| TopicFilter::new(format!("many/{own}/{}/+/{n}", n % 100)).ok());
            let unsubscribe = Packet::Unsubscribe(Unsubscribe {
                packet_id: PacketId::new(2).expect("not 0"),
                user_properties: Vec::new(),
                filters: filters.collect(),
            });
            stream.write_all(&raw::packet(&unsubscribe, V4)).await?;
            raw::drain(&mut stream, Duration::from_millis(300)).await;
        }
        Ok(())
    }

    /// Every filter of up to eight levels made of `+` and one name: a topic matches all of them.
    pub(super) async fn wildcards(&mut self) -> io::Result<()> {
        let mut stream = self.welcome_4().await?;
        let mut filters = Vec::new();
        for mask in 0..256 {
            let levels = (0..8).map(|bit| if mask >> bit & 1 == 0 { "+" } else { "w" });
            filters.push(levels.collect::<Vec<_>>().join("/"));
        }
        filters.extend((0..8).map(|depth| "+/".repeat(depth) + "#"));
        stream
            .write_all(&raw::subscribe(V4, &filters, Qos::AtMostOnce))
            .await?;
        raw::drain(&mut stream, Duration::from_millis(50)).await;
        for _ in 0..50 {
            let mut bytes = BytesMut::new();
            for _ in 0..20 {
                let publish = raw::publish("w/w/w/w/w/w/w/w", "storm", Qos::AtMostOnce, 0);
                bytes.extend_from_slice(&raw::publish_packet(V4, publish));
            }
            stream.write_all(&bytes).await?;
            raw::drain(&mut stream, Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Filters of as many levels as fit, and as are allowed.
    pub(super) async fn deep_filters(&mut self) -> io::Result<()> {
        for levels in [127, 128, 129, 1000, 30_000] {
            let mut stream = self.welcome_4().await?;
            let level = *self.random.pick(&["+/", "f/"]);
            let filter = level.repeat(levels - 1) + "#";
            stream
                .write_all(&raw::subscribe(V4, &[filter], Qos::AtMostOnce))
                .await?;
            let topic = "f/".repeat(levels.min(128) - 1) + "f";
            let publish = raw::publish(&topic, "deep", Qos::AtMostOnce, 0);
            let _ = stream.write_all(&raw::publish_packet(V4, publish)).await;
            raw::drain(&mut stream, Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Members of a shared subscription come and go while messages are given out.
    pub(super) async fn share(&mut self) -> io::Result<()> {
        let mut publisher = self.welcome_4().await?;
        for round in 1..30 {
            let group = self.random.below(3);
            let filter = format!("$share/group-{group}/shared/+");
            let mut members = Vec::new();
            for _ in 0..1 + self.random.below(4) {
                let mut member = self.welcome_4().await?;
                let bytes = raw::subscribe(V4, &[&filter], Qos::AtLeastOnce);
                member.write_all(&bytes).await?;
                members.push(member);
            }
            for number in 0..20 {
                let publish = raw::publish("shared/x", "x", Qos::AtLeastOnce, round * 20 + number);
                let bytes = raw::publish_packet(V4, publish);
                publisher.write_all(&bytes).await?;
            }
            for mut member in members {
                if self.random.bool() {
                    raw::drain(&mut member, Duration::from_millis(5)).await;
                }
            }
            raw::drain(&mut publisher, Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// A subscriber that reads nothing, to whom much is sent, and who himself goes on writing.
    pub(super) async fn never_reads(&mut self) -> io::Result<()> {
        let mut deaf = Vec::new();
        let topic = format!("deaf/{}", self.random.below(3));
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut stream = raw::open_narrow(self.node()).await?;
            let client_id = self.new_client_id();
            let connect = raw::connect_packet(raw::connect(V4, &client_id, 0));
            stream.write_all(&connect).await?;
            stream
                .write_all(&raw::subscribe(V4, &[&topic], qos))
                .await?;
            deaf.push(stream);
        }
        let mut writer = self.welcome_4().await?;
        let payload = vec![b'd'; 1024];
        for number in 1..4000 {
            let publish = raw::publish(&topic, payload.clone(), Qos::AtLeastOnce, number);
            writer.write_all(&raw::publish_packet(V4, publish)).await?;
            if number % 100 == 0 {
                raw::drain(&mut writer, Duration::from_millis(2)).await;
                for stream in &mut deaf {
                    // What does not fit at once is not written: it does not read answers either.
                    let _ = stream.try_write(&[0xC0, 0].repeat(1000));
                }
            }
        }
        Ok(())
    }

    /// The same with messages of megabytes, and with everything that anybody publishes.
    pub(super) async fn deaf_to_all(&mut self) -> io::Result<()> {
        let ground = std::sync::Arc::clone(&self.ground);
        let _permit = ground.heavy.acquire().await;
        let mut deaf = raw::open_narrow(self.node()).await?;
        let client_id = self.new_client_id();
        let connect = raw::connect_packet(raw::connect(V4, &client_id, 0));
        deaf.write_all(&connect).await?;
        let qos = *self.random.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce]);
        deaf.write_all(&raw::subscribe(V4, &["#"], qos)).await?;
        let mut writer = self.welcome_4().await?;
        for number in 1..16 {
            let length = (1 + self.random.below(3)) * 1024 * 1024;
            let publish = raw::publish("deaf/large", vec![b'd'; length], qos, number);
            writer.write_all(&raw::publish_packet(V4, publish)).await?;
            raw::drain(&mut writer, Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// PINGREQ without end, no answer read.
    pub(super) async fn pings(&mut self) -> io::Result<()> {
        let mut stream = raw::open_narrow(self.node()).await?;
        let client_id = self.new_client_id();
        let connect = raw::connect_packet(raw::connect(V4, &client_id, 0));
        stream.write_all(&connect).await?;
        let pings = [0xC0, 0].repeat(32 * 1024);
        for _ in 0..200 {
            // Once the node has stopped reading, this waits until the attack is over.
            stream.write_all(&pings).await?;
        }
        Ok(())
    }
}
