//! What the MQTT specification says: packets, their codec, topics and reason codes.
//!
//! MQTT 3.1, 3.1.1 and 5.0, decoded and encoded for either side of a connection. The
//! decoder refuses whatever the specification calls malformed or a protocol error, as far
//! as one packet alone can show it. No I/O, no clock, no log. Section numbers and statement
//! tags are those of MQTT 5; a tag of MQTT 3.1.1 begins with MQTT3 instead.

mod acknowledgement;
mod auth;
pub mod codec;
mod connack;
mod connect;
mod disconnect;
mod message;
mod packet;
mod packet_id;
mod publish;
mod qos;
mod reason_code;
mod str;
mod subscribe;
mod topic;
mod unsubscribe;
mod version;

pub use acknowledgement::{Ack, AckProperties};
pub use auth::{Auth, AuthProperties};
pub use codec::{
    DecodeError, Decoder, EncodeError, MAXIMUM_PACKET_SIZE_BYTES, Side, encode,
    encode_publish_header, publish_size,
};
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use message::{Message, MessageProperties, PropertyValues};
pub use packet::{Packet, PacketType};
pub use packet_id::PacketId;
pub use publish::{Publish, PublishHeader};
pub use qos::{InvalidQos, Qos};
pub use reason_code::ReasonCode;
pub use str::{Str, StrError};
pub use subscribe::{RetainHandling, SubAck, Subscribe, Subscription, SubscriptionOptions};
pub use topic::{Share, TopicError, TopicFilter, TopicName};
pub use unsubscribe::{UnsubAck, Unsubscribe};
pub use version::ProtocolVersion;
