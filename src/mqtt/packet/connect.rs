//! How a connection begins: CONNECT and CONNACK.

use std::num::{NonZeroU16, NonZeroU32};

use super::publish::PublishProperties;
use super::{QoS, UserProperties, Version};
use crate::mqtt::binary::{Binary, Password};
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::text::Text;
use crate::mqtt::topic::Topic;

/// CONNECT. Its strings have memory of their own, since a connection keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version that the client speaks.
    pub version: Version,
    /// Whether an earlier session is to be forgotten; "Clean Session" in 3.1.1.
    pub clean_start: bool,
    /// The most seconds between two packets of the client; 0: no limit.
    pub keep_alive_secs: u16,
    /// May be empty: the client wants to be given one.
    pub client_id: Text,
    /// Who it is.
    pub user_name: Option<Text>,
    /// How it proves that.
    pub password: Option<Password>,
    /// What to publish if it goes without a goodbye.
    pub will: Option<Will>,
    /// How long the session outlives the connection; `u32::MAX`: for ever. In 3.1.1 this is 0 and `clean_start` tells.
    pub session_expiry_secs: u32,
    /// How many unanswered messages at QoS 1 and 2 the client takes; `None`: 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// How large a packet the client takes; `None`: any.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The greatest topic alias that the client takes.
    pub topic_alias_max: u16,
    /// Whether the client asks for Response Information.
    pub request_response_information: bool,
    /// Whether the client wants reason strings and user properties in other packets than PUBLISH, CONNACK and
    /// DISCONNECT. [MQTT-3.1.2-29]
    pub request_problem_information: bool,
    /// Extended authentication.
    pub authentication: Option<Authentication>,
    /// What else the client says.
    pub user_properties: UserProperties,
}

/// The will of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to publish it.
    pub topic: Topic,
    /// What.
    pub payload: Binary,
    /// With which QoS.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// How long to wait after the end of the connection.
    pub delay_secs: u32,
    /// How long the message lives once it is published.
    pub message_expiry_secs: Option<u32>,
    /// What subscribers are told.
    pub properties: PublishProperties,
}

/// The method of an extended authentication, and its data.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Its name.
    pub method: Text,
    /// What the method says; it may be secret, and is not printed.
    pub data: Option<Binary>,
}

/// CONNACK. In 3.1.1 there are the first two facts alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server has a session of this client.
    pub session_present: bool,
    /// Whether the client is let in, and why not.
    pub code: ReasonCode,
    /// The session expiry that the server grants; `None`: as asked.
    pub session_expiry_secs: Option<u32>,
    /// How many unanswered messages at QoS 1 and 2 the server takes; `None`: 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// The greatest QoS that the server takes.
    pub qos_max: QoS,
    /// Whether the server retains messages.
    pub retain_available: bool,
    /// How large a packet the server takes; `None`: any.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The identifier that the server gave. [MQTT-3.2.2-16]
    pub assigned_client_id: Option<Text>,
    /// The greatest topic alias that the server takes.
    pub topic_alias_max: u16,
    /// The code for people.
    pub reason_string: Option<Text>,
    /// Whether filters may have wildcards.
    pub wildcards_available: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_ids_available: bool,
    /// Whether there are shared subscriptions.
    pub shared_subscriptions_available: bool,
    /// The keep-alive that holds instead of the client's. [MQTT-3.2.2-21]
    pub keep_alive_secs: Option<u16>,
    /// A base for response topics.
    pub response_information: Option<Text>,
    /// Where the client should go instead.
    pub server_reference: Option<Text>,
    /// Extended authentication.
    pub authentication: Option<Authentication>,
    /// What else the server says.
    pub user_properties: UserProperties,
}

impl Connect {
    /// What a CONNECT without properties, credentials or a will says.
    pub fn new(version: Version, client_id: Text) -> Connect {
        Connect {
            version,
            clean_start: true,
            keep_alive_secs: 0,
            client_id,
            user_name: None,
            password: None,
            will: None,
            session_expiry_secs: 0,
            receive_max: None,
            packet_bytes_max: None,
            topic_alias_max: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication: None,
            user_properties: Vec::new(),
        }
    }

    /// The same in memory of its own.
    pub(in crate::mqtt) fn detached(mut self) -> Connect {
        self.client_id = self.client_id.detached();
        self.user_name = self.user_name.map(|name| name.detached());
        self.will = self.will.map(Will::detached);
        self.authentication = self.authentication.map(Authentication::detached);
        for (name, value) in &mut self.user_properties {
            (*name, *value) = (name.detached(), value.detached());
        }
        self
    }
}

impl Will {
    fn detached(self) -> Will {
        Will {
            topic: self.topic.detached(),
            payload: self.payload.detached(),
            properties: self.properties.detached(),
            ..self
        }
    }
}

impl Authentication {
    fn detached(self) -> Authentication {
        Authentication { method: self.method.detached(), data: self.data.map(|data| data.detached()) }
    }
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication").field("method", &self.method).finish_non_exhaustive()
    }
}

impl ConnAck {
    /// What a CONNACK without properties says.
    pub fn new(code: ReasonCode) -> ConnAck {
        ConnAck {
            session_present: false,
            code,
            session_expiry_secs: None,
            receive_max: None,
            qos_max: QoS::ExactlyOnce,
            retain_available: true,
            packet_bytes_max: None,
            assigned_client_id: None,
            topic_alias_max: 0,
            reason_string: None,
            wildcards_available: true,
            subscription_ids_available: true,
            shared_subscriptions_available: true,
            keep_alive_secs: None,
            response_information: None,
            server_reference: None,
            authentication: None,
            user_properties: Vec::new(),
        }
    }
}
