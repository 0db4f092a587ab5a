//! Asking for messages: SUBSCRIBE, UNSUBSCRIBE and their answers.

use std::num::{NonZeroU16, NonZeroU32};

use super::{QoS, UserProperties};
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::text::Text;
use crate::mqtt::topic::Filter;
use crate::mqtt::varint;

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Of this packet.
    pub packet_id: NonZeroU16,
    /// To be sent along with each message that one of the subscriptions matches.
    pub subscription_id: Option<SubscriptionId>,
    /// What is asked for, at least one. [MQTT-3.8.3-2]
    pub subscriptions: Vec<Subscription>,
    /// What else the client says.
    pub user_properties: UserProperties,
}

/// A number that a client gives its subscriptions, 1 to 268,435,455 (section 3.8.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(NonZeroU32);

/// One subscription of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which messages.
    pub filter: Filter,
    /// With which QoS at most.
    pub qos: QoS,
    /// Whether the client's own messages are left out. [MQTT-3.8.3-3]
    pub no_local: bool,
    /// Whether the publisher's RETAIN flag is handed on.
    pub retain_as_published: bool,
    /// Which retained messages are sent at once.
    pub retain_handling: RetainHandling,
}

/// What a subscription gets of the retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// All that match. [MQTT-3.3.1-9]
    #[default]
    Send = 0,
    /// All that match, if the subscription is new. [MQTT-3.3.1-10]
    SendIfNew = 1,
    /// None. [MQTT-3.3.1-11]
    DoNotSend = 2,
}

/// SUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE. [MQTT-2.2.1-6]
    pub packet_id: NonZeroU16,
    /// What became of each subscription, in their order. [MQTT-3.9.3-1]
    pub codes: Vec<ReasonCode>,
    /// The same for people.
    pub reason_string: Option<Text>,
    /// What else the server says.
    pub user_properties: UserProperties,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Of this packet.
    pub packet_id: NonZeroU16,
    /// What is no longer asked for, at least one. [MQTT-3.10.3-2]
    pub filters: Vec<Filter>,
    /// What else the client says.
    pub user_properties: UserProperties,
}

/// UNSUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE. [MQTT-2.2.1-6]
    pub packet_id: NonZeroU16,
    /// What became of each filter, in their order; 3.1.1 has none. [MQTT-3.11.3-1]
    pub codes: Vec<ReasonCode>,
    /// The same for people.
    pub reason_string: Option<Text>,
    /// What else the server says.
    pub user_properties: UserProperties,
}

impl SubscriptionId {
    /// The identifier with this number.
    pub fn new(value: u32) -> Option<SubscriptionId> {
        NonZeroU32::new(value).filter(|value| value.get() <= varint::MAX).map(SubscriptionId)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl Subscription {
    /// A subscription as 3.1.1 has it.
    pub fn new(filter: Filter, qos: QoS) -> Subscription {
        Subscription {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::default(),
        }
    }
}

impl SubAck {
    /// An answer without words.
    pub fn new(packet_id: NonZeroU16, codes: Vec<ReasonCode>) -> SubAck {
        SubAck { packet_id, codes, reason_string: None, user_properties: Vec::new() }
    }
}

impl UnsubAck {
    /// An answer without words.
    pub fn new(packet_id: NonZeroU16, codes: Vec<ReasonCode>) -> UnsubAck {
        UnsubAck { packet_id, codes, reason_string: None, user_properties: Vec::new() }
    }
}
