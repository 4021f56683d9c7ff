//! AUTH (section 3.15): the exchange between CONNECT and CONNACK, and its repetition later.
//!
//! Enhanced authentication (section 4.12) is carried on by `auth`; here its steps are packets.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::{Auth, AuthProperties, ConnAck, Connect, Packet, ProtocolVersion, ReasonCode, Str};
use tokio::time::{Instant, timeout_at};

use super::{Context, Peer, Reject, Rooms, connect::Refusal};
use crate::auth::{Denied, Exchange, Identity, Step};

/// A client that has sent CONNECT and waits for CONNACK.
pub(crate) struct Authentication<'a> {
    rooms: &'a Rooms,
    connect: &'a Connect,
    /// What the certificate of the client shows, if that says who it is.
    common_name: Option<&'a Str>,
    /// None if the client wants no enhanced authentication.
    exchange: Option<Exchange>,
}

/// What follows from a step.
pub(crate) enum Greeting {
    /// AUTH: the client must answer.
    Ask(Packet),
    /// The client may connect.
    Done(Authenticated),
}

/// A client that may connect.
pub(crate) struct Authenticated {
    identity: Identity,
    data: Option<Bytes>,
}

impl Authenticated {
    /// Puts into CONNACK what the method has to say: only if CONNECT had a method
    /// [MQTT-4.12.0-5] [MQTT-4.12.0-6].
    pub(super) fn welcome(self, connack: &mut ConnAck) -> Identity {
        connack.properties.authentication_method = self.identity.method.clone();
        connack.properties.authentication_data = self.data;
        self.identity
    }
}

impl<'a> Authentication<'a> {
    /// Begins with what CONNECT says.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; the client is told in CONNACK.
    pub(crate) fn begin(
        rooms: &'a Rooms,
        connect: &'a Connect,
        peer: &'a Peer,
    ) -> Result<Self, Refusal> {
        if rooms.shutdown.is_draining() {
            return Err(Refusal::Stopping);
        }
        let properties = &connect.properties;
        let counts = rooms.config.tls.common_name_as_username;
        let common_name = peer.common_name.as_ref().filter(|_| counts);
        let exchange = match &properties.authentication_method {
            Some(method) => {
                let username = common_name.or(connect.username.as_ref());
                let mut exchange = rooms.auth.begin(method, username, Duration::ZERO)?;
                exchange.receive(properties.authentication_data.as_ref())?;
                Some(exchange)
            }
            None => None,
        };
        Ok(Self {
            rooms,
            connect,
            common_name,
            exchange,
        })
    }

    /// Waits for what is to be done next, until `deadline`. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; the client is told in CONNACK.
    pub(crate) async fn step(&mut self, deadline: Instant) -> Result<Greeting, Refusal> {
        match timeout_at(deadline, self.next()).await {
            Ok(result) => result,
            Err(_) => Err(Denied::Busy.into()),
        }
    }

    async fn next(&mut self) -> Result<Greeting, Refusal> {
        let Some(exchange) = &mut self.exchange else {
            let identity = match self.common_name {
                Some(name) => self.rooms.auth.certified(name)?,
                None => self.rooms.auth.check(self.connect).await?,
            };
            return Ok(Greeting::Done(Authenticated {
                identity,
                data: None,
            }));
        };
        let method = self.connect.properties.authentication_method.as_ref();
        match exchange.step().await? {
            Step::Continue(data) => {
                let packet = answer(ReasonCode::ContinueAuthentication, method, data);
                let maximum = self.connect.properties.maximum_packet_size;
                if !fits(&packet, maximum.map_or(u32::MAX, u32::from)) {
                    return Err(Refusal::AnswerTooLarge);
                }
                Ok(Greeting::Ask(packet))
            }
            Step::Success { username, data } => Ok(Greeting::Done(Authenticated {
                identity: Identity {
                    username: Some(username),
                    method: method.map(Str::detached),
                },
                data: Some(data),
            })),
        }
    }

    /// Takes the client's answer. False if it says DISCONNECT, the only other packet that it may
    /// send before CONNACK [MQTT-3.1.2-30].
    ///
    /// # Errors
    ///
    /// [`Refusal`]; the client is told in CONNACK.
    pub(crate) fn receive(&mut self, packet: &Packet) -> Result<bool, Refusal> {
        let packet = match packet {
            Packet::Auth(packet) => packet,
            Packet::Disconnect(_) => return Ok(false),
            _ => return Err(Denied::Order("a packet other than AUTH before CONNACK").into()),
        };
        if packet.reason_code != ReasonCode::ContinueAuthentication {
            // [MQTT-4.12.0-3]
            return Err(Denied::Order("AUTH before CONNACK that does not continue").into());
        }
        if packet.properties.authentication_method != self.connect.properties.authentication_method
        {
            // [MQTT-4.12.0-5]
            return Err(Denied::Order("AUTH with another authentication method").into());
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.receive(packet.properties.authentication_data.as_ref())?;
        }
        Ok(true)
    }
}

