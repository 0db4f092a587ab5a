//! MQTT as a device speaks it, 3.1.1 or 5.0, in the packets of `rumqttc`. Bytes and values; no socket.
//!
//! The codec alone is `rumqttc`'s, not its event loop: that gives packet ids and DUP by its own lights, and a device's own are
//! what is to be shown here.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{self, v4};
use rumqttc::v5::mqttbytes::{self as mqttbytes5, v5};
use thiserror::Error;

use super::connection::Login;
use crate::outbox::{Attempt, Publish};

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1.
    V311,
    /// 5.0.
    V5,
}

impl MqttVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MqttVersion::V311 => "3.1.1",
            MqttVersion::V5 => "5",
        }
    }
}

/// What a gateway says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The connection stands; so many messages may be under way, where the gateway says so.
    Welcome(Option<u16>),
    /// The login is refused, with this code.
    Refused(String),
    /// A message is acknowledged.
    Ack(u16, Answer),
    /// A subscription is refused, with this code.
    NotSubscribed(String),
    /// A message for the device: its topic, its packet id (0 at QoS 0), and what it says.
    Message(Bytes, u16, Bytes),
    /// The gateway ends the connection, with this code.
    Goodbye(String),
    /// Nothing that matters here.
    Other,
}

/// What an acknowledgement says of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// MQTT 3.1.1 has no words for it.
    Silent,
    /// A code below 0x80.
    Accepted,
    /// Another, with the Reason String that came along.
    Refused(String),
}

/// It is not MQTT, or not what is due.
#[derive(Debug, Error)]
#[error("the gateway's packet cannot be read: {0}")]
pub(super) struct BadPacket(String);

/// The largest packet that is read.
const PACKET_BYTES_MAX: usize = 64 * 1024;

/// The one packet id that no message of a device has.
const SUBSCRIBE_ID: u16 = u16::MAX;

/// Puts a CONNECT behind what is in `out`.
pub(super) fn connect(version: MqttVersion, login: &Login<'_>, out: &mut BytesMut) {
    let Login { id, user, password, keep_alive_secs } = *login;
    let written = match version {
        MqttVersion::V311 => {
            let mut connect = v4::Connect::new(id);
            connect.keep_alive = keep_alive_secs;
            connect.set_login(user, password);
            connect.write(out).is_ok()
        }
        MqttVersion::V5 => {
            let connect = v5::Connect {
                keep_alive: keep_alive_secs,
                client_id: id.to_owned(),
                clean_start: true,
                properties: None,
            };
            connect.write(&None, &Some(v5::Login::new(user, password)), out).is_ok()
        }
    };
    debug_assert!(written, "a client id and a token are no longer than a string of MQTT");
}

/// Puts a PUBLISH at QoS 1 behind what is in `out`.
pub(super) fn publish(version: MqttVersion, topic: &str, publish: &Publish<'_>, out: &mut BytesMut) {
    let payload = Bytes::copy_from_slice(publish.bytes);
    let dup = publish.attempt == Attempt::Again; // [MQTT-3.3.1-1]
    let written = match version {
        MqttVersion::V311 => {
            let mut packet = v4::Publish::from_bytes(topic, mqttbytes::QoS::AtLeastOnce, payload);
            (packet.dup, packet.pkid) = (dup, publish.packet_id);
            packet.write(out).is_ok()
        }
        MqttVersion::V5 => {
            let mut packet = v5::Publish::new(topic, mqttbytes5::QoS::AtLeastOnce, payload, None);
            (packet.dup, packet.pkid) = (dup, publish.packet_id);
            packet.write(out).is_ok()
        }
    };
    debug_assert!(written, "a message is no longer than a packet of MQTT");
}

