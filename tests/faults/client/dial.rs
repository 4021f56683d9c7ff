//! CONNECT and CONNACK.

use std::{net::SocketAddr, num::NonZeroU16, time::Duration};

use history::{Happened, WillPlan};
use mqtt::{
    ConnAck, Connect, ConnectProperties, Message, Packet, ProtocolVersion, ReasonCode, Str,
    TopicName, Will,
};
use tokio::time::timeout;

use super::{
    Stage,
    part::{Keep, Part},
    wire::{Ended, Wire},
};

/// Keep Alive in seconds.
const KEEP_ALIVE: u16 = 4;
/// How long a client waits for TCP.
const TCP_LIMIT: Duration = Duration::from_secs(1);
/// How long a client waits for CONNACK.
const CONNACK_LIMIT: Duration = Duration::from_secs(4);

/// An accepted connection.
#[derive(Debug)]
pub struct Welcome {
    pub wire: Wire,
    /// The number of the attempt.
    pub number: u32,
    pub is_session_present: bool,
}

/// Where the Will of a client goes.
fn will_topic(part: &Part) -> String {
    format!("will/{}", part.client_id)
}

fn connect_packet(part: &Part, number: u32) -> Connect {
    let is_v5 = part.version == ProtocolVersion::V5;
    let mut properties = ConnectProperties::default();
    if is_v5 {
        properties.session_expiry_interval = Some(part.expiry().as_secs() as u32);
        properties.receive_maximum = part.receive_maximum.and_then(NonZeroU16::new);
    }
    let will = part.testament.map(|testament| {
        Box::new(Will {
            delay_interval: testament.delay.as_secs() as u32,
            message: Message {
                topic_name: TopicName::new(will_topic(part)).expect("a topic name"),
                payload: format!("will/{}:{number}", part.client_id).into(),
                qos: testament.qos,
                ..Message::default()
            },
        })
    });
    Connect {
        version: part.version,
        client_id: Str::new(&part.client_id).expect("a string"),
        clean_start: part.keep == Keep::Clean,
        keep_alive: KEEP_ALIVE,
        username: None,
        password: None,
        will,
        properties,
    }
}

/// Connects attempt `number` of a client to `address`; `None` if that came to nothing. Only a
/// CONNECT that went out is written down.
pub async fn dial(stage: &Stage, part: &Part, address: SocketAddr, number: u32) -> Option<Welcome> {
    let opened = timeout(TCP_LIMIT, Wire::open(address, part.version)).await;
    let mut wire = opened.ok()?.ok()?;
    stage.note(
        part,
        number,
        Happened::Connect {
            clean_start: part.keep == Keep::Clean,
            expiry: part.expiry(),
            will: part.testament.map(|testament| WillPlan {
                topic: will_topic(part),
                qos: testament.qos.as_u8(),
                delay: testament.delay,
            }),
        },
    );
    wire.queue(&Packet::Connect(Box::new(connect_packet(part, number))));
    let refused = |reason| {
        stage.note(part, number, Happened::Refused { reason });
        None
    };
    match timeout(CONNACK_LIMIT, wire.next()).await {
        Ok(Ok(Packet::ConnAck(connack))) => accepted(stage, part, number, (wire, connack)),
        Ok(Ok(Packet::Disconnect(disconnect))) => refused(disconnect.reason_code.as_u8()),
        Ok(Ok(other)) => {
            let kind = other.packet_type();
            stage.nonsense(part, number, &format!("{kind} in answer to CONNECT"));
            refused(0)
        }
        Ok(Err(Ended::Nonsense(text))) => {
            stage.nonsense(part, number, &text);
            refused(0)
        }
        Ok(Err(Ended::Closed)) | Err(_) => refused(0),
    }
}

fn accepted(
    stage: &Stage,
    part: &Part,
    number: u32,
    (wire, connack): (Wire, ConnAck),
) -> Option<Welcome> {
    if connack.reason_code != ReasonCode::Success {
        let reason = connack.reason_code.as_u8();
        stage.note(part, number, Happened::Refused { reason });
        return None;
    }
    let session_present = connack.session_present;
    stage.note(part, number, Happened::Connected { session_present });
    Some(Welcome {
        wire,
        number,
        is_session_present: session_present,
    })
}
