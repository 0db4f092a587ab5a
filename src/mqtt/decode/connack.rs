//! CONNACK: what a server grants.

use super::DecodeError;
use super::properties::{Properties, Property, authentication, push};
use super::reader::Reader;
use crate::mqtt::packet::Version;
use crate::mqtt::packet::connect::ConnAck;
use crate::mqtt::reason::{Place, ReasonCode};

pub(super) fn connack(mut body: Reader, version: Version) -> Result<ConnAck, DecodeError> {
    let (flags, number) = (body.u8()?, body.u8()?);
    let code = match version {
        Version::V311 => ReasonCode::from_connect_return_code(number),
        Version::V5 => ReasonCode::in_place(number, Place::ConnAck),
    };
    let mut connack = ConnAck::new(code.ok_or(DecodeError::Reason(number))?);
    connack.session_present = match flags {
        0 => false,
        1 if connack.code == ReasonCode::Success => true,
        _ => return Err(DecodeError::ConnAckFlags), // [MQTT-3.2.2-1], [MQTT-3.2.2-6]
    };
    if version == Version::V5 {
        properties(&mut body, &mut connack)?;
    }
    body.end()?;
    Ok(connack)
}

fn properties(body: &mut Reader, connack: &mut ConnAck) -> Result<(), DecodeError> {
    let (mut method, mut data) = (None, None);
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpirySecs(secs) => connack.session_expiry_secs = Some(secs),
            Property::ReceiveMax(max) => connack.receive_max = Some(max),
            Property::QoSMax(qos) => connack.qos_max = qos,
            Property::RetainAvailable(is) => connack.retain_available = is,
            Property::PacketBytesMax(max) => connack.packet_bytes_max = Some(max),
            Property::AssignedClientId(text) => connack.assigned_client_id = Some(text),
            Property::TopicAliasMax(max) => connack.topic_alias_max = max,
            Property::ReasonString(text) => connack.reason_string = Some(text),
            Property::WildcardsAvailable(are) => connack.wildcards_available = are,
            Property::SubscriptionIdsAvailable(are) => connack.subscription_ids_available = are,
            Property::SharedSubscriptionsAvailable(are) => connack.shared_subscriptions_available = are,
            Property::ServerKeepAliveSecs(secs) => connack.keep_alive_secs = Some(secs),
            Property::ResponseInformation(text) => connack.response_information = Some(text),
            Property::ServerReference(text) => connack.server_reference = Some(text),
            Property::AuthenticationMethod(text) => method = Some(text),
            Property::AuthenticationData(bytes) => data = Some(bytes),
            Property::User(name, value) => push(&mut connack.user_properties, (name, value))?,
            _ => return Err(properties.refuse()),
        }
    }
    connack.authentication = authentication(method, data)?;
    Ok(())
}
