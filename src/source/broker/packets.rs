//! What the library's packets, of either version, say to us.

use bytes::Bytes;

use super::{Event, Lost, Message};

pub(super) fn event_v4(packet: rumqttc::Packet) -> Option<Result<Event, Lost>> {
    use rumqttc::{Packet, SubscribeReasonCode};
    let event = match packet {
        Packet::ConnAck(connack) => Event::Connected { session_present: connack.session_present },
        Packet::SubAck(suback) => Event::Subscribed(match suback.return_codes.first() {
            Some(SubscribeReasonCode::Success(qos)) => Ok(*qos as u8),
            Some(SubscribeReasonCode::Failure) | None => Err(0x80),
        }),
        Packet::Publish(publish) => Event::Message(Message {
            topic: Bytes::from(publish.topic),
            payload: publish.payload,
            packet_id: (publish.qos != rumqttc::QoS::AtMostOnce).then_some(publish.pkid),
            is_redelivered: publish.dup,
            _waiting: None,
        }),
        _ => return None,
    };
    Some(Ok(event))
}

pub(super) fn event_v5(packet: rumqttc::v5::mqttbytes::v5::Packet) -> Option<Result<Event, Lost>> {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    let event = match packet {
        Packet::ConnAck(connack) => Event::Connected { session_present: connack.session_present },
        Packet::SubAck(suback) => Event::Subscribed(match suback.return_codes.first() {
            Some(SubscribeReasonCode::Success(qos)) => Ok(*qos as u8),
            Some(code) => Err(refusal_code(code)),
            None => Err(0x80),
        }),
        Packet::Publish(publish) => Event::Message(Message {
            topic: publish.topic,
            payload: publish.payload,
            packet_id: (publish.qos != QoS::AtMostOnce).then_some(publish.pkid),
            is_redelivered: publish.dup,
            _waiting: None,
        }),
        _ => return None,
    };
    Some(Ok(event))
}

/// MQTT 5.0, table 3-9.
fn refusal_code(code: &rumqttc::v5::mqttbytes::v5::SubscribeReasonCode) -> u8 {
    use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode as Code;
    match code {
        Code::Success(_) => 0,
        Code::ImplementationSpecific => 0x83,
        Code::NotAuthorized => 0x87,
        Code::TopicFilterInvalid => 0x8f,
        Code::PkidInUse => 0x91,
        Code::QuotaExceeded => 0x97,
        Code::SharedSubscriptionsNotSupported => 0x9e,
        Code::SubscriptionIdNotSupported => 0xa1,
        Code::WildcardSubscriptionsNotSupported => 0xa2,
        Code::Failure | Code::Unspecified => 0x80,
    }
}
