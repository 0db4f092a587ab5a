//! Bytes that are a promise: the standards' own examples where there are some, made whole, and the shortest packets.

use std::num::NonZeroU16;

use super::*;

fn id(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap()
}

fn text(text: &'static str) -> Text {
    Text::from_static(text)
}

/// `packet` is these bytes, and these bytes are `packet`.
#[track_caller]
fn same(packet: Packet, sender: Sender, version: Version, bytes: &[u8]) {
    assert_eq!(encoded(&packet, version)[..], *bytes);
    assert_eq!(decode_one(decoder_for(&packet, sender, version), bytes), Ok(packet));
}

/// The example of section 3.1.2 in both standards: the variable header of a CONNECT, here with a payload.
fn connect(version: Version) -> Connect {
    let mut connect = Connect::new(version, text("c"));
    connect.keep_alive_secs = 10;
    connect.will = Some(Will {
        topic: Topic::new("w").unwrap(),
        payload: bytes::Bytes::from_static(b"x").try_into().unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_secs: 0,
        message_expiry_secs: None,
        properties: PublishProperties::default(),
    });
    connect.user_name = Some(text("u"));
    connect.password = Some(Password::try_from(&b"p"[..]).unwrap());
    connect
}

#[test]
fn connect_of_3_1_1() {
    let bytes = b"\x10\x19\0\x04MQTT\x04\xCE\0\x0A\0\x01c\0\x01w\0\x01x\0\x01u\0\x01p";
    same(Packet::Connect(Box::new(connect(Version::V311))), Sender::Client, Version::V311, bytes);
}

#[test]
fn connect_of_5_0() {
    let mut connect = connect(Version::V5);
    connect.session_expiry_secs = 10;
    let bytes = b"\x10\x20\0\x04MQTT\x05\xCE\0\x0A\x05\x11\0\0\0\x0A\0\x01c\0\0\x01w\0\x01x\0\x01u\0\x01p";
    same(Packet::Connect(Box::new(connect)), Sender::Client, Version::V5, bytes);
}

#[test]
fn connack() {
    let mut accepted = ConnAck::new(ReasonCode::Success);
    accepted.session_present = true;
    same(Packet::ConnAck(Box::new(accepted.clone())), Sender::Server, Version::V311, b"\x20\x02\x01\x00");
    accepted.receive_max = Some(id(32));
    same(Packet::ConnAck(Box::new(accepted)), Sender::Server, Version::V5, b"\x20\x06\x01\x00\x03\x21\0\x20");
    let refused = Packet::ConnAck(Box::new(ConnAck::new(ReasonCode::NotAuthorized)));
    same(refused.clone(), Sender::Server, Version::V311, b"\x20\x02\x00\x05");
    same(refused, Sender::Server, Version::V5, b"\x20\x03\x00\x87\x00");
}

/// The example of section 3.3.2 in both standards: topic "a/b", packet identifier 10.
#[test]
fn publish() {
    let mut publish = Publish::new(Topic::new("a/b").unwrap(), bytes::Bytes::from_static(b"hi"));
    same(Packet::Publish(publish.clone()), Sender::Client, Version::V311, b"\x30\x07\0\x03a/bhi");
    (publish.qos, publish.packet_id, publish.dup) = (QoS::AtLeastOnce, Some(id(10)), true);
    same(Packet::Publish(publish.clone()), Sender::Client, Version::V311, b"\x3A\x09\0\x03a/b\0\x0Ahi");
    same(Packet::Publish(publish.clone()), Sender::Client, Version::V5, b"\x3A\x0A\0\x03a/b\0\x0A\0hi");
    (publish.topic_alias, publish.topic) = (Some(id(7)), None);
    same(Packet::Publish(publish), Sender::Client, Version::V5, b"\x3A\x0A\0\0\0\x0A\x03\x23\0\x07hi");
}

#[test]
fn puback() {
    let mut ack = Ack::new(id(10), ReasonCode::Success);
    same(Packet::PubAck(ack.clone()), Sender::Client, Version::V311, b"\x40\x02\0\x0A");
    same(Packet::PubAck(ack.clone()), Sender::Client, Version::V5, b"\x40\x02\0\x0A");
    ack.code = ReasonCode::PayloadFormatInvalid;
    same(Packet::PubAck(ack.clone()), Sender::Server, Version::V5, b"\x40\x03\0\x0A\x99");
    ack.reason_string = Some(text("corrupt"));
    same(Packet::PubAck(ack), Sender::Server, Version::V5, b"\x40\x0E\0\x0A\x99\x0A\x1F\0\x07corrupt");
}

