//! AUTH (section 3.15).

use bytes::BytesMut;

use super::Side;
use super::error::Fault;
use super::property::{Property, once};
use super::reader::Reader;
use super::writer::packet;
use crate::{Auth, AuthProperties, EncodeError, ReasonCode};

/// [MQTT-3.15.2-1], and who may send what (table 3-11).
const FROM_CLIENT: &[ReasonCode] = &[
    ReasonCode::ContinueAuthentication,
    ReasonCode::ReAuthenticate,
];
const FROM_SERVER: &[ReasonCode] = &[ReasonCode::Success, ReasonCode::ContinueAuthentication];

pub(super) fn decode(mut reader: Reader<'_>, side: Side) -> Result<Auth, Fault> {
    let allowed = match side {
        Side::Server => FROM_CLIENT,
        Side::Client => FROM_SERVER,
    };
    if reader.is_empty() {
        // Success without properties may be left out (section 3.15.2.1).
        if !allowed.contains(&ReasonCode::Success) {
            return Err(Fault::ReasonCode);
        }
        return Ok(Auth {
            reason_code: ReasonCode::Success,
            properties: AuthProperties::default(),
        });
    }
    let reason_code = reader.reason_code(allowed)?;
    let mut properties = AuthProperties::default();
    let mut section = reader.properties()?;
    while let Some(property) = section.property()? {
        match property {
            Property::AuthenticationMethod => {
                once(&mut properties.authentication_method, section.string()?)?;
            }
            Property::AuthenticationData => {
                once(&mut properties.authentication_data, section.binary()?)?;
            }
            Property::ReasonString => once(&mut properties.reason_string, section.string()?)?,
            Property::UserProperty => properties.user_properties.push(section.string_pair()?),
            _ => return Err(Fault::PropertyNotAllowed),
        }
    }
    reader.finish()?;
    if properties.authentication_method.is_none() {
        return Err(Fault::NoMethod); // section 3.15.2.2.2
    }
    Ok(Auth {
        reason_code,
        properties,
    })
}

pub(super) fn encode(
    first_byte: u8,
    auth: &Auth,
    buffer: &mut BytesMut,
) -> Result<(), EncodeError> {
    let properties = &auth.properties;
    packet(first_byte, buffer, |writer| {
        if auth.reason_code == ReasonCode::Success && properties.is_empty() {
            return Ok(());
        }
        writer.u8(auth.reason_code.as_u8());
        writer.properties(|writer| {
            writer.property_string(
                Property::AuthenticationMethod,
                properties.authentication_method.as_ref(),
            )?;
            writer.property_field(
                Property::AuthenticationData,
                properties.authentication_data.as_deref(),
            )?;
            writer.property_string(Property::ReasonString, properties.reason_string.as_ref())?;
            writer.user_properties(&properties.user_properties)
        })
    })
}
