//! What is wrong with a packet.

use crate::topic::TopicError;
use crate::{PacketType, ReasonCode, StrError};

/// Why bytes are not a packet, or not one that may arrive now.
///
/// The text names the packet and the fault. The connection cannot go on: what follows in
/// the buffer has no meaning. In MQTT 5 the peer may be told [the reason
/// code](Self::reason_code), in MQTT 3 only a CONNECT has an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", .packet.map_or("packet", PacketType::name))]
pub struct DecodeError {
    packet: Option<PacketType>,
    fault: Fault,
}

impl DecodeError {
    pub(super) const fn new(packet: Option<PacketType>, fault: Fault) -> Self {
        Self { packet, fault }
    }

    /// What the peer is told in MQTT 5.
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        self.fault.class().0
    }

    /// The kind of packet; none if the number of its kind is reserved.
    #[must_use]
    pub const fn packet(&self) -> Option<PacketType> {
        self.packet
    }

    /// A short word for metrics, from a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        self.fault.class().1
    }
}

/// What is wrong, without the packet in which it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("reserved packet type (section 2.1.2)")]
    ReservedType,
    #[error("reserved flags in the fixed header [MQTT-2.1.3-1]")]
    ReservedFlags,
    #[error("variable byte integer longer than four bytes (section 1.5.5)")]
    IntegerTooLong,
    #[error("variable byte integer with needless bytes [MQTT-1.5.5-1]")]
    IntegerNotMinimal,
    #[error("larger than the maximum packet size [MQTT-3.1.2-24]")]
    TooLarge,
    #[error("not a packet that this side may receive (section 2.1.2)")]
    Direction,
    #[error("before CONNECT [MQTT-3.1.0-1]")]
    NotConnected,
    #[error("second CONNECT [MQTT-3.1.0-2]")]
    ConnectedTwice,
    #[error("protocol version not known yet")]
    VersionUnknown,
    #[error("ends within a field")]
    Truncated,
    #[error("bytes after the last field")]
    TrailingBytes,
    #[error("string is not UTF-8 [MQTT-1.5.4-1]")]
    NotUtf8,
    #[error("string contains U+0000 [MQTT-1.5.4-2]")]
    Nul,
    #[error("packet identifier is zero [MQTT-2.2.1-3]")]
    PacketIdZero,
    #[error("unknown protocol name [MQTT-3.1.2-1]")]
    ProtocolName,
    #[error("unsupported protocol version [MQTT-3.1.2-2]")]
    ProtocolLevel,
    #[error("reserved connect flag [MQTT-3.1.2-3]")]
    ConnectFlag,
    #[error("will QoS without a will [MQTT-3.1.2-11]")]
    WillQosWithoutWill,
    #[error("will QoS is 3 [MQTT-3.1.2-12]")]
    WillQos,
    #[error("will retain without a will [MQTT-3.1.2-13]")]
    WillRetainWithoutWill,
    #[error("password without a user name [MQTT3-3.1.2-22]")]
    PasswordWithoutUserName,
    #[error("client identifier is empty [MQTT3-3.1.3-8]")]
    ClientIdEmpty,
    #[error("client identifier has more than 23 characters (MQTT 3.1, section 3.1)")]
    ClientIdTooLong,
    #[error("will topic is empty [MQTT-4.7.3-1]")]
    WillTopicEmpty,
    #[error("will topic contains a wildcard [MQTT-3.3.2-2]")]
    WillTopicWildcard,
    #[error("authentication data without a method (section 3.1.2.11.10)")]
    DataWithoutMethod,
    #[error("no authentication method (section 3.15.2.2.2)")]
    NoMethod,
    #[error("reserved acknowledge flag [MQTT-3.2.2-1]")]
    AcknowledgeFlag,
    #[error("session present with a failure [MQTT-3.2.2-6]")]
    SessionPresent,
    #[error("QoS is 3 [MQTT-3.3.1-4]")]
    Qos,
    #[error("DUP at QoS 0 [MQTT-3.3.1-2]")]
    DupAtQos0,
    #[error("topic name is empty [MQTT-4.7.3-1]")]
    TopicEmpty,
    #[error("no topic name and no topic alias (section 3.3.2.1)")]
    NoTopic,
    #[error("topic name contains a wildcard [MQTT-3.3.2-2]")]
    TopicWildcard,
    #[error("topic alias is zero [MQTT-3.3.2-8]")]
    TopicAliasZero,
    #[error("response topic is empty or contains a wildcard [MQTT-3.3.2-14]")]
    ResponseTopic,
    #[error("subscription identifier from a client [MQTT-3.3.4-6]")]
    SubscriptionIdFromClient,
    #[error("subscription identifier is zero (section 3.8.2.1.2)")]
    SubscriptionIdZero,
    #[error("unknown property (section 2.2.2.2)")]
    PropertyUnknown,
    #[error("property of another packet (section 2.2.2.2)")]
    PropertyNotAllowed,
    #[error("property more than once (section 2.2.2.2)")]
    PropertyTwice,
    #[error("property is zero where it must not be (sections 3.1.2.11 and 3.2.2.3)")]
    PropertyZero,
    #[error("property is neither 0 nor 1 (sections 3.1.2.11, 3.2.2.3 and 3.3.2.3)")]
    PropertyNotBool,
    #[error("session expiry interval from the server [MQTT-3.14.2-2]")]
    SessionExpiryFromServer,
    #[error("not a reason code of this packet (section 2.4)")]
    ReasonCode,
    #[error("nothing in the payload [MQTT-3.8.3-2] [MQTT-3.10.3-2]")]
    Empty,
    #[error("reserved subscription option [MQTT-3.8.3-5]")]
    SubscriptionOption,
    #[error("subscription QoS is 3 (section 3.8.3.1)")]
    SubscriptionQos,
    #[error("retain handling is 3 (section 3.8.3.1)")]
    RetainHandling,
    #[error("no local on a shared subscription [MQTT-3.8.3-4]")]
    NoLocalShared,
    #[error("topic filter is empty [MQTT-4.7.3-1]")]
    FilterEmpty,
    #[error("multi-level wildcard is not the whole last level [MQTT-4.7.1-1]")]
    MultiLevelWildcard,
    #[error("single-level wildcard does not fill its level [MQTT-4.7.1-2]")]
    SingleLevelWildcard,
    #[error("share name is empty or contains a wildcard [MQTT-4.8.2-1] [MQTT-4.8.2-2]")]
    ShareName,
    #[error("no topic filter after the share name [MQTT-4.8.2-2]")]
    ShareFilter,
}

