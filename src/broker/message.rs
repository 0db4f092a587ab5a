//! A message between a publisher and its subscribers.

use bytes::Bytes;

use crate::mqtt::topic::Topic;
use crate::mqtt::{Publish, PublishProperties, QoS, Will};

/// What a message costs besides what it says.
const OVERHEAD_BYTES: usize = 128;

/// A message as subscribers get it. It owns its memory, so that one that waits does not hold the buffer it came in.
#[derive(Debug)]
pub struct Message {
    /// Where it was published.
    pub topic: Topic,
    /// What it says; the broker does not look.
    pub payload: Bytes,
    /// The publisher's QoS.
    pub qos: QoS,
    /// Whether the publisher asked to retain it.
    pub retain: bool,
    /// What MQTT 5 passes on: content type, response topic, user properties and so on [MQTT-3.3.2-17].
    pub properties: PublishProperties,
}

impl Message {
    /// The message of a PUBLISH to `topic`.
    pub fn new(topic: &Topic, publish: &Publish) -> Self {
        let (topic, payload) = topic.detached_with(&publish.payload);
        Message { topic, payload, qos: publish.qos, retain: publish.retain, properties: publish.properties.detached() }
    }

    /// A message of the gateway's own, without properties.
    pub fn plain(topic: Topic, payload: Bytes, qos: QoS) -> Self {
        Message { topic, payload, qos, retain: false, properties: PublishProperties::default() }
    }

    /// What it costs to keep, about; one that says nothing is not free either.
    pub fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.bytes() + OVERHEAD_BYTES
    }

    /// The message that a client leaves behind.
    pub fn from_will(will: &Will) -> Self {
        Message {
            topic: will.topic.clone(),
            payload: Bytes::copy_from_slice(&will.payload),
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.clone(),
        }
    }
}
