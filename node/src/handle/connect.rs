//! CONNECT (section 3.1): who the client is, and which session it goes on with.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use ibc::{Claim, Claimed, Detached, NewWill, WillFate};
use mqtt::{
    ConnAck, ConnAckProperties, Connect, Packet, PacketId, ProtocolVersion, Qos, ReasonCode, Str,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Rooms,
    auth::{Authenticated, fits},
};
use crate::{
    auth,
    cluster::{ClaimError, Urgency},
    config::Mqtt,
    delivery::{Control, Outbox, Publication, QueueLimits},
    retain,
    router::{Attachment, TopicCache},
    session::{Found, InboundAliases, OutboundAliases, PacketIds, Session, Window, WindowLimits},
    telemetry::{LimitsMet, Tally},
};

/// No packet can be larger, so it is not announced; paho-mqtt even refuses to read the number.
const PROTOCOL_MAXIMUM: u32 = mqtt::MAXIMUM_PACKET_SIZE_BYTES;

/// Why a client may not connect; told in CONNACK.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not authenticated [MQTT-4.12.0-4].
    #[error(transparent)]
    Auth(#[from] auth::Denied),
    /// A packet during the authentication that cannot be read.
    #[error(transparent)]
    Malformed(#[from] mqtt::DecodeError),
    /// CONNACK or AUTH would be larger than the client accepts [MQTT-3.1.2-24]. 0x95.
    #[error("CONNACK or AUTH would be larger than the maximum packet size of the client")]
    AnswerTooLarge,
    /// The session registry does not answer; the client may repeat. 0x88.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The Will has a QoS that this broker does not take [MQTT-3.2.2-12]. 0x9B.
    #[error("the QoS of the will is above the maximum of this broker")]
    WillQos,
    /// The Will is to be retained, which this broker does not do [MQTT-3.2.2-13]. 0x9A.
    #[error("the will is to be retained, and retained messages are not available")]
    WillRetain,
    /// The topic of the Will has too many levels, or belongs to the broker. 0x90.
    #[error("the topic of the will has too many levels, or belongs to the broker")]
    WillTopic,
    /// 0x85.
    #[error("the client identifier is longer than mqtt.max_client_id_bytes")]
    ClientIdTooLong,
    /// This node is stopping; 0x8B is no code of CONNACK [MQTT-3.2.2-8]. 0x88.
    #[error("this node is stopping")]
    Stopping,
}

impl Refusal {
    /// What CONNACK says.
    pub(crate) fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Auth(denied) => denied.reason_code(),
            Self::Malformed(error) => error.reason_code(),
            Self::Claim(ClaimError::Unavailable) | Self::Stopping => ReasonCode::ServerUnavailable,
            Self::WillQos => ReasonCode::QosNotSupported,
            Self::WillRetain => ReasonCode::RetainNotSupported,
            Self::WillTopic => ReasonCode::TopicNameInvalid,
            Self::ClientIdTooLong => ReasonCode::ClientIdentifierNotValid,
            Self::AnswerTooLarge => ReasonCode::PacketTooLarge,
        }
    }
}

