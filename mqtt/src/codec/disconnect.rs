//! DISCONNECT (section 3.14).

use bytes::BytesMut;

use super::Side;
use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::packet;
use crate::{Disconnect, DisconnectProperties, EncodeError, ProtocolVersion, ReasonCode};

/// What a client may say [MQTT-3.14.2-1] (table 3-10).
const FROM_CLIENT: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::DisconnectWithWillMessage,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::TopicNameInvalid,
    ReasonCode::ReceiveMaximumExceeded,
    ReasonCode::TopicAliasInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::MessageRateTooHigh,
    ReasonCode::QuotaExceeded,
    ReasonCode::AdministrativeAction,
    ReasonCode::PayloadFormatInvalid,
];

/// What a server may say [MQTT-3.14.2-1] (table 3-10). Success is a client's word, but the
/// short form of the packet cannot mean anything else.
const FROM_SERVER: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::ServerBusy,
    ReasonCode::ServerShuttingDown,
    ReasonCode::BadAuthenticationMethod,
    ReasonCode::KeepAliveTimeout,
    ReasonCode::SessionTakenOver,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::TopicNameInvalid,
    ReasonCode::ReceiveMaximumExceeded,
    ReasonCode::TopicAliasInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::MessageRateTooHigh,
    ReasonCode::QuotaExceeded,
    ReasonCode::AdministrativeAction,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QosNotSupported,
    ReasonCode::UseAnotherServer,
    ReasonCode::ServerMoved,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::ConnectionRateExceeded,
    ReasonCode::MaximumConnectTime,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
];

pub(super) fn decode(
    mut reader: Reader<'_>,
    version: ProtocolVersion,
    side: Side,
) -> Result<Disconnect, Fault> {
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    if version == ProtocolVersion::V5 && !reader.is_empty() {
        // The reason code and then the properties may be left out (section 3.14.2).
        disconnect.reason_code = reader.reason_code(match side {
            Side::Server => FROM_CLIENT,
            Side::Client => FROM_SERVER,
        })?;
        if !reader.is_empty() {
            disconnect.properties = decode_properties(&mut reader, side)?;
        }
    }
    reader.finish()?;
    Ok(disconnect)
}

fn decode_properties(reader: &mut Reader<'_>, side: Side) -> Result<DisconnectProperties, Fault> {
    let mut properties = DisconnectProperties::default();
    let mut section = reader.properties()?;
    while let Some(property) = section.property()? {
        match property {
            Property::SessionExpiryInterval => {
                if side == Side::Client {
                    return Err(Fault::SessionExpiryFromServer); // [MQTT-3.14.2-2]
                }
                once(&mut properties.session_expiry_interval, section.u32()?)?;
            }
            Property::ReasonString => once(&mut properties.reason_string, section.string()?)?,
            Property::ServerReference => once(&mut properties.server_reference, section.string()?)?,
            Property::UserProperty => properties.user_properties.push(section.string_pair()?),
            _ => return Err(Fault::PropertyNotAllowed),
        }
    }
    Ok(properties)
}

pub(super) fn encode(
    first_byte: u8,
    disconnect: &Disconnect,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let properties = &disconnect.properties;
    packet(first_byte, buffer, |writer| {
        if version != ProtocolVersion::V5 {
            return Ok(());
        }
        let short = properties.is_empty();
        if !short || disconnect.reason_code != ReasonCode::Success {
            writer.u8(disconnect.reason_code.as_u8());
        }
        if short {
            return Ok(());
        }
        writer.properties(|writer| {
            writer.property_u32(
                Property::SessionExpiryInterval,
                properties.session_expiry_interval,
            );
            writer.property_string(Property::ReasonString, properties.reason_string.as_ref())?;
            writer.user_properties(&properties.user_properties)?;
            writer.property_string(
                Property::ServerReference,
                properties.server_reference.as_ref(),
            )
        })
    })
}
