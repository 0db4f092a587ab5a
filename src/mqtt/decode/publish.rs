//! PUBLISH. A message without properties costs no memory: its name and its payload are slices of the packet.

use super::properties::{Properties, Property, push};
use super::reader::Reader;
use super::{DecodeError, Peer};
use crate::mqtt::packet::publish::{PassedOn, Publish};
use crate::mqtt::packet::{QoS, Version};
use crate::mqtt::topic::Topic;

pub(super) fn publish(first: u8, mut body: Reader, version: Version, peer: Peer) -> Result<Publish, DecodeError> {
    let qos = QoS::from_u8(first >> 1 & 0b11).ok_or(DecodeError::QoS)?; // [MQTT-3.3.1-4]
    let dup = first & 0b1000 != 0;
    if dup && qos == QoS::AtMostOnce {
        return Err(DecodeError::DupAtMostOnce); // [MQTT-3.3.1-2]
    }
    let topic = topic(&mut body, version)?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(body.packet_id()?) }; // [MQTT-2.2.1-2]
    let mut publish = Publish {
        dup,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        topic_alias: None,
        message_expiry_secs: None,
        subscription_ids: Vec::new(),
        properties: Default::default(),
        payload: Default::default(),
    };
    if version == Version::V5 {
        properties(&mut body, peer, &mut publish)?;
    }
    if publish.topic.is_none() && publish.topic_alias.is_none() {
        return Err(DecodeError::TopicMissing);
    }
    publish.payload = body.rest();
    Ok(publish)
}

/// A name that is empty says that the alias tells; 3.1.1 has none. [MQTT-3.3.2-1], 3.1.1 [MQTT-4.7.3-1]
fn topic(body: &mut Reader, version: Version) -> Result<Option<Topic>, DecodeError> {
    let text = body.text()?;
    if version == Version::V5 && text.is_empty() {
        return Ok(None);
    }
    Topic::new(text).map(Some).map_err(DecodeError::Topic)
}

fn properties(body: &mut Reader, peer: Peer, publish: &mut Publish) -> Result<(), DecodeError> {
    let mut properties = Properties::read(body)?;
    let Some(mut property) = properties.next()? else { return Ok(()) };
    let mut passed_on = PassedOn::default();
    loop {
        match property {
            Property::MessageExpirySecs(secs) => publish.message_expiry_secs = Some(secs),
            Property::TopicAlias(alias) => publish.topic_alias = Some(alias),
            // [MQTT-3.3.4-6]
            Property::SubscriptionId(_) if peer == Peer::Client => return Err(DecodeError::SubscriptionIdFromClient),
            Property::SubscriptionId(id) => push(&mut publish.subscription_ids, id)?,
            property => pass_on(property, &properties, &mut passed_on)?,
        }
        let Some(next) = properties.next()? else { break };
        property = next;
    }
    publish.properties = passed_on.into();
    Ok(())
}

/// Takes a property that subscribers are told; a will has the same.
pub(super) fn pass_on(
    property: Property,
    properties: &Properties,
    passed_on: &mut PassedOn,
) -> Result<(), DecodeError> {
    match property {
        Property::PayloadIsUtf8(is) => passed_on.payload_is_utf8 = Some(is),
        Property::ContentType(text) => passed_on.content_type = Some(text),
        Property::ResponseTopic(topic) => passed_on.response_topic = Some(topic),
        Property::CorrelationData(bytes) => passed_on.correlation_data = Some(bytes),
        Property::User(name, value) => push(&mut passed_on.user_properties, (name, value))?,
        _ => return Err(properties.refuse()),
    }
    Ok(())
}