/// Makes the client's session, or takes it over from wherever it was. Not cancel safe.
///
/// # Errors
///
/// [`Refusal`]; then nothing has changed.
pub(crate) async fn connect(
    rooms: &Arc<Rooms>,
    packet: Connect,
    authenticated: Authenticated,
) -> Result<(Session, ConnAck), Refusal> {
    if rooms.shutdown.is_draining() {
        return Err(Refusal::Stopping);
    }
    let settings = &rooms.config.mqtt;
    check_limits(settings, &packet)?;
    let assigned = packet.client_id.is_empty().then(new_client_id);
    let client_id = assigned
        .clone()
        .unwrap_or_else(|| packet.client_id.detached());
    let expiry_interval = expiry(rooms, &packet);
    let is_stored = expiry_interval > 0;
    let mut answer = connack(rooms, &packet, assigned, expiry_interval);
    let identity = authenticated.welcome(&mut answer);
    let maximum_packet_size = packet.properties.maximum_packet_size;
    let maximum_packet_size = maximum_packet_size.map_or(u32::MAX, u32::from);
    if !fits(&Packet::ConnAck(answer.clone()), maximum_packet_size) {
        return Err(Refusal::AnswerTooLarge);
    }
    let limits = QueueLimits::new(settings);
    let outbox = Arc::new(Outbox::new(limits, is_stored));
    let claim = Claim {
        client_id: client_id.as_str().to_owned(),
        clean_start: packet.clean_start,
        expiry_interval,
        will: packet.will.as_ref().map(|will| new_will(&client_id, will)),
    };
    let claimed = obtain(rooms, &client_id, claim, &outbox).await?;
    rooms.router.attach(Attachment {
        session: claimed.session,
        client_id: client_id.clone(),
        epoch: claimed.epoch,
        is_stored,
        outbox: Arc::clone(&outbox),
        discarded: claimed.discarded,
        is_resumed: claimed.is_present,
        subscriptions: claimed.kept.subscriptions.clone(),
    });
    if claimed.is_present && !is_stored {
        // It had been stored until now: its queue is delivered, and then it ends.
        outbox.control(Control::Poke);
    }
    answer.session_present = claimed.is_present; // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    let has_shared = claimed
        .kept
        .subscriptions
        .iter()
        .any(|subscription| subscription.filter.share().is_some());
    let window = packet
        .properties
        .receive_maximum
        .map_or(u16::MAX, u16::from);
    let received: PacketIds = claimed
        .kept
        .received
        .iter()
        .filter_map(|id| PacketId::new(*id))
        .collect();
    let session = Session {
        id: claimed.session,
        epoch: claimed.epoch,
        client_id,
        version: packet.version,
        identity,
        reauthentication: None,
        is_stored,
        expiry_interval,
        outbox,
        window: Window::new(WindowLimits {
            messages: window.min(settings.max_inflight),
            bytes: limits.bytes,
        }),
        received_before: received.clone(),
        forwarded: PacketIds::default(),
        received,
        owed: VecDeque::new(),
        unacknowledged: 0,
        retained: Found::default(),
        is_paging: false,
        is_settled: false,
        has_published: false,
        has_new_expiry: false,
        has_shared,
        topics: TopicCache::default(),
        inbound_aliases: InboundAliases::new(settings.server_topic_alias_maximum),
        outbound_aliases: OutboundAliases::new(packet.properties.topic_alias_maximum.unwrap_or(0)),
        maximum_packet_size,
        has_stored_will: packet.will.is_some(),
        will: packet.will,
        limits_met: LimitsMet::default(),
        has_backlog: true,
        tally: Tally::default(),
    };
    Ok((session, answer))
}

/// What every client must keep to, whoever it is.
fn check_limits(settings: &Mqtt, packet: &Connect) -> Result<(), Refusal> {
    if packet.client_id.len() > usize::from(settings.max_client_id_bytes) {
        return Err(Refusal::ClientIdTooLong);
    }
    let Some(will) = &packet.will else {
        return Ok(());
    };
    let topic_name = &will.message.topic_name;
    if will.message.qos.as_u8() > settings.maximum_qos {
        return Err(Refusal::WillQos);
    }
    if will.message.retain && !settings.retain_available {
        return Err(Refusal::WillRetain);
    }
    if topic_name.level_count() > usize::from(settings.max_topic_levels)
        || retain::is_sys(topic_name)
    {
        return Err(Refusal::WillTopic);
    }
    Ok(())
}

