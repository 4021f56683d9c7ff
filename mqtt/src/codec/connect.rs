//! CONNECT (section 3.1).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BytesMut;

use super::error::Fault;
use super::property::{Property, once};
use super::publish::{decode_message_property, encode_message_properties};
use super::reader::Reader;
use super::writer::{Writer, packet};
use crate::{Connect, ConnectProperties, EncodeError, Message, ProtocolVersion, Qos, Will};

// Connect Flags (section 3.1.2.3).
const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USERNAME: u8 = 0b1000_0000;

/// Characters of a Client Identifier in MQTT 3.1 (its section 3.1); later versions have no limit.
const MAXIMUM_CLIENT_ID_3_1: usize = 23;

/// Reads a CONNECT. `known` becomes its version as soon as that is read.
pub(super) fn decode(
    mut reader: Reader<'_>,
    known: &mut Option<ProtocolVersion>,
) -> Result<Connect, Fault> {
    let version = decode_version(&mut reader)?;
    *known = Some(version);
    let flags = reader.u8()?;
    check_flags(flags, version)?;
    let keep_alive = reader.u16()?;
    let properties = match version {
        ProtocolVersion::V5 => decode_properties(&mut reader)?,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => ConnectProperties::default(),
    };
    let clean_start = flags & CLEAN_START != 0;
    let client_id = reader.string()?; // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
    let nameless = match version {
        ProtocolVersion::V3_1 => false,
        ProtocolVersion::V3_1_1 => clean_start, // [MQTT3-3.1.3-7] [MQTT3-3.1.3-8]
        ProtocolVersion::V5 => true,            // [MQTT-3.1.3-6]
    };
    if client_id.is_empty() && !nameless {
        return Err(Fault::ClientIdEmpty);
    }
    if version == ProtocolVersion::V3_1 && client_id.chars().count() > MAXIMUM_CLIENT_ID_3_1 {
        return Err(Fault::ClientIdTooLong);
    }
    let will = match flags & WILL {
        0 => None,
        _ => Some(Box::new(decode_will(&mut reader, flags, version)?)),
    };
    // In MQTT 3.1 the remaining length takes precedence over these two flags.
    let may_lack = version == ProtocolVersion::V3_1;
    let present = |flag, reader: &Reader<'_>| flags & flag != 0 && !(may_lack && reader.is_empty());
    let username = match present(USERNAME, &reader) {
        true => Some(reader.string()?), // [MQTT-3.1.3-12]
        false => None,
    };
    let password = match present(PASSWORD, &reader) {
        true => Some(reader.binary()?),
        false => None,
    };
    reader.finish()?;
    Ok(Connect {
        version,
        client_id,
        clean_start,
        keep_alive,
        username,
        password,
        will,
        properties,
    })
}

fn decode_version(reader: &mut Reader<'_>) -> Result<ProtocolVersion, Fault> {
    let name = reader.field()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(Fault::ProtocolName); // [MQTT-3.1.2-1]
    }
    let level = reader.u8()?;
    [
        ProtocolVersion::V3_1,
        ProtocolVersion::V3_1_1,
        ProtocolVersion::V5,
    ]
    .into_iter()
    .find(|version| level == version.level() && name == version.protocol_name().as_bytes())
    .ok_or(Fault::ProtocolLevel) // [MQTT-3.1.2-2]
}

fn will_qos(flags: u8) -> u8 {
    flags >> 3 & 0b11
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), Fault> {
    let has_will = flags & WILL != 0;
    if has_will && will_qos(flags) == 3 {
        return Err(Fault::WillQos); // [MQTT-3.1.2-12]
    }
    // [MQTT3-3.1.2-22]; MQTT 3.1 says the same, MQTT 5 allows it.
    if version != ProtocolVersion::V5 && flags & PASSWORD != 0 && flags & USERNAME == 0 {
        return Err(Fault::PasswordWithoutUserName);
    }
    if version == ProtocolVersion::V3_1 {
        return Ok(()); // does not use the reserved bit, nor those of a will that is not there
    }
    if flags & RESERVED != 0 {
        return Err(Fault::ConnectFlag); // [MQTT-3.1.2-3]
    }
    if !has_will && will_qos(flags) != 0 {
        return Err(Fault::WillQosWithoutWill); // [MQTT-3.1.2-11]
    }
    if !has_will && flags & WILL_RETAIN != 0 {
        return Err(Fault::WillRetainWithoutWill); // [MQTT-3.1.2-13]
    }
    Ok(())
}

