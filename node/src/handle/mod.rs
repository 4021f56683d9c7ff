//! What each packet of a client means.
//!
//! Owns the meaning of packets: it changes the session and calls the rooms that do the work. It
//! writes answers into the output of the connection and never touches a socket.

mod acknowledge;
mod auth;
mod close;
mod connect;
mod deliver;
mod peer;
mod publish;
mod reject;
mod subscribe;
mod unsubscribe;

use std::sync::Arc;

use bytes::BytesMut;
use mqtt::{Packet, ReasonCode};
use tracing::warn;

pub(crate) use auth::{Authenticated, Authentication, Greeting, reauthenticated, reauthentication};
pub(crate) use close::{Cause, close};
pub(crate) use connect::{Refusal, connect};
pub(crate) use deliver::{ask_for_page, deliver, page, settle};
pub(crate) use peer::Peer;
pub(crate) use reject::Reject;

use crate::{
    auth::Auth,
    cluster::Cluster,
    config::Config,
    delivery::Control,
    retain::Retain,
    router::Router,
    session::{Registry, Session},
    shutdown::Shutdown,
    telemetry::{Flow, Limit, Metrics, chain},
};

/// The rooms that connections use, built once.
pub(crate) struct Rooms {
    pub(crate) config: Config,
    pub(crate) auth: Auth,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) router: Arc<Router>,
    pub(crate) retain: Arc<Retain>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
    /// Where clients connect, as really bound.
    pub(crate) tcp_address: Option<std::net::SocketAddr>,
}

/// One client and where to answer it.
pub(crate) struct Context<'a> {
    pub(crate) rooms: &'a Arc<Rooms>,
    pub(crate) session: &'a mut Session,
    pub(crate) output: &'a mut BytesMut,
}

impl Context<'_> {
    /// Counts that the client has met a limit, and says so in the log once for each connection.
    pub(crate) fn meet_limit(&mut self, limit: Limit) {
        self.rooms.metrics.meet_limit(limit);
        if self.session.meets(limit) {
            warn!(client_id = %self.session.client_id, reason = limit.label(), "client met a limit");
        }
    }

    /// Adds a packet to the output. If it is larger than the client accepts, it is left out and
    /// the connection ends: without its answer the client would wait for ever [MQTT-3.1.2-24].
    pub(crate) fn send(&mut self, packet: &Packet) {
        let before = self.output.len();
        if let Err(error) = mqtt::encode(packet, self.session.version, self.output) {
            // Our own packets are small; only a reason string could be too long.
            warn!(client_id = %self.session.client_id, error = %chain(&error), "answer not sent");
        }
        if !self.session.accepts(self.output.len() - before) {
            self.output.truncate(before);
            let end = Control::Close(ReasonCode::PacketTooLarge);
            self.session.outbox.control(end);
            return;
        }
        self.session.tally.count(Flow::OthersSent);
    }
}

/// What follows from a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next packet.
    Read,
    /// The client said DISCONNECT.
    Close,
}

/// Whether a packet is for [`change_subscriptions`]; all others are for [`answer`].
pub(crate) const fn changes_subscriptions(packet: &Packet) -> bool {
    matches!(packet, Packet::Subscribe(_) | Packet::Unsubscribe(_))
}

/// SUBSCRIBE and UNSUBSCRIBE, which wait for all nodes and for the database, for at most
/// `mqtt.acknowledge_timeout`. Cancel safe: what was begun and not acknowledged may have happened.
///
/// # Errors
///
/// [`Reject`] if the connection must be closed; the client is told its reason code.
pub(crate) async fn change_subscriptions(
    cx: &mut Context<'_>,
    packet: Packet,
) -> Result<Next, Reject> {
    cx.session.tally.count(Flow::OthersReceived);
    let limit = cx.rooms.config.mqtt.acknowledge_timeout;
    let changed = async {
        match packet {
            Packet::Subscribe(packet) => subscribe::subscribe(cx, packet).await?,
            Packet::Unsubscribe(packet) => unsubscribe::unsubscribe(cx, packet).await,
            _ => {}
        }
        Ok(Next::Read)
    };
    let changed = tokio::time::timeout(limit, changed).await;
    changed.unwrap_or(Err(Reject::Overdue))
}

/// What needs no waiting.
///
/// # Errors
///
/// [`Reject`] if the connection must be closed; the client is told its reason code.
pub(crate) fn answer(cx: &mut Context<'_>, packet: Packet) -> Result<Next, Reject> {
    if let Packet::Publish(publish) = packet {
        publish::publish(cx, publish)?;
        return Ok(Next::Read);
    }
    cx.session.tally.count(Flow::OthersReceived);
    match packet {
        Packet::PubAck(ack) => acknowledge::puback(cx, &ack),
        Packet::PubRec(ack) => acknowledge::pubrec(cx, &ack),
        Packet::PubRel(ack) => acknowledge::pubrel(cx, &ack),
        Packet::PubComp(ack) => acknowledge::pubcomp(cx, &ack),
        // [MQTT-3.12.4-1]
        Packet::PingReq => cx.send(&Packet::PingResp),
        Packet::Disconnect(disconnect) => {
            close::disconnect(cx, &disconnect)?;
            return Ok(Next::Close);
        }
        Packet::Auth(packet) => auth::auth(cx, &packet)?,
        Packet::Publish(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingResp => {
            return Err(Reject::Protocol(
                "a packet that only a server sends, or a second CONNECT",
            ));
        }
    }
    Ok(Next::Read)
}
