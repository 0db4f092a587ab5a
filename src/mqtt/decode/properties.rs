//! The properties of a packet, one after the other, each with its type.
//!
//! That none comes twice is seen to here; which packet may have which is for each packet to say: it takes those that it
//! knows and returns [`Properties::refuse`] for any other.

use std::num::{NonZeroU16, NonZeroU32};

use super::reader::Reader;
use super::{DecodeError, REPEATS_MAX};
use crate::mqtt::binary::Binary;
use crate::mqtt::packet::connect::Authentication;
use crate::mqtt::packet::subscribe::SubscriptionId;
use crate::mqtt::packet::{QoS, UserProperties};
use crate::mqtt::property as id;
use crate::mqtt::text::Text;
use crate::mqtt::topic::Topic;

/// A property; table 2-4 has them in this order.
pub(super) enum Property {
    PayloadIsUtf8(bool),
    MessageExpirySecs(u32),
    ContentType(Text),
    ResponseTopic(Topic),
    CorrelationData(Binary),
    SubscriptionId(SubscriptionId),
    SessionExpirySecs(u32),
    AssignedClientId(Text),
    ServerKeepAliveSecs(u16),
    AuthenticationMethod(Text),
    AuthenticationData(Binary),
    RequestProblemInformation(bool),
    WillDelaySecs(u32),
    RequestResponseInformation(bool),
    ResponseInformation(Text),
    ServerReference(Text),
    ReasonString(Text),
    ReceiveMax(NonZeroU16),
    TopicAliasMax(u16),
    TopicAlias(NonZeroU16),
    QoSMax(QoS),
    RetainAvailable(bool),
    User(Text, Text),
    PacketBytesMax(NonZeroU32),
    WildcardsAvailable(bool),
    SubscriptionIdsAvailable(bool),
    SharedSubscriptionsAvailable(bool),
}

/// The properties that have not been read yet.
pub(super) struct Properties {
    left: Reader,
    /// A bit for each number that has come.
    seen: u64,
    last: u8,
}

impl Properties {
    /// Those that stand next in the packet.
    pub(super) fn read(packet: &mut Reader) -> Result<Properties, DecodeError> {
        Ok(Properties { left: packet.part()?, seen: 0, last: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Property>, DecodeError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let number = self.left.varint()?;
        self.last = u8::try_from(number).map_err(|_| DecodeError::Property(number))?;
        let property = self.value()?;
        self.check_first()?;
        Ok(Some(property))
    }

    /// What to say of a property that the packet does not have.
    pub(super) fn refuse(&self) -> DecodeError {
        DecodeError::Property(self.last.into())
    }

    /// What to say of one that came twice.
    pub(super) fn again(&self) -> DecodeError {
        DecodeError::PropertyAgain(self.last)
    }

    /// "It is a Protocol Error to include it more than once" stands at each but two: the User Property, and the
    /// Subscription Identifier, which only PUBLISH may have several times.
    fn check_first(&mut self) -> Result<(), DecodeError> {
        let bit = 1 << self.last;
        if self.seen & bit != 0 && !matches!(self.last, id::USER | id::SUBSCRIPTION_ID) {
            return Err(self.again());
        }
        self.seen |= bit;
        Ok(())
    }

    fn value(&mut self) -> Result<Property, DecodeError> {
        Ok(match self.last {
            id::PAYLOAD_FORMAT => Property::PayloadIsUtf8(self.flag()?),
            id::MESSAGE_EXPIRY => Property::MessageExpirySecs(self.left.u32()?),
            id::CONTENT_TYPE => Property::ContentType(self.left.text()?),
            id::RESPONSE_TOPIC => Property::ResponseTopic(self.left.topic()?), // [MQTT-3.3.2-14]
            id::CORRELATION_DATA => Property::CorrelationData(self.left.binary()?),
            id::SUBSCRIPTION_ID => Property::SubscriptionId(self.not_zero(Reader::varint, SubscriptionId::new)?),
            id::SESSION_EXPIRY => Property::SessionExpirySecs(self.left.u32()?),
            id::ASSIGNED_CLIENT_ID => Property::AssignedClientId(self.left.text()?),
            id::SERVER_KEEP_ALIVE => Property::ServerKeepAliveSecs(self.left.u16()?),
            id::AUTHENTICATION_METHOD => Property::AuthenticationMethod(self.left.text()?),
            id::AUTHENTICATION_DATA => Property::AuthenticationData(self.left.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(self.flag()?),
            id::WILL_DELAY => Property::WillDelaySecs(self.left.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(self.flag()?),
            id::RESPONSE_INFORMATION => Property::ResponseInformation(self.left.text()?),
            id::SERVER_REFERENCE => Property::ServerReference(self.left.text()?),
            id::REASON_STRING => Property::ReasonString(self.left.text()?),
            id::RECEIVE_MAX => Property::ReceiveMax(self.not_zero(Reader::u16, NonZeroU16::new)?),
            id::TOPIC_ALIAS_MAX => Property::TopicAliasMax(self.left.u16()?),
            id::TOPIC_ALIAS => {
                Property::TopicAlias(NonZeroU16::new(self.left.u16()?).ok_or(DecodeError::TopicAliasZero)?)
            }
            id::QOS_MAX => Property::QoSMax(if self.flag()? { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
            id::RETAIN_AVAILABLE => Property::RetainAvailable(self.flag()?),
            id::USER => Property::User(self.left.text()?, self.left.text()?), // [MQTT-1.5.7-1]
            id::PACKET_BYTES_MAX => Property::PacketBytesMax(self.not_zero(Reader::u32, NonZeroU32::new)?),
            id::WILDCARDS_AVAILABLE => Property::WildcardsAvailable(self.flag()?),
            id::SUBSCRIPTION_IDS_AVAILABLE => Property::SubscriptionIdsAvailable(self.flag()?),
            id::SHARED_SUBSCRIPTIONS_AVAILABLE => Property::SharedSubscriptionsAvailable(self.flag()?),
            _ => return Err(self.refuse()),
        })
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.left.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::PropertyValue(self.last)),
        }
    }

    fn not_zero<T, N>(
        &mut self,
        read: fn(&mut Reader) -> Result<T, DecodeError>,
        new: fn(T) -> Option<N>,
    ) -> Result<N, DecodeError> {
        new(read(&mut self.left)?).ok_or(DecodeError::PropertyValue(self.last))
    }
}

/// Keeps one more of a property that may come again, up to the bound.
pub(super) fn push<T>(all: &mut Vec<T>, one: T) -> Result<(), DecodeError> {
    if all.len() >= REPEATS_MAX {
        return Err(DecodeError::TooMany(REPEATS_MAX));
    }
    all.push(one);
    Ok(())
}

/// What PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK have: a word for people, and pairs.
pub(super) fn words(packet: &mut Reader) -> Result<(Option<Text>, UserProperties), DecodeError> {
    let mut properties = Properties::read(packet)?;
    let (mut reason_string, mut user_properties) = (None, Vec::new());
    while let Some(property) = properties.next()? {
        match property {
            Property::ReasonString(text) => reason_string = Some(text),
            Property::User(name, value) => push(&mut user_properties, (name, value))?,
            _ => return Err(properties.refuse()),
        }
    }
    Ok((reason_string, user_properties))
}

/// A method and its data are one thing: the data means nothing alone.
pub(super) fn authentication(
    method: Option<Text>,
    data: Option<Binary>,
) -> Result<Option<Authentication>, DecodeError> {
    match (method, data) {
        (Some(method), data) => Ok(Some(Authentication { method, data })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(DecodeError::AuthenticationMethodMissing),
    }
}
