//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use bytes::BytesMut;

use super::acknowledgement;
use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::packet;
use crate::{
    AckProperties, EncodeError, ProtocolVersion, Qos, ReasonCode, SubAck, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter,
};

/// Reason codes of SUBACK [MQTT-3.9.3-2].
const ANSWERS: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::GrantedQos1,
    ReasonCode::GrantedQos2,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
];

/// Return codes of SUBACK in MQTT 3 [MQTT3-3.9.3-2].
const ANSWERS_3: &[ReasonCode] = &[
    ReasonCode::Success,
    ReasonCode::GrantedQos1,
    ReasonCode::GrantedQos2,
    ReasonCode::UnspecifiedError,
];

pub(super) fn decode(mut reader: Reader<'_>, version: ProtocolVersion) -> Result<Subscribe, Fault> {
    let mut subscribe = Subscribe {
        packet_id: reader.packet_id()?,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: Vec::new(),
    };
    if version == ProtocolVersion::V5 {
        decode_properties(&mut reader, &mut subscribe)?;
    }
    while !reader.is_empty() {
        let filter = reader.topic_filter()?; // [MQTT-3.8.3-1]
        let options = decode_options(reader.u8()?, version, &filter)?;
        subscribe
            .subscriptions
            .push(Subscription { filter, options });
    }
    if subscribe.subscriptions.is_empty() {
        return Err(Fault::Empty); // [MQTT-3.8.3-2]
    }
    Ok(subscribe)
}

fn decode_properties(reader: &mut Reader<'_>, subscribe: &mut Subscribe) -> Result<(), Fault> {
    let mut section = reader.properties()?;
    while let Some(property) = section.property()? {
        match property {
            Property::SubscriptionIdentifier => {
                let identifier = section.variable()?;
                if identifier == 0 {
                    return Err(Fault::SubscriptionIdZero); // section 3.8.2.1.2
                }
                once(&mut subscribe.subscription_identifier, identifier)?;
            }
            Property::UserProperty => subscribe.user_properties.push(section.string_pair()?),
            _ => return Err(Fault::PropertyNotAllowed),
        }
    }
    Ok(())
}

fn decode_options(
    byte: u8,
    version: ProtocolVersion,
    filter: &TopicFilter,
) -> Result<SubscriptionOptions, Fault> {
    let reserved = match version {
        ProtocolVersion::V5 => 0b1100_0000,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => 0b1111_1100, // [MQTT3-3.8.3-4]
    };
    if byte & reserved != 0 {
        return Err(Fault::SubscriptionOption); // [MQTT-3.8.3-5]
    }
    if Qos::from_u8(byte & 0b11).is_none() {
        return Err(Fault::SubscriptionQos);
    }
    let options = SubscriptionOptions::from_byte(byte).ok_or(Fault::RetainHandling)?;
    if options.no_local && filter.share().is_some() {
        return Err(Fault::NoLocalShared); // [MQTT-3.8.3-4]
    }
    Ok(options)
}

pub(super) fn decode_ack(
    mut reader: Reader<'_>,
    version: ProtocolVersion,
) -> Result<SubAck, Fault> {
    let packet_id = reader.packet_id()?;
    let (properties, allowed) = match version {
        ProtocolVersion::V5 => (acknowledgement::decode_properties(&mut reader)?, ANSWERS),
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => (AckProperties::default(), ANSWERS_3),
    };
    let mut reason_codes = Vec::with_capacity(reader.remaining());
    while !reader.is_empty() {
        reason_codes.push(reader.reason_code(allowed)?);
    }
    if reason_codes.is_empty() {
        return Err(Fault::Empty); // [MQTT-3.8.4-6]
    }
    Ok(SubAck {
        packet_id,
        properties,
        reason_codes,
    })
}

pub(super) fn encode(
    first_byte: u8,
    subscribe: &Subscribe,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    if subscribe.subscriptions.is_empty() {
        return Err(EncodeError::Empty); // [MQTT-3.8.3-2]
    }
    packet(first_byte, buffer, |writer| {
        writer.packet_id(subscribe.packet_id);
        if version == ProtocolVersion::V5 {
            writer.properties(|writer| {
                if let Some(identifier) = subscribe.subscription_identifier {
                    writer.subscription_identifier(identifier)?;
                }
                writer.user_properties(&subscribe.user_properties)
            })?;
        }
        for Subscription { filter, options } in &subscribe.subscriptions {
            writer.field(filter.as_shared().as_bytes())?;
            writer.u8(match version {
                ProtocolVersion::V5 => options.to_byte(),
                ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => options.qos.as_u8(),
            });
        }
        Ok(())
    })
}

pub(super) fn encode_ack(
    first_byte: u8,
    suback: &SubAck,
    version: ProtocolVersion,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    if suback.reason_codes.is_empty() {
        return Err(EncodeError::Empty); // [MQTT-3.8.4-6]
    }
    packet(first_byte, buffer, |writer| {
        writer.packet_id(suback.packet_id);
        if version == ProtocolVersion::V5 {
            acknowledgement::encode_properties(&suback.properties, writer)?;
        }
        for code in &suback.reason_codes {
            // MQTT 3 knows one failure only [MQTT3-3.9.3-2].
            let told = if version != ProtocolVersion::V5 && code.is_error() {
                ReasonCode::UnspecifiedError
            } else {
                *code
            };
            writer.u8(told.as_u8());
        }
        Ok(())
    })
}
