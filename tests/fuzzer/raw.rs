//! A socket without manners, and packets to be written to it.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, Connect, ConnectProperties, Message, Packet, PacketId, ProtocolVersion, Publish, Qos,
    ReasonCode, Str, Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Connects.
pub async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects with the smallest receive buffer that the system allows, for who does not read.
pub async fn open_narrow(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(2048)?;
    socket.connect(address).await
}

/// Connects, sends CONNECT and waits for the first bytes of an answer.
pub async fn welcome(address: SocketAddr, connect: &Bytes) -> io::Result<TcpStream> {
    let mut stream = open(address).await?;
    stream.write_all(connect).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

/// Reads and forgets what comes, until nothing comes for `pause` or the server closes.
pub async fn drain(stream: &mut TcpStream, pause: Duration) {
    let mut scratch = vec![0; 64 * 1024];
    while let Ok(Ok(1..)) = timeout(pause, stream.read(&mut scratch)).await {}
}

/// A packet as bytes.
pub fn packet(packet: &Packet, version: ProtocolVersion) -> Bytes {
    let mut bytes = BytesMut::new();
    mqtt::encode(packet, version, &mut bytes).expect("a packet that can be written");
    bytes.freeze()
}

/// CONNECT; a session of `expiry` seconds, or none with 0.
pub fn connect(version: ProtocolVersion, client_id: &str, expiry: u32) -> Connect {
    let mut properties = ConnectProperties::default();
    if version == ProtocolVersion::V5 {
        properties.session_expiry_interval = Some(expiry);
    }
    Connect {
        version,
        client_id: Str::new(client_id).expect("a string"),
        clean_start: expiry == 0,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties,
    }
}

pub fn connect_packet(connect: Connect) -> Bytes {
    let version = connect.version;
    packet(&Packet::Connect(Box::new(connect)), version)
}

/// PUBLISH.
pub fn publish(topic: &str, payload: impl Into<Bytes>, qos: Qos, packet_id: u16) -> Publish {
    Publish {
        packet_id: PacketId::new(packet_id).filter(|_| qos != Qos::AtMostOnce),
        message: Message {
            topic_name: TopicName::new(topic).expect("a topic name"),
            payload: payload.into(),
            qos,
            ..Message::default()
        },
        ..Publish::default()
    }
}

pub fn publish_packet(version: ProtocolVersion, publish: Publish) -> Bytes {
    packet(&Packet::Publish(publish), version)
}

/// SUBSCRIBE.
pub fn subscribe<T: AsRef<str>>(version: ProtocolVersion, filters: &[T], qos: Qos) -> Bytes {
    let subscriptions = filters.iter().map(|filter| Subscription {
        filter: TopicFilter::new(filter.as_ref()).expect("a topic filter"),
        options: SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        },
    });
    let subscribe = Subscribe {
        packet_id: PacketId::new(1).expect("not 0"),
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: subscriptions.collect(),
    };
    packet(&Packet::Subscribe(subscribe), version)
}

/// One of the acknowledgements of PUBLISH, by the number of its packet type (4 to 7).
pub fn acknowledgement(kind: u8, packet_id: u16) -> Bytes {
    let ack = Ack::new(
        PacketId::new(packet_id.max(1)).expect("not 0"),
        ReasonCode::Success,
    );
    let ack = match kind {
        4 => Packet::PubAck(ack),
        5 => Packet::PubRec(ack),
        6 => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    };
    packet(&ack, ProtocolVersion::V5)
}
