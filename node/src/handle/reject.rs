//! Why a packet ends the connection.

use mqtt::ReasonCode;

use crate::{auth::Denied, session::AliasError};

/// Why a packet is refused so that the connection ends. Each room contributes its own error;
/// this one gives them a meaning on the wire.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reject {
    /// The packet cannot be read, or is not allowed.
    #[error(transparent)]
    Malformed(#[from] mqtt::DecodeError),
    /// A Topic Alias that means nothing.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// More PUBLISH packets in flight than our Receive Maximum [MQTT-3.3.4-7].
    #[error("more QoS 1 and 2 messages in flight than the receive maximum")]
    WindowFull,
    /// A QoS that CONNACK excluded [MQTT-3.2.2-11].
    #[error("QoS above the maximum of this broker")]
    QosNotSupported,
    /// A topic name with more levels than we walk.
    #[error("topic name with more than {0} levels")]
    TooDeep(usize),
    /// The re-authentication fails [MQTT-4.12.1-2].
    #[error("re-authentication failed")]
    Auth(#[from] Denied),
    /// An answer that the client needs is larger than it accepts [MQTT-3.1.2-24].
    #[error("an AUTH packet would be larger than the client accepts")]
    AnswerTooLarge,
    /// RETAIN, which CONNACK excluded [MQTT-3.2.2-14].
    #[error("retained messages are not available")]
    RetainNotSupported,
    /// A wildcard in a topic filter, which CONNACK excluded (section 3.2.2.3.11).
    #[error("wildcard subscriptions are not available")]
    WildcardsNotSupported,
    /// A Subscription Identifier, which CONNACK excluded (section 3.2.2.3.12).
    #[error("subscription identifiers are not available")]
    IdentifiersNotSupported,
    /// A shared subscription, which CONNACK excluded (section 3.2.2.3.13).
    #[error("shared subscriptions are not available")]
    SharesNotSupported,
    /// The database or another node has not answered for too long. What became of the packet is not
    /// known: a client that comes back and sends it again loses nothing.
    #[error("the database did not take what the client waits for within mqtt.acknowledge_timeout")]
    Overdue,
    /// Something that the protocol forbids.
    #[error("{0}")]
    Protocol(&'static str),
}

impl Reject {
    /// What DISCONNECT says [MQTT-4.13.1-1].
    pub(crate) fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Malformed(error) => error.reason_code(),
            Self::Alias(AliasError::TooLarge(_)) => ReasonCode::TopicAliasInvalid,
            Self::Alias(AliasError::Unknown(_)) | Self::Protocol(_) => ReasonCode::ProtocolError,
            Self::WindowFull => ReasonCode::ReceiveMaximumExceeded,
            Self::TooDeep(_) => ReasonCode::TopicNameInvalid,
            Self::QosNotSupported => ReasonCode::QosNotSupported,
            Self::Auth(denied) => denied.disconnect_code(),
            Self::AnswerTooLarge => ReasonCode::PacketTooLarge,
            Self::RetainNotSupported => ReasonCode::RetainNotSupported,
            Self::WildcardsNotSupported => ReasonCode::WildcardSubscriptionsNotSupported,
            Self::IdentifiersNotSupported => ReasonCode::SubscriptionIdentifiersNotSupported,
            Self::SharesNotSupported => ReasonCode::SharedSubscriptionsNotSupported,
            Self::Overdue => ReasonCode::ServerBusy,
        }
    }

    /// For the metric: what was wrong, from a closed set.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.label(),
            Self::Alias(_) => "topic_alias",
            Self::WindowFull => "receive_maximum",
            Self::TooDeep(_) => "topic_levels",
            Self::QosNotSupported => "maximum_qos",
            Self::Auth(_) => "authentication",
            Self::AnswerTooLarge => "answer_too_large",
            Self::RetainNotSupported => "retain_available",
            Self::WildcardsNotSupported => "wildcard_subscription_available",
            Self::IdentifiersNotSupported => "subscription_identifiers_available",
            Self::SharesNotSupported => "shared_subscription_available",
            Self::Overdue => "acknowledge_timeout",
            Self::Protocol(_) => "protocol",
        }
    }
}