/// Claims the client and waits for its previous owner, for as long as `mqtt.connect_timeout`.
///
/// It goes on in the background then: the claim may have been made, or will be, and the previous
/// owner goes away; so the session must be let go afterwards.
async fn obtain(
    rooms: &Arc<Rooms>,
    client_id: &Str,
    claim: Claim,
    outbox: &Arc<Outbox>,
) -> Result<Claimed, ClaimError> {
    let deadline = Instant::now() + rooms.config.mqtt.connect_timeout;
    let turn = timeout_at(deadline, rooms.registry.turn(client_id));
    let turn = turn.await.map_err(|_| ClaimError::Unavailable)?;
    let (answer, mut receiver) = oneshot::channel();
    let (rooms_there, client_id, outbox) =
        (Arc::clone(rooms), client_id.clone(), Arc::clone(outbox));
    rooms.shutdown.spawn(async move {
        let rooms = rooms_there;
        let _turn = turn;
        let expiry_interval = claim.expiry_interval;
        let claimed = rooms
            .registry
            .claim(&rooms.cluster, &client_id, claim, &outbox);
        let result = match claimed.await {
            Ok(mut claimed) => match take_over(&rooms, &client_id, &mut claimed).await {
                Ok(()) => Ok(claimed),
                Err(error) => {
                    give_up(&rooms, &client_id, &claimed, expiry_interval).await;
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        if let Err(Ok(claimed)) = answer.send(result) {
            give_up(&rooms, &client_id, &claimed, expiry_interval).await;
        }
    });
    let answer = match timeout_at(deadline, &mut receiver).await {
        Ok(answer) => answer.ok(),
        Err(_) => {
            receiver.close();
            receiver.try_recv().ok()
        }
    };
    answer.unwrap_or(Err(ClaimError::Unavailable))
}

/// Waits until the previous owner has handed over [MQTT-3.1.4-3], and reads what it left. What the
/// client sent through other nodes comes before what it will send through this one (guarantee G4).
async fn take_over(
    rooms: &Rooms,
    client_id: &Str,
    claimed: &mut Claimed,
) -> Result<(), ClaimError> {
    let heard = rooms.cluster.heard();
    let is_present = claimed.is_present;
    if let Some(owner) = claimed.previous
        && owner.node != rooms.cluster.node
    {
        rooms.cluster.evict(client_id, owner, is_present).await;
    }
    // Those of this node, also one that the database does not know of: another node had claimed the client
    // meanwhile and died before it told us, and with it the owner was forgotten.
    let was_here = rooms
        .registry
        .evict_older(client_id, claimed.epoch, is_present)
        .await;
    heard.await;
    if is_present && (was_here || claimed.previous.is_some()) {
        claimed.kept = rooms.cluster.kept(claimed.session).await?;
    }
    Ok(())
}

/// The claim leads to nothing: a session that was there goes on waiting for its client, a new one has
/// never been. Returns when that is durable.
async fn give_up(rooms: &Rooms, client_id: &Str, claimed: &Claimed, expiry_interval: u32) {
    let detached = Detached {
        session: claimed.session,
        client_id: client_id.as_str().to_owned(),
        epoch: claimed.epoch,
        // [MQTT-3.2.2-2] The client has heard of no session.
        expiry_interval: if claimed.is_present {
            expiry_interval
        } else {
            0
        },
        will: WillFate::Discard,
    };
    let ticket = rooms.cluster.durable.add(Urgency::Later, |filling| {
        filling.change(|batch| batch.detached.push(detached));
    });
    rooms.cluster.progress.reach(ticket).await;
    rooms.registry.finish(client_id, claimed.epoch);
}

/// Seconds that the session outlives its connection. MQTT 3 knows only none and for ever.
fn expiry(rooms: &Rooms, packet: &Connect) -> u32 {
    let settings = &rooms.config.mqtt;
    match packet.version {
        ProtocolVersion::V5 => {
            settings.session_expiry(packet.properties.session_expiry_interval.unwrap_or(0))
        }
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 if packet.clean_start => 0,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => settings.session_expiry(u32::MAX),
    }
}

fn new_will(client_id: &Str, will: &mqtt::Will) -> NewWill {
    let body = Publication::encode_will(client_id.clone(), will.message.clone());
    NewWill {
        body,
        delay_interval: will.delay_interval,
    }
}

/// A client ID that nobody in the cluster has [MQTT-3.1.3-6] [MQTT-3.2.2-16], and that nobody can
/// have taken beforehand because nobody can guess it: 128 bits of a keyed hash.
fn new_client_id() -> Str {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one(number));
    Str::new(format!("auto-{high:016x}{low:016x}")).unwrap_or_default()
}

/// Only what is not available needs to be said.
fn told(is_available: bool) -> Option<bool> {
    (!is_available).then_some(false)
}

/// The answer: what was granted, and every limit that differs from the default. Whether there was
/// a session is not known yet.
fn connack(
    rooms: &Rooms,
    packet: &Connect,
    assigned: Option<Str>,
    expiry_interval: u32,
) -> ConnAck {
    let settings = &rooms.config.mqtt;
    let asked_expiry = packet.properties.session_expiry_interval.unwrap_or(0);
    let keep_alive = settings.keep_alive(packet.keep_alive);
    let receive_maximum = std::num::NonZeroU16::new(settings.server_receive_maximum);
    let maximum_qos = Qos::try_from(settings.maximum_qos).ok();
    let maximum_packet_size = std::num::NonZeroU32::new(settings.server_maximum_packet_size);
    let properties = ConnAckProperties {
        session_expiry_interval: (expiry_interval != asked_expiry).then_some(expiry_interval),
        receive_maximum: receive_maximum.filter(|maximum| maximum.get() != u16::MAX),
        maximum_qos: maximum_qos.filter(|qos| *qos != Qos::ExactlyOnce), // [MQTT-3.2.2-9]
        maximum_packet_size: maximum_packet_size.filter(|size| size.get() < PROTOCOL_MAXIMUM),
        assigned_client_identifier: assigned, // [MQTT-3.2.2-16]
        topic_alias_maximum: Some(settings.server_topic_alias_maximum),
        server_keep_alive: (keep_alive != packet.keep_alive).then_some(keep_alive), // [MQTT-3.2.2-21]
        retain_available: told(settings.retain_available),
        wildcard_subscription_available: told(settings.wildcard_subscription_available),
        subscription_identifiers_available: told(settings.subscription_identifiers_available),
        shared_subscription_available: told(settings.shared_subscription_available),
        ..ConnAckProperties::default()
    };
    ConnAck {
        session_present: false,
        reason_code: ReasonCode::Success,
        properties: Box::new(properties),
    }
}
