//! CONNECT.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, Auth, AuthProperties, ConnAck, Connect, ConnectProperties, Decoder, Disconnect, Message,
    Packet, ProtocolVersion, ReasonCode, Side, Str, Will,
};
use tokio::{net::TcpStream, time::timeout};

use super::Client;
use crate::{LIMIT, Scram, Session};

/// How a connection attempt failed.
#[derive(Debug)]
pub enum Refused {
    /// CONNACK with an error.
    ConnAck(ConnAck),
    /// DISCONNECT instead of CONNACK.
    Disconnect(Disconnect),
    /// Closed, or nobody listens.
    Closed,
}

impl Refused {
    /// The reason code of the server.
    ///
    /// # Panics
    ///
    /// If it gave none.
    #[must_use]
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::ConnAck(connack) => connack.reason_code,
            Self::Disconnect(disconnect) => disconnect.reason_code,
            Self::Closed => panic!("the server closed without a reason code"),
        }
    }
}

/// A client to be connected. MQTT 5, Clean Start, no keep-alive and no session after the
/// connection unless told otherwise.
#[derive(Debug, Clone)]
pub struct Builder {
    address: SocketAddr,
    connect: Connect,
    session: Session,
    manual: bool,
    before: Bytes,
    scram: Option<Scram>,
}

impl Builder {
    /// A client of `address`.
    ///
    /// # Panics
    ///
    /// If `client_id` is not an MQTT string.
    #[must_use]
    pub fn new(address: SocketAddr, client_id: &str) -> Self {
        Self {
            address,
            connect: Connect {
                version: ProtocolVersion::V5,
                client_id: Str::new(client_id).unwrap(),
                clean_start: true,
                keep_alive: 0,
                username: None,
                password: None,
                will: None,
                properties: ConnectProperties::default(),
            },
            session: Session::default(),
            manual: false,
            before: Bytes::new(),
            scram: None,
        }
    }

    /// Another client identifier.
    ///
    /// # Panics
    ///
    /// If it is not an MQTT string.
    #[must_use]
    pub fn client_id(mut self, client_id: &str) -> Self {
        self.connect.client_id = Str::new(client_id).unwrap();
        self
    }

    /// The protocol version.
    #[must_use]
    pub fn version(mut self, version: ProtocolVersion) -> Self {
        self.connect.version = version;
        self
    }

    /// Clean Start (Clean Session in MQTT 3).
    #[must_use]
    pub fn clean_start(mut self, clean_start: bool) -> Self {
        self.connect.clean_start = clean_start;
        self
    }

    /// Session Expiry Interval in seconds, without Clean Start: a session that stays.
    #[must_use]
    pub fn persistent(mut self, expiry_interval: u32) -> Self {
        self.connect.clean_start = false;
        if self.connect.version == ProtocolVersion::V5 {
            self.connect.properties.session_expiry_interval = Some(expiry_interval);
        }
        self
    }

