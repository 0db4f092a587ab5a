//! What is wrong with foreign bytes, and which reason code says so to a peer that speaks MQTT 5.0.

use thiserror::Error;

use crate::mqtt::binary::BinaryError;
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::text::TextError;
use crate::mqtt::topic::TopicError;

/// Why bytes are no packet that may come now. The peer is at fault, always; the connection ends. [MQTT-4.13.1-1]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// [MQTT-3.1.0-1]
    #[error("the first packet is no CONNECT")]
    ConnectMissing,
    /// [MQTT-3.1.0-2]
    #[error("a second CONNECT came")]
    ConnectAgain,
    /// A client's packet from a server, or a server's from a client.
    #[error("the peer sent a packet that its side does not send")]
    WrongSide,
    /// The packet type 0, or AUTH in 3.1.1.
    #[error("packet type {0} does not exist")]
    UnknownType(u8),
    /// [MQTT-2.1.3-1]
    #[error("the flags of the fixed header are not those of its packet type")]
    HeaderFlags,
    /// Known from the fixed header alone.
    #[error("the packet of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// The size of the packet with its fixed header.
        bytes: u32,
        /// The limit.
        bytes_max: u32,
    },
    /// A Variable Byte Integer of more than four bytes.
    #[error("a length has more than four bytes")]
    LengthTooLong,
    /// [MQTT-1.5.5-1]
    #[error("a length has more bytes than it needs")]
    LengthNotMinimal,
    /// A field does not fit into what is left of the packet.
    #[error("the packet ends within a field")]
    Truncated,
    /// The last field is not the end.
    #[error("the packet goes on after its last field")]
    BytesLeftOver,
    /// [MQTT-3.1.2-1], [MQTT-3.1.2-2]
    #[error("the client speaks neither MQTT 3.1.1 nor 5.0, but protocol level {0}")]
    UnsupportedVersion(u8),
    /// [MQTT-3.1.2-3], [MQTT-3.1.2-11], [MQTT-3.1.2-13], 3.1.1 [MQTT-3.1.2-22]
    #[error("the connect flags contradict each other or the standard")]
    ConnectFlags,
    /// 3.1.1 [MQTT-3.1.3-8]
    #[error("a session that is to be kept has no client identifier")]
    ClientIdMissing,
    /// [MQTT-3.2.2-1], [MQTT-3.2.2-6]
    #[error("the flags of CONNACK contradict its code or the standard")]
    ConnAckFlags,
    /// [MQTT-1.5.4-1], [MQTT-1.5.4-2]
    #[error(transparent)]
    Text(#[from] TextError),
    /// Bytes that are longer than their length can say; no packet holds such.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// [MQTT-3.3.2-2], [MQTT-4.7.3-1]
    #[error("the topic name is not valid: {0}")]
    Topic(TopicError),
    /// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    #[error("the topic filter is not valid: {0}")]
    Filter(TopicError),
    /// [MQTT-3.3.1-4], [MQTT-3.1.2-12]
    #[error("QoS 3 does not exist")]
    QoS,
    /// [MQTT-3.3.1-2]
    #[error("a message at QoS 0 has the DUP flag")]
    DupAtMostOnce,
    /// [MQTT-2.2.1-3]
    #[error("the packet identifier is 0")]
    PacketIdZero,
    /// Section 3.3.2.1.
    #[error("a message has neither a topic name nor a topic alias")]
    TopicMissing,
    /// [MQTT-3.3.2-8]
    #[error("the topic alias is 0")]
    TopicAliasZero,
    /// [MQTT-3.3.4-6]
    #[error("a client's message has a subscription identifier")]
    SubscriptionIdFromClient,
    /// [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    #[error("there is no topic filter")]
    FilterMissing,
    /// [MQTT-3.8.3-5], 3.1.1 [MQTT-3-8.3-4]
    #[error("the reserved bits of the subscription options are set")]
    SubscriptionBits,
    /// Section 3.8.3.1: QoS 3 or Retain Handling 3.
    #[error("a subscription option has a value that does not exist")]
    SubscriptionOptions,
    /// [MQTT-3.8.3-4]
    #[error("a shared subscription is to leave out the client's own messages")]
    NoLocalOnShared,
    /// Section 2.2.2.2: not a property, or not one of this packet.
    #[error("property {0} does not exist or does not belong into this packet")]
    Property(u32),
    /// Section 2.2.2.2.
    #[error("property {0} came twice")]
    PropertyAgain(u8),
    /// A value that the standard calls a protocol error.
    #[error("property {0} has a value that it may not have")]
    PropertyValue(u8),
    /// Section 3.1.2.11.10, section 3.15.2.2.2.
    #[error("the authentication has no method")]
    AuthenticationMethodMissing,
    /// The code is none of this packet's.
    #[error("reason code {0} does not belong into this packet")]
    Reason(u8),
    /// [`super::SUBSCRIPTIONS_MAX`], [`super::REPEATS_MAX`].
    #[error("the packet holds more than {0} subscriptions or properties of one kind")]
    TooMany(usize),
}

impl DecodeError {
    /// The code for DISCONNECT or CONNACK. For 3.1.1 see [`ReasonCode::connect_return_code`].
    pub fn reason(&self) -> ReasonCode {
        use DecodeError::*;
        match self {
            Topic(TopicError::TooDeep) => ReasonCode::TopicNameInvalid,
            Filter(TopicError::TooDeep) => ReasonCode::TopicFilterInvalid,
            UnknownType(_) | HeaderFlags | LengthTooLong | LengthNotMinimal | Truncated | BytesLeftOver
            | ConnectFlags | ConnAckFlags | Text(_) | Binary(_) | Topic(_) | Filter(_) | QoS | DupAtMostOnce
            | SubscriptionBits | Property(_) => ReasonCode::MalformedPacket,
            ConnectMissing
            | ConnectAgain
            | WrongSide
            | PacketIdZero
            | TopicMissing
            | SubscriptionIdFromClient
            | FilterMissing
            | SubscriptionOptions
            | NoLocalOnShared
            | PropertyAgain(_)
            | PropertyValue(_)
            | AuthenticationMethodMissing
            | Reason(_) => ReasonCode::ProtocolError,
            TooLarge { .. } => ReasonCode::PacketTooLarge,
            UnsupportedVersion(_) => ReasonCode::UnsupportedProtocolVersion,
            ClientIdMissing => ReasonCode::ClientIdentifierNotValid,
            TopicAliasZero => ReasonCode::TopicAliasInvalid,
            TooMany(_) => ReasonCode::QuotaExceeded,
        }
    }
}