impl Fault {
    /// The reason code that the specification gives it, and its label.
    const fn class(self) -> (ReasonCode, &'static str) {
        use ReasonCode::{
            ClientIdentifierNotValid, MalformedPacket, PacketTooLarge, ProtocolError,
            TopicAliasInvalid, TopicNameInvalid, UnsupportedProtocolVersion,
        };
        match self {
            Self::ReservedType
            | Self::ReservedFlags
            | Self::IntegerTooLong
            | Self::IntegerNotMinimal => (MalformedPacket, "fixed_header"),
            Self::TooLarge => (PacketTooLarge, "too_large"),
            Self::Direction => (ProtocolError, "direction"),
            Self::NotConnected | Self::ConnectedTwice | Self::VersionUnknown => {
                (ProtocolError, "order")
            }
            Self::Truncated | Self::TrailingBytes => (MalformedPacket, "length"),
            Self::NotUtf8 | Self::Nul => (MalformedPacket, "string"),
            Self::PacketIdZero => (ProtocolError, "packet_id"),
            Self::ProtocolName | Self::ProtocolLevel => (UnsupportedProtocolVersion, "version"),
            Self::ConnectFlag
            | Self::WillQosWithoutWill
            | Self::WillQos
            | Self::WillRetainWithoutWill
            | Self::PasswordWithoutUserName => (MalformedPacket, "connect_flags"),
            Self::ClientIdEmpty | Self::ClientIdTooLong => (ClientIdentifierNotValid, "client_id"),
            Self::WillTopicEmpty
            | Self::WillTopicWildcard
            | Self::TopicEmpty
            | Self::TopicWildcard => (TopicNameInvalid, "topic_name"),
            Self::NoTopic => (ProtocolError, "topic_name"),
            Self::TopicAliasZero => (TopicAliasInvalid, "topic_alias"),
            Self::AcknowledgeFlag => (MalformedPacket, "acknowledge_flags"),
            Self::SessionPresent => (ProtocolError, "acknowledge_flags"),
            Self::Qos | Self::DupAtQos0 => (MalformedPacket, "qos"),
            Self::PropertyUnknown | Self::PropertyNotAllowed => (MalformedPacket, "property"),
            Self::DataWithoutMethod
            | Self::NoMethod
            | Self::ResponseTopic
            | Self::SubscriptionIdFromClient
            | Self::SubscriptionIdZero
            | Self::PropertyTwice
            | Self::PropertyZero
            | Self::PropertyNotBool
            | Self::SessionExpiryFromServer => (ProtocolError, "property"),
            Self::ReasonCode => (MalformedPacket, "reason_code"),
            Self::Empty => (ProtocolError, "empty"),
            Self::SubscriptionOption => (MalformedPacket, "subscription_options"),
            Self::SubscriptionQos | Self::RetainHandling | Self::NoLocalShared => {
                (ProtocolError, "subscription_options")
            }
            Self::FilterEmpty
            | Self::MultiLevelWildcard
            | Self::SingleLevelWildcard
            | Self::ShareName
            | Self::ShareFilter => (MalformedPacket, "topic_filter"),
        }
    }
}

