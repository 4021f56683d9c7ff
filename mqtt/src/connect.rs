//! CONNECT (section 3.1).

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use crate::{Message, ProtocolVersion, Str};

/// A CONNECT packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// The version that the client speaks.
    pub version: ProtocolVersion,
    /// Empty if the server is to choose one.
    pub client_id: Str,
    /// Clean Start; in MQTT 3 Clean Session.
    pub clean_start: bool,
    /// Seconds; 0 for none.
    pub keep_alive: u16,
    /// Absent is not the same as empty.
    pub username: Option<Str>,
    /// Any bytes. Absent is not the same as empty.
    pub password: Option<Bytes>,
    /// What the server publishes when the connection ends without DISCONNECT.
    pub will: Option<Box<Will>>,
    /// What MQTT 5 adds; empty in MQTT 3.
    pub properties: ConnectProperties,
}

/// A Will Message and when it is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Will {
    /// Seconds between the end of the connection and the publication; 0 if not given.
    pub delay_interval: u32,
    /// What is published.
    pub message: Message,
}

/// The properties of CONNECT (section 3.1.2.11).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Seconds; 0xFFFF_FFFF for ever; 0 if absent.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once; 65 535 if absent.
    pub receive_maximum: Option<NonZeroU16>,
    /// Largest packet in bytes that the client takes; no limit if absent.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Highest topic alias that the client takes; 0 if absent.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the client asks for Response Information; false if absent.
    pub request_response_information: Option<bool>,
    /// Whether reason strings and user properties may be sent on failures; true if absent.
    pub request_problem_information: Option<bool>,
    /// The client's own names and values.
    pub user_properties: Vec<(Str, Str)>,
    /// Name of the method of enhanced authentication.
    pub authentication_method: Option<Str>,
    /// Present only with a method.
    pub authentication_data: Option<Bytes>,
}

/// How a secret appears in debug output.
pub(crate) fn hidden(secret: Option<&Bytes>) -> Option<impl fmt::Debug> {
    secret.map(|_| format_args!("[hidden]"))
}

/// Never shows the password.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("username", &self.username)
            .field("password", &hidden(self.password.as_ref()))
            .field("will", &self.will)
            .field("properties", &self.properties)
            .finish()
    }
}

/// Never shows the authentication data.
impl fmt::Debug for ConnectProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProperties")
            .field("session_expiry_interval", &self.session_expiry_interval)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field(
                "request_response_information",
                &self.request_response_information,
            )
            .field(
                "request_problem_information",
                &self.request_problem_information,
            )
            .field("user_properties", &self.user_properties)
            .field("authentication_method", &self.authentication_method)
            .field(
                "authentication_data",
                &hidden(self.authentication_data.as_ref()),
            )
            .finish()
    }
}
