//! CONNACK (section 3.2).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BytesMut;

use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::{Writer, packet};
use crate::{ConnAck, ConnAckProperties, EncodeError, ProtocolVersion, Qos, ReasonCode};

/// Reason codes of CONNACK [MQTT-3.2.2-8].
const ANSWERS: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
    ReasonCode::ServerUnavailable,
    ReasonCode::ServerBusy,
    ReasonCode::Banned,
    ReasonCode::BadAuthenticationMethod,
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::QuotaExceeded,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QosNotSupported,
    ReasonCode::UseAnotherServer,
    ReasonCode::ServerMoved,
    ReasonCode::ConnectionRateExceeded,
];

pub(super) fn decode(mut reader: Reader<'_>, version: ProtocolVersion) -> Result<ConnAck, Fault> {
    let flags = reader.u8()?;
    // MQTT 3.1 reserves this byte and gives its bits no value.
    if version != ProtocolVersion::V3_1 && flags > 1 {
        return Err(Fault::AcknowledgeFlag); // [MQTT-3.2.2-1]
    }
    let reason_code = match version {
        ProtocolVersion::V5 => reader.reason_code(ANSWERS)?,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => {
            from_return_code(reader.u8()?).ok_or(Fault::ReasonCode)?
        }
    };
    let session_present = version != ProtocolVersion::V3_1 && flags == 1;
    if session_present && reason_code != ReasonCode::Success {
        return Err(Fault::SessionPresent); // [MQTT-3.2.2-6]
    }
    let mut connack = ConnAck::new(session_present, reason_code);
    if version == ProtocolVersion::V5 {
        let mut section = reader.properties()?;
        while let Some(property) = section.property()? {
            decode_property(property, &mut section, &mut connack.properties)?;
        }
    }
    reader.finish()?;
    Ok(connack)
}

fn decode_property(
    property: Property,
    section: &mut Reader<'_>,
    properties: &mut ConnAckProperties,
) -> Result<(), Fault> {
    use Property as P;
    let p = properties;
    match property {
        P::SessionExpiryInterval => once(&mut p.session_expiry_interval, section.u32()?),
        P::ReceiveMaximum => {
            let value = NonZeroU16::new(section.u16()?).ok_or(Fault::PropertyZero)?;
            once(&mut p.receive_maximum, value)
        }
        P::MaximumQos => {
            let qos = if section.bool()? {
                Qos::AtLeastOnce
            } else {
                Qos::AtMostOnce
            };
            once(&mut p.maximum_qos, qos)
        }
        P::RetainAvailable => once(&mut p.retain_available, section.bool()?),
        P::MaximumPacketSize => {
            let value = NonZeroU32::new(section.u32()?).ok_or(Fault::PropertyZero)?;
            once(&mut p.maximum_packet_size, value)
        }
        P::AssignedClientIdentifier => once(&mut p.assigned_client_identifier, section.string()?),
        P::TopicAliasMaximum => once(&mut p.topic_alias_maximum, section.u16()?),
        P::ReasonString => once(&mut p.reason_string, section.string()?),
        P::UserProperty => {
            p.user_properties.push(section.string_pair()?);
            Ok(())
        }
        P::WildcardSubscriptionAvailable => {
            once(&mut p.wildcard_subscription_available, section.bool()?)
        }
        P::SubscriptionIdentifiersAvailable => {
            once(&mut p.subscription_identifiers_available, section.bool()?)
        }
        P::SharedSubscriptionAvailable => {
            once(&mut p.shared_subscription_available, section.bool()?)
        }
        P::ServerKeepAlive => once(&mut p.server_keep_alive, section.u16()?),
        P::ResponseInformation => once(&mut p.response_information, section.string()?),
        P::ServerReference => once(&mut p.server_reference, section.string()?),
        P::AuthenticationMethod => once(&mut p.authentication_method, section.string()?),
        P::AuthenticationData => once(&mut p.authentication_data, section.binary()?),
        _ => Err(Fault::PropertyNotAllowed),
    }
}

pub(super) fn encode(
    first_byte: u8,
    connack: &ConnAck,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let session_present = connack.session_present
        && connack.reason_code == ReasonCode::Success // [MQTT-3.2.2-6]
        && version != ProtocolVersion::V3_1;
    packet(first_byte, buffer, |writer| {
        writer.u8(u8::from(session_present));
        match version {
            ProtocolVersion::V5 => {
                writer.u8(connack.reason_code.as_u8());
                writer.properties(|writer| encode_properties(&connack.properties, writer))
            }
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => {
                writer.u8(to_return_code(connack.reason_code));
                Ok(())
            }
        }
    })
}

fn encode_properties(
    properties: &ConnAckProperties,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    use Property as P;
    let (w, p) = (writer, properties);
    w.property_u32(P::SessionExpiryInterval, p.session_expiry_interval);
    w.property_u16(P::ReceiveMaximum, p.receive_maximum.map(NonZeroU16::get));
    // The property has no value for QoS 2, which its absence means.
    let maximum_qos = p.maximum_qos.filter(|qos| *qos != Qos::ExactlyOnce);
    w.property_u8(P::MaximumQos, maximum_qos.map(Qos::as_u8));
    w.property_bool(P::RetainAvailable, p.retain_available);
    w.property_u32(
        P::MaximumPacketSize,
        p.maximum_packet_size.map(NonZeroU32::get),
    );
    w.property_string(
        P::AssignedClientIdentifier,
        p.assigned_client_identifier.as_ref(),
    )?;
    w.property_u16(P::TopicAliasMaximum, p.topic_alias_maximum);
    w.property_string(P::ReasonString, p.reason_string.as_ref())?;
    w.user_properties(&p.user_properties)?;
    w.property_bool(
        P::WildcardSubscriptionAvailable,
        p.wildcard_subscription_available,
    );
    w.property_bool(
        P::SubscriptionIdentifiersAvailable,
        p.subscription_identifiers_available,
    );
    w.property_bool(
        P::SharedSubscriptionAvailable,
        p.shared_subscription_available,
    );
    w.property_u16(P::ServerKeepAlive, p.server_keep_alive);
    w.property_string(P::ResponseInformation, p.response_information.as_ref())?;
    w.property_string(P::ServerReference, p.server_reference.as_ref())?;
    w.property_string(P::AuthenticationMethod, p.authentication_method.as_ref())?;
    w.property_field(P::AuthenticationData, p.authentication_data.as_deref())
}

/// The return codes of MQTT 3 (MQTT 3.1.1, table 3.1).
fn from_return_code(value: u8) -> Option<ReasonCode> {
    Some(match value {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return None,
    })
}

/// The nearest return code: 5 for what will be refused again, 3 for what may pass.
fn to_return_code(code: ReasonCode) -> u8 {
    use ReasonCode as R;
    match code {
        R::UnsupportedProtocolVersion => 1,
        R::ClientIdentifierNotValid => 2,
        R::BadUserNameOrPassword => 4,
        R::MalformedPacket
        | R::ProtocolError
        | R::NotAuthorized
        | R::Banned
        | R::BadAuthenticationMethod
        | R::TopicNameInvalid
        | R::PacketTooLarge
        | R::PayloadFormatInvalid
        | R::RetainNotSupported
        | R::QosNotSupported => 5,
        _ if code.is_error() => 3,
        _ => 0,
    }
}