impl Refusal {
    /// The CONNACK that tells the client, with what the method has to say, as long as the client
    /// takes a packet of that size [MQTT-3.2.2-19].
    pub(crate) fn connack(&self, connect: &Connect) -> Packet {
        let plain = ConnAck::new(false, self.reason_code());
        let Self::Auth(denied) = self else {
            return Packet::ConnAck(plain);
        };
        let mut full = plain.clone();
        // [MQTT-4.12.0-6] No method if CONNECT had none.
        if let Some(data) = denied.data() {
            let method = connect.properties.authentication_method.clone();
            full.properties.authentication_method = method;
            full.properties.authentication_data = Some(data);
        }
        full.properties.reason_string = Str::new(denied.to_string()).ok();
        let full = Packet::ConnAck(full);
        let maximum = connect.properties.maximum_packet_size;
        if fits(&full, maximum.map_or(u32::MAX, u32::from)) {
            full
        } else {
            Packet::ConnAck(plain)
        }
    }
}

/// AUTH from a connected client: it authenticates anew (section 4.12.1). Meanwhile everything goes
/// on as before.
///
/// # Errors
///
/// [`Reject`] if the client has not connected with a method [MQTT-4.12.0-7], uses another one
/// [MQTT-4.12.1-1], or does not wait for its turn; or if it fails.
pub(super) fn auth(cx: &mut Context<'_>, packet: &Auth) -> Result<(), Reject> {
    let Some(method) = &cx.session.identity.method else {
        return Err(Reject::Protocol("AUTH without an authentication method"));
    };
    if packet.properties.authentication_method.as_ref() != Some(method) {
        return Err(Reject::Protocol("AUTH with another authentication method"));
    }
    let data = packet.properties.authentication_data.as_ref();
    match (packet.reason_code, &mut cx.session.reauthentication) {
        (ReasonCode::ReAuthenticate, None) => {
            let username = cx.session.identity.username.as_ref();
            // An outage of the database alone does not end a connection (guarantee G9).
            let patience = cx.rooms.config.mqtt.connect_timeout;
            let mut exchange = cx.rooms.auth.begin(method, username, patience)?;
            exchange.receive(data)?;
            cx.session.reauthentication = Some(Box::new(exchange));
        }
        (ReasonCode::ContinueAuthentication, Some(exchange)) => exchange.receive(data)?,
        (ReasonCode::ReAuthenticate, Some(_)) => {
            return Err(Reject::Protocol("a second re-authentication at one time"));
        }
        _ => return Err(Reject::Protocol("AUTH that continues nothing")),
    }
    Ok(())
}

/// Waits for the next step of a re-authentication, for ever if there is none. Cancel safe.
pub(crate) async fn reauthentication(exchange: &mut Option<Box<Exchange>>) -> Result<Step, Denied> {
    match exchange {
        Some(exchange) => exchange.step().await,
        None => std::future::pending().await,
    }
}

/// Tells the client what [`reauthentication`] has come to.
///
/// # Errors
///
/// [`Reject`] if it failed [MQTT-4.12.1-2].
pub(crate) fn reauthenticated(
    cx: &mut Context<'_>,
    step: Result<Step, Denied>,
) -> Result<(), Reject> {
    let method = cx.session.identity.method.as_ref();
    let packet = match step? {
        Step::Continue(data) => answer(ReasonCode::ContinueAuthentication, method, data),
        Step::Success { data, .. } => {
            cx.session.reauthentication = None;
            answer(ReasonCode::Success, method, Some(data))
        }
    };
    if !fits(&packet, cx.session.maximum_packet_size) {
        return Err(Reject::AnswerTooLarge);
    }
    cx.send(&packet);
    Ok(())
}

/// AUTH from the server, always with the method of the client [MQTT-4.12.0-5].
fn answer(reason_code: ReasonCode, method: Option<&Str>, data: Option<Bytes>) -> Packet {
    Packet::Auth(Auth {
        reason_code,
        properties: AuthProperties {
            authentication_method: method.cloned(),
            authentication_data: data,
            ..AuthProperties::default()
        },
    })
}

/// Whether the client takes a packet of this size [MQTT-3.1.2-24].
pub(super) fn fits(packet: &Packet, maximum_packet_size: u32) -> bool {
    let mut buffer = BytesMut::new();
    mqtt::encode(packet, ProtocolVersion::V5, &mut buffer).is_ok()
        && u32::try_from(buffer.len()).is_ok_and(|size| size <= maximum_packet_size)
}