fn decode_properties(reader: &mut Reader<'_>) -> Result<ConnectProperties, Fault> {
    use Property as P;
    let mut p = ConnectProperties::default();
    let mut section = reader.properties()?;
    while let Some(property) = section.property()? {
        match property {
            P::SessionExpiryInterval => once(&mut p.session_expiry_interval, section.u32()?)?,
            P::ReceiveMaximum => {
                let value = NonZeroU16::new(section.u16()?).ok_or(Fault::PropertyZero)?;
                once(&mut p.receive_maximum, value)?;
            }
            P::MaximumPacketSize => {
                let value = NonZeroU32::new(section.u32()?).ok_or(Fault::PropertyZero)?;
                once(&mut p.maximum_packet_size, value)?;
            }
            P::TopicAliasMaximum => once(&mut p.topic_alias_maximum, section.u16()?)?,
            P::RequestResponseInformation => {
                once(&mut p.request_response_information, section.bool()?)?;
            }
            P::RequestProblemInformation => {
                once(&mut p.request_problem_information, section.bool()?)?;
            }
            P::UserProperty => p.user_properties.push(section.string_pair()?),
            P::AuthenticationMethod => once(&mut p.authentication_method, section.string()?)?,
            P::AuthenticationData => once(&mut p.authentication_data, section.binary()?)?,
            _ => return Err(Fault::PropertyNotAllowed),
        }
    }
    if p.authentication_data.is_some() && p.authentication_method.is_none() {
        return Err(Fault::DataWithoutMethod); // section 3.1.2.11.10
    }
    Ok(p)
}

fn decode_will(
    reader: &mut Reader<'_>,
    flags: u8,
    version: ProtocolVersion,
) -> Result<Will, Fault> {
    let mut message = Message {
        qos: Qos::from_u8(will_qos(flags)).ok_or(Fault::WillQos)?,
        retain: flags & WILL_RETAIN != 0,
        ..Message::default()
    };
    let mut delay_interval = None;
    if version == ProtocolVersion::V5 {
        let mut section = reader.properties()?;
        while let Some(property) = section.property()? {
            if property == Property::WillDelayInterval {
                once(&mut delay_interval, section.u32()?)?;
            } else {
                decode_message_property(property, &mut section, &mut message.properties)?;
            }
        }
    }
    message.topic_name = reader.topic_name(Fault::WillTopicWildcard)?; // [MQTT-3.1.3-11]
    if message.topic_name.is_empty() {
        return Err(Fault::WillTopicEmpty);
    }
    message.payload = reader.binary()?;
    Ok(Will {
        delay_interval: delay_interval.unwrap_or(0),
        message,
    })
}

pub(super) fn encode(
    first_byte: u8,
    connect: &Connect,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let version = connect.version;
    if version != ProtocolVersion::V5 && connect.password.is_some() && connect.username.is_none() {
        return Err(EncodeError::PasswordWithoutUserName);
    }
    let will = connect.will.as_deref();
    if will.is_some_and(|will| will.message.topic_name.is_empty()) {
        return Err(EncodeError::NoTopic);
    }
    packet(first_byte, buffer, |writer| {
        writer.field(version.protocol_name().as_bytes())?;
        writer.u8(version.level());
        writer.u8(encode_flags(connect));
        writer.u16(connect.keep_alive);
        if version == ProtocolVersion::V5 {
            writer.properties(|writer| encode_properties(&connect.properties, writer))?;
        }
        writer.field(connect.client_id.as_bytes())?;
        if let Some(will) = will {
            encode_will(will, version, writer)?;
        }
        if let Some(username) = &connect.username {
            writer.field(username.as_bytes())?;
        }
        if let Some(password) = &connect.password {
            writer.field(password)?;
        }
        Ok(())
    })
}

fn encode_flags(connect: &Connect) -> u8 {
    let bit = |flag, set| if set { flag } else { 0 };
    let will = connect.will.as_ref().map_or(0, |will| {
        let message = &will.message;
        WILL | message.qos.as_u8() << 3 | bit(WILL_RETAIN, message.retain)
    });
    will | bit(CLEAN_START, connect.clean_start)
        | bit(USERNAME, connect.username.is_some())
        | bit(PASSWORD, connect.password.is_some())
}

fn encode_properties(
    properties: &ConnectProperties,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    use Property as P;
    let (w, p) = (writer, properties);
    w.property_u32(P::SessionExpiryInterval, p.session_expiry_interval);
    w.property_u16(P::ReceiveMaximum, p.receive_maximum.map(NonZeroU16::get));
    w.property_u32(
        P::MaximumPacketSize,
        p.maximum_packet_size.map(NonZeroU32::get),
    );
    w.property_u16(P::TopicAliasMaximum, p.topic_alias_maximum);
    w.property_bool(
        P::RequestResponseInformation,
        p.request_response_information,
    );
    w.property_bool(P::RequestProblemInformation, p.request_problem_information);
    w.user_properties(&p.user_properties)?;
    w.property_string(P::AuthenticationMethod, p.authentication_method.as_ref())?;
    w.property_field(P::AuthenticationData, p.authentication_data.as_deref())
}

fn encode_will(
    will: &Will,
    version: ProtocolVersion,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    if version == ProtocolVersion::V5 {
        writer.properties(|writer| {
            let delay = Some(will.delay_interval).filter(|seconds| *seconds != 0);
            writer.property_u32(Property::WillDelayInterval, delay);
            encode_message_properties(&will.message.properties, writer)
        })?;
    }
    writer.field(will.message.topic_name.as_shared().as_bytes())?;
    writer.field(&will.message.payload)
}