/// Puts a SUBSCRIBE at QoS 1 to one topic behind what is in `out`.
pub(super) fn subscribe(version: MqttVersion, topic: &str, out: &mut BytesMut) {
    let written = match version {
        MqttVersion::V311 => {
            let mut packet = v4::Subscribe::new(topic, mqttbytes::QoS::AtLeastOnce);
            packet.pkid = SUBSCRIBE_ID;
            packet.write(out).is_ok()
        }
        MqttVersion::V5 => {
            let mut packet = v5::Subscribe::new(v5::Filter::new(topic, mqttbytes5::QoS::AtLeastOnce), None);
            packet.pkid = SUBSCRIBE_ID;
            packet.write(out).is_ok()
        }
    };
    debug_assert!(written, "a topic is no longer than a string of MQTT");
}

/// Puts a PUBACK behind what is in `out`.
pub(super) fn acknowledge(version: MqttVersion, packet_id: u16, out: &mut BytesMut) {
    let written = match version {
        MqttVersion::V311 => v4::PubAck::new(packet_id).write(out).is_ok(),
        MqttVersion::V5 => v5::PubAck::new(packet_id, None).write(out).is_ok(),
    };
    debug_assert!(written, "four bytes");
}

/// Puts a PINGREQ behind what is in `out`.
pub(super) fn ping(out: &mut BytesMut) {
    let written = v4::PingReq.write(out);
    debug_assert!(written.is_ok(), "two bytes");
}

/// Puts a DISCONNECT behind what is in `out`; without a code it is the same in both versions [MQTT5 section 3.14.2.1].
pub(super) fn disconnect(out: &mut BytesMut) {
    let written = v4::Disconnect.write(out);
    debug_assert!(written.is_ok(), "two bytes");
}