    /// Keep Alive in seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.connect.keep_alive = seconds;
        self
    }

    /// A Will without delay.
    #[must_use]
    pub fn will(self, message: Message) -> Self {
        self.delayed_will(message, 0)
    }

    /// A Will with Will Delay Interval in seconds.
    #[must_use]
    pub fn delayed_will(mut self, message: Message, delay_interval: u32) -> Self {
        self.connect.will = Some(Box::new(Will {
            delay_interval,
            message,
        }));
        self
    }

    /// User name and password.
    #[must_use]
    pub fn credentials(mut self, username: &str, password: &str) -> Self {
        self.connect.username = Some(Str::new(username).unwrap());
        self.connect.password = Some(Bytes::copy_from_slice(password.as_bytes()));
        self
    }

    /// SCRAM-SHA-256, with the first message in CONNECT.
    #[must_use]
    pub fn scram(mut self, scram: Scram) -> Self {
        let properties = &mut self.connect.properties;
        properties.authentication_method = Some(Str::from_static(Scram::METHOD));
        properties.authentication_data = Some(scram.first());
        self.scram = Some(scram);
        self
    }

    /// Receive Maximum.
    #[must_use]
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.connect.properties.receive_maximum = NonZeroU16::new(messages);
        self
    }

    /// Maximum Packet Size.
    #[must_use]
    pub fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.connect.properties.maximum_packet_size = NonZeroU32::new(bytes);
        self
    }

    /// Changes any part of CONNECT.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Connect)) -> Self {
        change(&mut self.connect);
        self
    }

    /// Nothing is acknowledged but by [`Client::acknowledge`] and packets of the test.
    #[must_use]
    pub fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// Goes on with the client's half of an earlier session.
    #[must_use]
    pub fn resume(mut self, session: Session) -> Self {
        self.session = session;
        self
    }

    /// Connects to another address.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Sends these bytes before CONNECT, such as a PROXY protocol header.
    #[must_use]
    pub fn preceded_by(mut self, bytes: &[u8]) -> Self {
        self.before = Bytes::copy_from_slice(bytes);
        self
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn connect(self) -> Client {
        let name = self.connect.client_id.clone();
        self.try_connect()
            .await
            .unwrap_or_else(|refused| panic!("client {name:?} refused: {refused:?}"))
    }

    /// Connects, again and again until the server is there and lets it in.
    ///
    /// # Panics
    ///
    /// After [`PATIENCE`](crate::PATIENCE).
    pub async fn connect_eventually(self) -> Client {
        let deadline = tokio::time::Instant::now() + crate::PATIENCE;
        loop {
            match self.clone().try_connect().await {
                Ok(client) => return client,
                Err(refused) => assert!(
                    tokio::time::Instant::now() < deadline,
                    "still refused after {:?}: {refused:?}",
                    crate::PATIENCE
                ),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Sends CONNECT and waits for nothing; `None` if nobody listens.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn start(self) -> Option<Client> {
        let Ok(stream) = TcpStream::connect(self.address).await else {
            return None;
        };
        stream.set_nodelay(true).unwrap();
        let maximum = self.connect.properties.maximum_packet_size;
        let mut decoder = Decoder::new(
            Side::Client,
            maximum.map_or(mqtt::MAXIMUM_PACKET_SIZE_BYTES, NonZeroU32::get),
        );
        decoder.set_version(self.connect.version);
        let version = self.connect.version;
        let mut client = Client {
            stream,
            decoder,
            incoming: BytesMut::new(),
            outgoing: BytesMut::from(self.before.as_ref()),
            version,
            connack: ConnAck::new(false, ReasonCode::Success),
            session: self.session,
            inbox: VecDeque::new(),
            manual: self.manual,
            disconnected: None,
            is_closed: false,
            aliases: HashMap::new(),
            alias_maximum: self.connect.properties.topic_alias_maximum.unwrap_or(0),
        };
        client.queue(&Packet::Connect(Box::new(self.connect)));
        client.flush().await;
        Some(client)
    }

    /// Connects, unless the server refuses.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    ///
    /// # Panics
    ///
    /// If the server does not answer in time.
    pub async fn try_connect(self) -> Result<Client, Refused> {
        let mut scram = self.scram.clone();
        let Some(mut client) = self.start().await else {
            return Err(Refused::Closed);
        };
        let mut answer = timeout(LIMIT * 2, client.next_packet()).await;
        if let (Ok(Some(Packet::Auth(auth))), Some(scram)) = (&answer, &mut scram) {
            client.answer_challenge(auth, scram).await;
            answer = timeout(LIMIT * 2, client.next_packet()).await;
        }
        match answer.expect("no answer to CONNECT") {
            Some(Packet::ConnAck(connack)) if connack.reason_code == ReasonCode::Success => {
                if let Some(scram) = &scram {
                    let data = connack.properties.authentication_data.as_ref();
                    assert!(scram.trusts(data), "the server does not know the user");
                }
                client.connack = connack;
            }
            Some(Packet::ConnAck(connack)) => return Err(Refused::ConnAck(connack)),
            Some(Packet::Disconnect(disconnect)) => return Err(Refused::Disconnect(disconnect)),
            Some(other) => panic!("the server answered CONNECT with {other:?}"),
            None => return Err(Refused::Closed),
        }
        client.repeat();
        client.flush().await;
        Ok(client)
    }
}

impl Client {
    /// Answers the challenge of an enhanced authentication.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub async fn answer_challenge(&mut self, challenge: &Auth, scram: &mut Scram) {
        assert_eq!(
            challenge.reason_code,
            ReasonCode::ContinueAuthentication,
            "[MQTT-4.12.0-2]"
        );
        let method = challenge.properties.authentication_method.as_ref();
        assert_eq!(
            method.map(Str::as_str),
            Some(Scram::METHOD),
            "[MQTT-4.12.0-5]"
        );
        let data = challenge.properties.authentication_data.as_ref();
        let data = scram.last(data.expect("a challenge"));
        self.authenticate(ReasonCode::ContinueAuthentication, Some(data))
            .await;
    }

    /// Sends AUTH with SCRAM-SHA-256 as its method.
    pub async fn authenticate(&mut self, reason_code: ReasonCode, data: Option<Bytes>) {
        let properties = AuthProperties {
            authentication_method: Some(Str::from_static(Scram::METHOD)),
            authentication_data: data,
            ..AuthProperties::default()
        };
        self.send(&Packet::Auth(Auth {
            reason_code,
            properties,
        }))
        .await;
    }

    /// [MQTT-4.4.0-1] Queues again what was not acknowledged, in order.
    fn repeat(&mut self) {
        let is_present = self.connack.session_present || self.version == ProtocolVersion::V3_1;
        if !is_present {
            self.session.incoming.clear();
            self.session.outgoing.retain(|one| !one.is_released);
        }
        for outgoing in self.session.outgoing.clone() {
            if outgoing.is_released {
                self.queue(&Packet::PubRel(Ack::new(
                    outgoing.packet_id,
                    ReasonCode::Success,
                )));
            } else {
                let mut publish = outgoing.publish;
                publish.dup = is_present; // a lost session starts anew
                self.queue(&Packet::Publish(publish));
            }
        }
    }
}
