//! A message on its way: PUBLISH.
//!
//! What belongs to one hop (packet identifier, topic alias, subscription identifiers, the rest of the expiry) stands in
//! [`Publish`]; what a server hands on as it came is apart in [`PublishProperties`], so that a thousand subscribers
//! share it.

use std::num::NonZeroU16;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::subscribe::SubscriptionId;
use super::{QoS, UserProperties};
use crate::mqtt::binary::Binary;
use crate::mqtt::text::Text;
use crate::mqtt::topic::Topic;

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// With which promise.
    pub qos: QoS,
    /// Whether it is to be retained, or was.
    pub retain: bool,
    /// Where it was published. `None`: `topic_alias` tells, and is there; MQTT 5.0 alone.
    pub topic: Option<Topic>,
    /// There at QoS 1 and 2, and only there. [MQTT-2.2.1-2]
    pub packet_id: Option<NonZeroU16>,
    /// A number for the topic, of this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// How long the message may still wait to be delivered.
    pub message_expiry_secs: Option<u32>,
    /// Of the subscriptions that it matched; a server's word alone. [MQTT-3.3.4-6]
    pub subscription_ids: Vec<SubscriptionId>,
    /// What is handed on as it came.
    pub properties: PublishProperties,
    /// The message.
    pub payload: Bytes,
}

/// The properties that a server hands on unaltered. One word large, cheap to clone, nothing allocated if there are
/// none. Reads as [`PassedOn`], and is made from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties(Option<Arc<PassedOn>>);

/// What [`PublishProperties`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOn {
    /// The Payload Format Indicator: whether the payload is UTF-8; `None`: not said. [MQTT-3.3.2-4]
    pub payload_is_utf8: Option<bool>,
    /// What the payload is. [MQTT-3.3.2-20]
    pub content_type: Option<Text>,
    /// Where an answer is expected. [MQTT-3.3.2-15]
    pub response_topic: Option<Topic>,
    /// What the answer should repeat. [MQTT-3.3.2-16]
    pub correlation_data: Option<Binary>,
    /// What else the publisher says. [MQTT-3.3.2-17], [MQTT-3.3.2-18]
    pub user_properties: UserProperties,
}

impl Publish {
    /// A message at QoS 0, without properties.
    pub fn new(topic: Topic, payload: Bytes) -> Publish {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            topic_alias: None,
            message_expiry_secs: None,
            subscription_ids: Vec::new(),
            properties: PublishProperties::default(),
            payload,
        }
    }
}

impl PublishProperties {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The memory that they take, about.
    pub fn bytes(&self) -> usize {
        let Some(properties) = &self.0 else { return 0 };
        let texts = [properties.content_type.as_deref(), properties.response_topic.as_deref()];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let pairs = properties.user_properties.iter();
        let pairs: usize = pairs.map(|(name, value)| size_of_val(name) * 2 + name.len() + value.len()).sum();
        let correlation_data = properties.correlation_data.as_ref().map_or(0, |data| data.len());
        size_of::<PassedOn>() + texts + correlation_data + pairs
    }

    /// A copy that has its own memory, as [`Text::detached`] has it.
    pub fn detached(&self) -> PublishProperties {
        let Some(properties) = &self.0 else { return PublishProperties::default() };
        PublishProperties::from(PassedOn {
            payload_is_utf8: properties.payload_is_utf8,
            content_type: properties.content_type.as_ref().map(Text::detached),
            response_topic: properties.response_topic.as_ref().map(Topic::detached),
            correlation_data: properties.correlation_data.as_ref().map(Binary::detached),
            user_properties: properties.user_properties.iter().map(|(n, v)| (n.detached(), v.detached())).collect(),
        })
    }
}

impl From<PassedOn> for PublishProperties {
    fn from(properties: PassedOn) -> PublishProperties {
        if properties == NOTHING { PublishProperties(None) } else { PublishProperties(Some(Arc::new(properties))) }
    }
}

impl Deref for PublishProperties {
    type Target = PassedOn;

    fn deref(&self) -> &PassedOn {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

static NOTHING: PassedOn = PassedOn {
    payload_is_utf8: None,
    content_type: None,
    response_topic: None,
    correlation_data: None,
    user_properties: Vec::new(),
};