#[test]
fn the_other_acknowledgements_at_qos_2() {
    let ack = Ack::new(id(10), ReasonCode::Success);
    same(Packet::PubRec(ack.clone()), Sender::Client, Version::V5, b"\x50\x02\0\x0A");
    same(Packet::PubRel(ack.clone()), Sender::Client, Version::V5, b"\x62\x02\0\x0A"); // [MQTT-3.6.1-1]
    same(Packet::PubComp(ack), Sender::Client, Version::V311, b"\x70\x02\0\x0A");
}

/// The example of section 3.8.3 in both standards: "a/b" at QoS 1 and "c/d" at QoS 2.
#[test]
fn subscribe_and_unsubscribe() {
    let subscription = |filter: &str, qos| Subscription::new(Filter::new(filter).unwrap(), qos);
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: id(10),
        subscription_id: None,
        subscriptions: vec![subscription("a/b", QoS::AtLeastOnce), subscription("c/d", QoS::ExactlyOnce)],
        user_properties: Vec::new(),
    });
    same(subscribe.clone(), Sender::Client, Version::V311, b"\x82\x0E\0\x0A\0\x03a/b\x01\0\x03c/d\x02");
    same(subscribe, Sender::Client, Version::V5, b"\x82\x0F\0\x0A\0\0\x03a/b\x01\0\x03c/d\x02");
    let filters = vec![Filter::new("a/b").unwrap(), Filter::new("c/d").unwrap()];
    let unsubscribe = Packet::Unsubscribe(Unsubscribe { packet_id: id(10), filters, user_properties: Vec::new() });
    same(unsubscribe.clone(), Sender::Client, Version::V311, b"\xA2\x0C\0\x0A\0\x03a/b\0\x03c/d");
    same(unsubscribe, Sender::Client, Version::V5, b"\xA2\x0D\0\x0A\0\0\x03a/b\0\x03c/d");
}

#[test]
fn suback_and_unsuback() {
    use ReasonCode::*;
    let suback = Packet::SubAck(SubAck::new(id(10), vec![Success, GrantedQoS2, UnspecifiedError]));
    same(suback.clone(), Sender::Server, Version::V311, b"\x90\x05\0\x0A\x00\x02\x80"); // section 3.9.3
    same(suback, Sender::Server, Version::V5, b"\x90\x06\0\x0A\0\x00\x02\x80");
    let unsuback = UnsubAck::new(id(10), vec![Success, NoSubscriptionExisted]);
    same(Packet::UnsubAck(unsuback.clone()), Sender::Server, Version::V5, b"\xB0\x05\0\x0A\0\x00\x11");
    assert_eq!(encoded(&Packet::UnsubAck(unsuback), Version::V311)[..], *b"\xB0\x02\0\x0A");
}

#[test]
fn ping_disconnect_and_auth() {
    same(Packet::PingReq, Sender::Client, Version::V311, b"\xC0\0");
    same(Packet::PingResp, Sender::Server, Version::V5, b"\xD0\0");
    same(Packet::Disconnect(Disconnect::new(ReasonCode::Success)), Sender::Client, Version::V311, b"\xE0\0");
    same(Packet::Disconnect(Disconnect::new(ReasonCode::Success)), Sender::Client, Version::V5, b"\xE0\0");
    let shutdown = Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown));
    same(shutdown, Sender::Server, Version::V5, b"\xE0\x01\x8B");
    let auth = Auth {
        code: ReasonCode::ContinueAuthentication,
        authentication: Some(Authentication { method: text("m"), data: None }),
        reason_string: None,
        user_properties: Vec::new(),
    };
    same(Packet::Auth(auth), Sender::Client, Version::V5, b"\xF0\x06\x18\x04\x15\0\x01m");
}

#[test]
fn a_failure_in_suback_of_3_1_1_has_one_name() {
    let suback = Packet::SubAck(SubAck::new(id(1), vec![ReasonCode::NotAuthorized]));
    assert_eq!(encoded(&suback, Version::V311)[..], *b"\x90\x03\0\x01\x80"); // 3.1.1 [MQTT-3.9.3-2]
}

/// The example of section 1.5.4: "A" and U+2A6D4.
#[test]
fn the_string_with_a_character_of_four_bytes() {
    let bytes = b"\x30\x08\0\x05\x41\xF0\xAA\x9B\x94\0";
    let Ok(Packet::Publish(publish)) = decode_one(decoder(Sender::Client, Version::V5), bytes) else {
        panic!("the message is valid")
    };
    assert_eq!(publish.topic.unwrap().as_str(), "A\u{2A6D4}");
}

/// A connection that stays for days does not hold the buffer that its first packet came in.
#[test]
fn a_connect_does_not_keep_the_read_buffer() {
    let packet = Packet::Connect(Box::new(connect(Version::V5)));
    let mut buffer = encoded(&packet, Version::V5);
    let bytes = buffer.len();
    let decoded = Decoder::new(100).decode(&mut buffer).unwrap();
    assert!(buffer.try_reclaim(bytes), "nothing else refers to the buffer");
    assert_eq!(decoded, Some(packet));
}
