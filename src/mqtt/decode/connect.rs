//! CONNECT: the version, who it is, and its will.

use super::DecodeError;
use super::properties::{Properties, Property, authentication, push};
use super::reader::Reader;
use crate::mqtt::binary::Password;
use crate::mqtt::packet::connect::{Connect, Will};
use crate::mqtt::packet::publish::PassedOn;
use crate::mqtt::packet::{QoS, Version};
use crate::mqtt::text::Text;

/// Reads a CONNECT and sets `known` as soon as its version is read, so that what is wrong with the rest can be answered
/// in it.
pub(super) fn connect(mut body: Reader, known: &mut Option<Version>) -> Result<Connect, DecodeError> {
    let version = version(&mut body)?;
    *known = Some(version);
    let flags = Flags::read(body.u8()?, version)?;
    let mut connect = Connect::new(version, Text::default());
    connect.clean_start = flags.clean_start;
    connect.keep_alive_secs = body.u16()?;
    if version == Version::V5 {
        properties(&mut body, &mut connect)?;
    }
    connect.client_id = body.text()?;
    if version == Version::V311 && connect.client_id.is_empty() && !flags.clean_start {
        return Err(DecodeError::ClientIdMissing); // 3.1.1 [MQTT-3.1.3-8]
    }
    if let Some((qos, retain)) = flags.will {
        connect.will = Some(will(&mut body, version, qos, retain)?);
    }
    if flags.has_user_name {
        connect.user_name = Some(body.text()?);
    }
    if flags.has_password {
        connect.password = Some(Password::try_from(&body.bytes()?[..])?);
    }
    body.end()?;
    Ok(connect)
}

fn version(body: &mut Reader) -> Result<Version, DecodeError> {
    let name = body.bytes()?;
    match (&name[..], body.u8()?) {
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        (_, level) => Err(DecodeError::UnsupportedVersion(level)), // [MQTT-3.1.2-1], [MQTT-3.1.2-2]
    }
}

struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    has_user_name: bool,
    has_password: bool,
}

impl Flags {
    fn read(bits: u8, version: Version) -> Result<Flags, DecodeError> {
        let is_set = |bit: u8| bits & bit != 0;
        let qos = QoS::from_u8(bits >> 3 & 0b11).ok_or(DecodeError::QoS)?; // [MQTT-3.1.2-12]
        let flags = Flags {
            clean_start: is_set(0x02),
            will: is_set(0x04).then_some((qos, is_set(0x20))),
            has_user_name: is_set(0x80),
            has_password: is_set(0x40),
        };
        let is_reserved_set = is_set(0x01); // [MQTT-3.1.2-3]
        let is_will_contradicted = flags.will.is_none() && is_set(0x38); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
        // 3.1.1 [MQTT-3.1.2-22]
        let is_password_alone = version == Version::V311 && flags.has_password && !flags.has_user_name;
        if is_reserved_set || is_will_contradicted || is_password_alone {
            return Err(DecodeError::ConnectFlags);
        }
        Ok(flags)
    }
}

fn properties(body: &mut Reader, connect: &mut Connect) -> Result<(), DecodeError> {
    let (mut method, mut data) = (None, None);
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpirySecs(secs) => connect.session_expiry_secs = secs,
            Property::ReceiveMax(max) => connect.receive_max = Some(max),
            Property::PacketBytesMax(max) => connect.packet_bytes_max = Some(max),
            Property::TopicAliasMax(max) => connect.topic_alias_max = max,
            Property::RequestResponseInformation(wanted) => connect.request_response_information = wanted,
            Property::RequestProblemInformation(wanted) => connect.request_problem_information = wanted,
            Property::AuthenticationMethod(text) => method = Some(text),
            Property::AuthenticationData(bytes) => data = Some(bytes),
            Property::User(name, value) => push(&mut connect.user_properties, (name, value))?,
            _ => return Err(properties.refuse()),
        }
    }
    connect.authentication = authentication(method, data)?;
    Ok(())
}

fn will(body: &mut Reader, version: Version, qos: QoS, retain: bool) -> Result<Will, DecodeError> {
    let (mut delay_secs, mut message_expiry_secs, mut passed_on) = (0, None, PassedOn::default());
    if version == Version::V5 {
        let mut properties = Properties::read(body)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::WillDelaySecs(secs) => delay_secs = secs,
                Property::MessageExpirySecs(secs) => message_expiry_secs = Some(secs),
                property => super::publish::pass_on(property, &properties, &mut passed_on)?,
            }
        }
    }
    let (topic, payload) = (body.topic()?, body.binary()?);
    Ok(Will { topic, payload, qos, retain, delay_secs, message_expiry_secs, properties: passed_on.into() })
}
