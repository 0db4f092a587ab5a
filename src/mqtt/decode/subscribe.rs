//! SUBSCRIBE, UNSUBSCRIBE and their answers: lists that fill the rest of their packet.

use super::properties::{Properties, Property, push, words};
use super::reader::Reader;
use super::{DecodeError, SUBSCRIPTIONS_MAX};
use crate::mqtt::packet::subscribe::{RetainHandling, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe};
use crate::mqtt::packet::{QoS, UserProperties, Version};
use crate::mqtt::reason::{Place, ReasonCode};

pub(super) fn subscribe(mut body: Reader, version: Version) -> Result<Subscribe, DecodeError> {
    let packet_id = body.packet_id()?;
    let (mut subscription_id, mut user_properties) = (None, Vec::new());
    if version == Version::V5 {
        let mut properties = Properties::read(&mut body)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::SubscriptionId(id) if subscription_id.replace(id).is_none() => {}
                Property::SubscriptionId(_) => return Err(properties.again()), // section 3.8.2.1.2
                Property::User(name, value) => push(&mut user_properties, (name, value))?,
                _ => return Err(properties.refuse()),
            }
        }
    }
    let subscriptions = filters(&mut body, |body| subscription(body, version))?;
    Ok(Subscribe { packet_id, subscription_id, subscriptions, user_properties })
}

fn subscription(body: &mut Reader, version: Version) -> Result<Subscription, DecodeError> {
    let filter = body.filter()?;
    let options = body.u8()?;
    let reserved = match version {
        Version::V311 => 0b1111_1100, // 3.1.1 [MQTT-3-8.3-4]
        Version::V5 => 0b1100_0000,   // [MQTT-3.8.3-5]
    };
    if options & reserved != 0 {
        return Err(DecodeError::SubscriptionBits);
    }
    let retain_handling = match options >> 4 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(DecodeError::SubscriptionOptions),
    };
    let subscription = Subscription {
        filter,
        qos: QoS::from_u8(options & 0b11).ok_or(DecodeError::SubscriptionOptions)?,
        no_local: options & 0b0100 != 0,
        retain_as_published: options & 0b1000 != 0,
        retain_handling,
    };
    if subscription.no_local && subscription.filter.shared().is_some() {
        return Err(DecodeError::NoLocalOnShared); // [MQTT-3.8.3-4]
    }
    Ok(subscription)
}

pub(super) fn unsubscribe(mut body: Reader, version: Version) -> Result<Unsubscribe, DecodeError> {
    let packet_id = body.packet_id()?;
    let mut user_properties: UserProperties = Vec::new();
    if version == Version::V5 {
        let mut properties = Properties::read(&mut body)?;
        while let Some(property) = properties.next()? {
            let Property::User(name, value) = property else { return Err(properties.refuse()) };
            push(&mut user_properties, (name, value))?;
        }
    }
    let filters = filters(&mut body, Reader::filter)?;
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

pub(super) fn suback(mut body: Reader, version: Version) -> Result<SubAck, DecodeError> {
    let mut suback = SubAck::new(body.packet_id()?, Vec::new());
    if version == Version::V5 {
        (suback.reason_string, suback.user_properties) = words(&mut body)?;
    }
    suback.codes = codes(body, Place::SubAck)?;
    match suback.codes.iter().find(|code| code.subscribe_return_code() != code.as_u8()) {
        Some(code) if version == Version::V311 => Err(DecodeError::Reason(code.as_u8())), // 3.1.1 [MQTT-3.9.3-2]
        _ => Ok(suback),
    }
}

pub(super) fn unsuback(mut body: Reader, version: Version) -> Result<UnsubAck, DecodeError> {
    let mut unsuback = UnsubAck::new(body.packet_id()?, Vec::new());
    if version == Version::V311 {
        body.end()?;
        return Ok(unsuback);
    }
    (unsuback.reason_string, unsuback.user_properties) = words(&mut body)?;
    unsuback.codes = codes(body, Place::UnsubAck)?;
    Ok(unsuback)
}

/// At least one, up to the bound. [MQTT-3.8.3-2], [MQTT-3.10.3-2]
fn filters<T>(body: &mut Reader, one: impl Fn(&mut Reader) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
    let mut filters = Vec::new();
    while !body.is_empty() {
        if filters.len() == SUBSCRIPTIONS_MAX {
            return Err(DecodeError::TooMany(SUBSCRIPTIONS_MAX));
        }
        filters.push(one(body)?);
    }
    if filters.is_empty() { Err(DecodeError::FilterMissing) } else { Ok(filters) }
}

/// One byte each, so there are no more than the packet has.
fn codes(body: Reader, place: Place) -> Result<Vec<ReasonCode>, DecodeError> {
    let code = |number: &u8| ReasonCode::in_place(*number, place).ok_or(DecodeError::Reason(*number));
    body.rest().iter().map(code).collect()
}
