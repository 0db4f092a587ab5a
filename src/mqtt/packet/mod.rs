//! The packet model, one for both versions.
//!
//! It holds the facts, not the bytes: flags, reserved bits and lengths are gone, a property that says its default is
//! the same as one that is absent. What only MQTT 5.0 has is at its default in a packet of 3.1.1. Packets are built and
//! taken apart by whoever uses them; there is no behaviour here.

pub mod connect;
pub mod publish;
pub mod subscribe;

use std::num::NonZeroU16;

use connect::{Authentication, ConnAck, Connect};
use publish::Publish;
use subscribe::{SubAck, Subscribe, UnsubAck, Unsubscribe};

use super::reason::ReasonCode;
use super::text::Text;

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5.0.
    V5,
}

/// The quality of service; the greater promises more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A client asks to be let in.
    Connect(Box<Connect>),
    /// The server's answer.
    ConnAck(Box<ConnAck>),
    /// A message.
    Publish(Publish),
    /// The answer to a message at QoS 1.
    PubAck(Ack),
    /// The first answer to a message at QoS 2.
    PubRec(Ack),
    /// The answer to that.
    PubRel(Ack),
    /// The last answer to a message at QoS 2.
    PubComp(Ack),
    /// A client asks for messages.
    Subscribe(Subscribe),
    /// The server's answer.
    SubAck(SubAck),
    /// A client asks for no more of them.
    Unsubscribe(Unsubscribe),
    /// The server's answer.
    UnsubAck(UnsubAck),
    /// A client is there.
    PingReq,
    /// So is the server.
    PingResp,
    /// The end; in 3.1.1 a client's word alone.
    Disconnect(Disconnect),
    /// A step of an extended authentication; MQTT 5.0 alone.
    Auth(Auth),
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP. In 3.1.1 there is the identifier alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of the PUBLISH that this is about. [MQTT-2.2.1-5]
    pub packet_id: NonZeroU16,
    /// What became of it.
    pub code: ReasonCode,
    /// The same for people.
    pub reason_string: Option<Text>,
    /// What else the sender says.
    pub user_properties: UserProperties,
}

/// DISCONNECT. In 3.1.1 it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why; [`ReasonCode::Success`] is the standard's "Normal disconnection".
    pub code: ReasonCode,
    /// A client's new session expiry; `None` leaves it as it is. [MQTT-3.14.2-2]
    pub session_expiry_secs: Option<u32>,
    /// The same for people.
    pub reason_string: Option<Text>,
    /// Where a client should go instead.
    pub server_reference: Option<Text>,
    /// What else the sender says.
    pub user_properties: UserProperties,
}

/// AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The step.
    pub code: ReasonCode,
    /// The method and its data; absent only in the short form that says success.
    pub authentication: Option<Authentication>,
    /// The same for people.
    pub reason_string: Option<Text>,
    /// What else the sender says.
    pub user_properties: UserProperties,
}

/// Pairs of name and value, in order; a name may come again.
pub type UserProperties = Vec<(Text, Text)>;

impl Ack {
    /// An answer without words.
    pub fn new(packet_id: NonZeroU16, code: ReasonCode) -> Ack {
        Ack { packet_id, code, reason_string: None, user_properties: Vec::new() }
    }
}

impl Disconnect {
    /// An end without words.
    pub fn new(code: ReasonCode) -> Disconnect {
        Disconnect {
            code,
            session_expiry_secs: None,
            reason_string: None,
            server_reference: None,
            user_properties: Vec::new(),
        }
    }
}

impl QoS {
    /// The number in the packet.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// The QoS with this number.
    pub fn from_u8(value: u8) -> Option<QoS> {
        match value {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}