impl From<StrError> for Fault {
    fn from(error: StrError) -> Self {
        match error {
            StrError::NotUtf8 => Self::NotUtf8,
            StrError::Nul => Self::Nul,
            StrError::TooLong => Self::Truncated, // its length could not have been read
        }
    }
}

impl From<TopicError> for Fault {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Str(error) => error.into(),
            TopicError::Empty => Self::FilterEmpty,
            TopicError::Wildcard => Self::TopicWildcard,
            TopicError::MultiLevelWildcard => Self::MultiLevelWildcard,
            TopicError::SingleLevelWildcard => Self::SingleLevelWildcard,
            TopicError::ShareName => Self::ShareName,
            TopicError::ShareFilter => Self::ShareFilter,
        }
    }
}

/// Why a packet cannot be written. Nothing has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than a fixed header can say.
    #[error("packet is longer than 268435460 bytes")]
    TooLarge,
    /// A string or binary field is longer than 65 535 bytes.
    #[error("field is longer than 65535 bytes")]
    FieldTooLong,
    /// A PUBLISH above QoS 0 has no packet identifier [MQTT-2.2.1-4].
    #[error("no packet identifier above quality of service 0")]
    NoPacketId,
    /// A PUBLISH has neither a topic name nor, in MQTT 5, a topic alias.
    #[error("no topic name")]
    NoTopic,
    /// SUBSCRIBE, UNSUBSCRIBE, SUBACK or (in MQTT 5) UNSUBACK without an entry.
    #[error("nothing in the payload")]
    Empty,
    /// A subscription identifier is 0 or above 268 435 455.
    #[error("subscription identifier out of range")]
    SubscriptionIdentifier,
    /// MQTT 3 has no password without a user name [MQTT3-3.1.2-22].
    #[error("password without a user name")]
    PasswordWithoutUserName,
    /// MQTT 3 has no AUTH.
    #[error("packet does not exist in this version")]
    NotInVersion,
}