/// Takes the next whole packet out of what has come; none if more bytes are needed.
pub(super) fn decode(version: MqttVersion, received: &mut BytesMut) -> Result<Option<Incoming>, BadPacket> {
    match version {
        MqttVersion::V311 => match v4::Packet::read(received, PACKET_BYTES_MAX) {
            Ok(packet) => Ok(Some(of_v4(packet))),
            Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(BadPacket(error.to_string())),
        },
        MqttVersion::V5 => match v5::Packet::read(received, Some(PACKET_BYTES_MAX as u32)) {
            Ok(packet) => Ok(Some(of_v5(packet))),
            Err(mqttbytes5::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(BadPacket(error.to_string())),
        },
    }
}

fn of_v4(packet: v4::Packet) -> Incoming {
    match packet {
        v4::Packet::ConnAck(ack) if ack.code == v4::ConnectReturnCode::Success => Incoming::Welcome(None),
        v4::Packet::ConnAck(ack) => Incoming::Refused(format!("{:?}", ack.code)),
        v4::Packet::PubAck(ack) => Incoming::Ack(ack.pkid, Answer::Silent),
        v4::Packet::SubAck(ack) if ack.return_codes.contains(&v4::SubscribeReasonCode::Failure) => {
            Incoming::NotSubscribed("Failure".to_owned())
        }
        v4::Packet::Publish(publish) => Incoming::Message(publish.topic.into(), publish.pkid, publish.payload),
        _ => Incoming::Other,
    }
}

fn of_v5(packet: v5::Packet) -> Incoming {
    match packet {
        v5::Packet::ConnAck(ack) if ack.code == v5::ConnectReturnCode::Success => {
            Incoming::Welcome(ack.properties.and_then(|properties| properties.receive_max))
        }
        v5::Packet::ConnAck(ack) => Incoming::Refused(format!("{:?}", ack.code)),
        v5::Packet::PubAck(ack) => {
            let code = ack.reason;
            let words = ack.properties.and_then(|properties| properties.reason_string);
            Incoming::Ack(ack.pkid, answer(code, words))
        }
        v5::Packet::SubAck(ack) => match ack.return_codes.first() {
            Some(v5::SubscribeReasonCode::Success(_)) | None => Incoming::Other,
            Some(code) => Incoming::NotSubscribed(format!("{code:?}")),
        },
        v5::Packet::Publish(publish) => Incoming::Message(publish.topic, publish.pkid, publish.payload),
        v5::Packet::Disconnect(goodbye) => Incoming::Goodbye(format!("{:?}", goodbye.reason_code)),
        _ => Incoming::Other,
    }
}

fn answer(code: v5::PubAckReason, words: Option<String>) -> Answer {
    match code {
        v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers => Answer::Accepted,
        _ => Answer::Refused(words.unwrap_or_else(|| format!("{code:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_packet_id_and_says_that_it_is_sent_again() {
        for (attempt, dup) in [(Attempt::First, false), (Attempt::Again, true)] {
            let message = Publish { packet_id: 7, attempt, bytes: b"sealed" };
            let mut out = BytesMut::new();
            publish(MqttVersion::V311, "devices/a/telemetry", &message, &mut out);
            let Ok(v4::Packet::Publish(read)) = v4::Packet::read(&mut out, 1000) else { panic!("a PUBLISH") };
            assert_eq!((read.pkid, read.dup, &read.payload[..]), (7, dup, &b"sealed"[..]));
            publish(MqttVersion::V5, "devices/a/telemetry", &message, &mut out);
            let Ok(v5::Packet::Publish(read)) = v5::Packet::read(&mut out, None) else { panic!("a PUBLISH") };
            assert_eq!((read.pkid, read.dup, &read.payload[..]), (7, dup, &b"sealed"[..]));
        }
    }

    #[test]
    fn what_has_not_come_whole_is_waited_for() {
        let puback = [0x40, 0x02, 0x00, 0x07];
        let mut received = BytesMut::from(&puback[..3]);
        for version in [MqttVersion::V311, MqttVersion::V5] {
            assert_eq!(decode(version, &mut received).unwrap(), None);
        }
        received.extend_from_slice(&puback[3..]);
        let mut again = received.clone();
        assert_eq!(decode(MqttVersion::V311, &mut received).unwrap(), Some(Incoming::Ack(7, Answer::Silent)));
        assert_eq!(decode(MqttVersion::V5, &mut again).unwrap(), Some(Incoming::Ack(7, Answer::Accepted)));
    }

    #[test]
    fn a_receipt_comes_with_its_topic_and_is_acknowledged() {
        for version in [MqttVersion::V311, MqttVersion::V5] {
            let message = Publish { packet_id: 7, attempt: Attempt::First, bytes: b"sealed" };
            let (mut received, mut out) = (BytesMut::new(), BytesMut::new());
            publish(version, "devices/a/receipts", &message, &mut received);
            let message = Incoming::Message("devices/a/receipts".into(), 7, "sealed".into());
            assert_eq!(decode(version, &mut received).unwrap(), Some(message));
            acknowledge(version, 7, &mut out);
            assert_eq!(&out[..], [0x40, 2, 0, 7]);
        }
    }

    #[test]
    fn a_subscription_that_is_refused_is_told() {
        let mut out = BytesMut::new();
        subscribe(MqttVersion::V311, "a/b", &mut out);
        assert_eq!(&out[..], b"\x82\x08\xff\xff\x00\x03a/b\x01");
        let mut refused = BytesMut::from(&[0x90, 3, 0xff, 0xff, 0x80][..]);
        let told = decode(MqttVersion::V311, &mut refused).unwrap();
        assert_eq!(told, Some(Incoming::NotSubscribed("Failure".to_owned())));
        let mut refused = BytesMut::from(&[0x90, 4, 0xff, 0xff, 0, 0x87][..]);
        let told = decode(MqttVersion::V5, &mut refused).unwrap();
        assert_eq!(told, Some(Incoming::NotSubscribed("NotAuthorized".to_owned())));
    }

    #[test]
    fn a_refusal_brings_its_reason() {
        // PUBACK 7, 0x99, one property: Reason String "corrupt".
        let mut received = BytesMut::from(&b"\x40\x0e\x00\x07\x99\x0a\x1f\x00\x07corrupt"[..]);
        let refused = Incoming::Ack(7, Answer::Refused("corrupt".to_owned()));
        assert_eq!(decode(MqttVersion::V5, &mut received).unwrap(), Some(refused));
    }
}
