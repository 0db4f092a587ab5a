//! What the standards do not allow, each with the statement that forbids it, the error, and the reason code that the
//! peer is told.

use super::*;
use crate::mqtt::reason::ReasonCode as Code;

/// A heap of bytes with a name; blanks in the hexadecimal digits are for the reader.
struct Case(&'static str, &'static str, DecodeError, ReasonCode);

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).expect("hexadecimal digits, two a byte")
}

#[track_caller]
fn refused(decoder: &Decoder, cases: &[Case]) {
    for Case(name, hex, error, reason) in cases {
        let result = decoder.clone().decode(&mut BytesMut::from(&bytes(hex)[..]));
        assert_eq!(result, Err(*error), "{name}");
        assert_eq!(error.reason(), *reason, "{name}");
    }
}

use DecodeError::*;

#[test]
fn before_connect() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("PINGREQ first [MQTT-3.1.0-1]", "c000", ConnectMissing, Code::ProtocolError),
        Case("the first byte is enough", "30", ConnectMissing, Code::ProtocolError),
        Case("CONNACK first", "20020000", ConnectMissing, Code::ProtocolError),
        Case("a TLS ClientHello", "16 0301 0200", HeaderFlags, Code::MalformedPacket),
        Case("packet type 0", "0000", UnknownType(0), Code::MalformedPacket),
        Case("flags of CONNECT [MQTT-2.1.3-1]", "11", HeaderFlags, Code::MalformedPacket),
        Case("a length of five bytes", "10 ffffffff 01", LengthTooLong, Code::MalformedPacket),
        Case("a length over the limit, before the body is there", "10 80 80 80 01", DecodeError::TooLarge { bytes: 2_097_157, bytes_max: PACKET_BYTES_MAX_HERE }, Code::PacketTooLarge),
        Case("MQTT 3.1", "10 0e 0006 4d5149736470 03 02 003c 0000", UnsupportedVersion(3), Code::UnsupportedProtocolVersion),
        Case("level 6 [MQTT-3.1.2-2]", "10 0c 0004 4d515454 06 02 003c 0000", UnsupportedVersion(6), Code::UnsupportedProtocolVersion),
        Case("another name [MQTT-3.1.2-1]", "10 0c 0004 4d515458 05 02 003c 0000", UnsupportedVersion(5), Code::UnsupportedProtocolVersion),
        Case("an empty CONNECT", "1000", Truncated, Code::MalformedPacket),
    ];
    refused(&Decoder::new(PACKET_BYTES_MAX_HERE), &cases);
}

#[test]
fn connect_of_either_version() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("reserved flag [MQTT-3.1.2-3]", "10 0d 0004 4d515454 05 03 003c 00 0000", ConnectFlags, Code::MalformedPacket),
        Case("will QoS without a will [MQTT-3.1.2-11]", "10 0d 0004 4d515454 05 0a 003c 00 0000", ConnectFlags, Code::MalformedPacket),
        Case("will retain without a will [MQTT-3.1.2-13]", "10 0d 0004 4d515454 05 22 003c 00 0000", ConnectFlags, Code::MalformedPacket),
        Case("will QoS 3 [MQTT-3.1.2-12]", "10 0d 0004 4d515454 05 1e 003c 00 0000", QoS, Code::MalformedPacket),
        Case("a password alone, 3.1.1 [MQTT-3.1.2-22]", "10 0f 0004 4d515454 04 42 003c 0000 0001 70", ConnectFlags, Code::MalformedPacket),
        Case("no client id for a kept session, 3.1.1 [MQTT-3.1.3-8]", "10 0c 0004 4d515454 04 00 003c 0000", ClientIdMissing, Code::ClientIdentifierNotValid),
        Case("no user name where its flag is [MQTT-3.1.2-17]", "10 0d 0004 4d515454 05 82 003c 00 0000", Truncated, Code::MalformedPacket),
        Case("bytes after the last field", "10 0e 0004 4d515454 05 02 003c 00 0000 00", BytesLeftOver, Code::MalformedPacket),
        Case("a client id that is not UTF-8 [MQTT-1.5.4-1]", "10 0e 0004 4d515454 05 02 003c 00 0001 ff", Text(TextError::NotUtf8), Code::MalformedPacket),
        Case("a client id with U+0000 [MQTT-1.5.4-2]", "10 0e 0004 4d515454 05 02 003c 00 0001 00", Text(TextError::HasNul), Code::MalformedPacket),
        Case("a will with a wildcard", "10 14 0004 4d515454 05 06 003c 00 0001 63 00 0001 23 0000", Topic(TopicError::Wildcard), Code::MalformedPacket),
        Case("a will with an empty topic [MQTT-4.7.3-1]", "10 12 0004 4d515454 05 06 003c 00 0000 00 0000 0000", Topic(TopicError::Empty), Code::MalformedPacket),
        Case("a length with a needless byte [MQTT-1.5.5-1]", "10 8d00 0004 4d515454 05 02 003c 00 0000", LengthNotMinimal, Code::MalformedPacket),
    ];
    refused(&Decoder::new(PACKET_BYTES_MAX_HERE), &cases);
}

#[test]
fn properties_of_connect() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("receive maximum 0", "10 10 0004 4d515454 05 02 003c 03 210000 0000", PropertyValue(0x21), Code::ProtocolError),
        Case("maximum packet size 0", "10 12 0004 4d515454 05 02 003c 05 2700000000 0000", PropertyValue(0x27), Code::ProtocolError),
        Case("request problem information 2", "10 0f 0004 4d515454 05 02 003c 02 1702 0000", PropertyValue(0x17), Code::ProtocolError),
        Case("session expiry twice", "10 17 0004 4d515454 05 02 003c 0a 1100000001 1100000001 0000", PropertyAgain(0x11), Code::ProtocolError),
        Case("authentication data without a method", "10 10 0004 4d515454 05 02 003c 03 160000 0000", AuthenticationMethodMissing, Code::ProtocolError),
        Case("a property of PUBLISH", "10 10 0004 4d515454 05 02 003c 03 230001 0000", Property(0x23), Code::MalformedPacket),
        Case("a property of the will", "10 12 0004 4d515454 05 02 003c 05 1800000001 0000", Property(0x18), Code::MalformedPacket),
        Case("an unknown property", "10 0f 0004 4d515454 05 02 003c 02 0400 0000", Property(4), Code::MalformedPacket),
        Case("a property number of two bytes", "10 0f 0004 4d515454 05 02 003c 02 8002 0000", Property(256), Code::MalformedPacket),
        Case("a property number with a needless byte [MQTT-1.5.5-1]", "10 0f 0004 4d515454 05 02 003c 02 9100 0000", LengthNotMinimal, Code::MalformedPacket),
        Case("a property that is cut off by the properties' length", "10 10 0004 4d515454 05 02 003c 02 210001 0000", Truncated, Code::MalformedPacket),
        Case("properties longer than the packet", "10 0d 0004 4d515454 05 02 003c 7f 0000", Truncated, Code::MalformedPacket),
        Case("a property of CONNECT in the will", "10 16 0004 4d515454 05 06 003c 00 0000 05 1100000001 0001 77 0000", Property(0x11), Code::MalformedPacket),
        Case("a response topic with a wildcard in the will [MQTT-3.3.2-14]", "10 15 0004 4d515454 05 06 003c 00 0000 04 0800012b 0001 77 0000", Topic(TopicError::Wildcard), Code::MalformedPacket),
    ];
    refused(&Decoder::new(PACKET_BYTES_MAX_HERE), &cases);
}

#[test]
fn after_connect_in_5_0() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("a second CONNECT [MQTT-3.1.0-2]", "10", ConnectAgain, Code::ProtocolError),
        Case("a server's packet: CONNACK", "20 03 000000", WrongSide, Code::ProtocolError),
        Case("a server's packet: SUBACK", "90", WrongSide, Code::ProtocolError),
        Case("a server's packet: UNSUBACK", "b0", WrongSide, Code::ProtocolError),
        Case("a server's packet: PINGRESP", "d000", WrongSide, Code::ProtocolError),
        Case("flags of PUBREL [MQTT-3.6.1-1]", "60 02 0001", HeaderFlags, Code::MalformedPacket),
        Case("flags of SUBSCRIBE [MQTT-3.8.1-1]", "80", HeaderFlags, Code::MalformedPacket),
        Case("flags of UNSUBSCRIBE [MQTT-3.10.1-1]", "a0", HeaderFlags, Code::MalformedPacket),
        Case("flags of DISCONNECT [MQTT-3.14.1-1]", "e1", HeaderFlags, Code::MalformedPacket),
        Case("flags of AUTH [MQTT-3.15.1-1]", "f4", HeaderFlags, Code::MalformedPacket),
        Case("a body of PINGREQ", "c0 01 00", BytesLeftOver, Code::MalformedPacket),
        Case("PUBACK without an identifier", "40 00", Truncated, Code::MalformedPacket),
        Case("PUBACK with identifier 0", "40 02 0000", PacketIdZero, Code::ProtocolError),
        Case("PUBACK with a code of CONNACK [MQTT-3.4.2-1]", "40 03 0001 84", Reason(0x84), Code::ProtocolError),
        Case("PUBREL with a code of PUBREC [MQTT-3.6.2-1]", "62 03 0001 10", Reason(0x10), Code::ProtocolError),
        Case("PUBACK with a property of PUBLISH", "40 06 0001 00 02 0101", Property(1), Code::MalformedPacket),
        Case("PUBACK with two reason strings", "40 0a 0001 00 06 1f0000 1f0000", PropertyAgain(0x1f), Code::ProtocolError),
        Case("PUBACK with bytes after its properties", "40 05 0001 00 00 00", BytesLeftOver, Code::MalformedPacket),
        Case("DISCONNECT with a server's code [MQTT-3.14.2-1]", "e0 01 8b", Reason(0x8b), Code::ProtocolError),
        Case("AUTH with a server's code [MQTT-3.15.2-1]", "f0 00", Reason(0), Code::ProtocolError),
        Case("AUTH without a method", "f0 02 18 00", AuthenticationMethodMissing, Code::ProtocolError),
        Case("AUTH without the length of its properties", "f0 01 18", Truncated, Code::MalformedPacket),
    ];
    refused(&decoder(Sender::Client, Version::V5), &cases);
}

#[test]
fn publish_in_5_0() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("QoS 3 [MQTT-3.3.1-4]", "36 06 0001 61 0001 00", QoS, Code::MalformedPacket),
        Case("DUP at QoS 0 [MQTT-3.3.1-2]", "38 04 0001 61 00", DupAtMostOnce, Code::MalformedPacket),
        Case("identifier 0 [MQTT-2.2.1-3]", "32 06 0001 61 0000 00", PacketIdZero, Code::ProtocolError),
        Case("no identifier at QoS 1", "32 03 0001 61", Truncated, Code::MalformedPacket),
        Case("+ in the name [MQTT-3.3.2-2]", "30 06 0003 612f2b 00", Topic(TopicError::Wildcard), Code::MalformedPacket),
        Case("# in the name [MQTT-3.3.2-2]", "30 04 0001 23 00", Topic(TopicError::Wildcard), Code::MalformedPacket),
        Case("U+0000 in the name [MQTT-4.7.3-2]", "30 04 0001 00 00", Text(TextError::HasNul), Code::MalformedPacket),
        Case("a surrogate in the name [MQTT-1.5.4-1]", "30 06 0003 eda080 00", Text(TextError::NotUtf8), Code::MalformedPacket),
        Case("neither a name nor an alias", "30 03 0000 00", TopicMissing, Code::ProtocolError),
        Case("alias 0 [MQTT-3.3.2-8]", "30 07 0001 61 03 230000", TopicAliasZero, Code::TopicAliasInvalid),
        Case("two aliases", "30 0a 0001 61 06 230001 230001", PropertyAgain(0x23), Code::ProtocolError),
        Case("a subscription identifier [MQTT-3.3.4-6]", "30 06 0001 61 02 0b01", SubscriptionIdFromClient, Code::ProtocolError),
        Case("payload format 2", "30 06 0001 61 02 0102", PropertyValue(1), Code::ProtocolError),
        Case("a wildcard in the response topic [MQTT-3.3.2-14]", "30 08 0001 61 04 08000123", Topic(TopicError::Wildcard), Code::MalformedPacket),
        Case("a property of CONNECT", "30 07 0001 61 03 210001", Property(0x21), Code::MalformedPacket),
        Case("no length of the properties", "30 03 0001 61", Truncated, Code::MalformedPacket),
        Case("a length of the properties with a needless byte", "30 05 0001 61 8000", LengthNotMinimal, Code::MalformedPacket),
        Case("a length with a needless byte [MQTT-1.5.5-1]", "30 8400 0001 61 00", LengthNotMinimal, Code::MalformedPacket),
    ];
    refused(&decoder(Sender::Client, Version::V5), &cases);
}

#[test]
fn subscribe_in_5_0() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("no filter [MQTT-3.8.3-2]", "82 03 0001 00", FilterMissing, Code::ProtocolError),
        Case("identifier 0 [MQTT-2.2.1-3]", "82 07 0000 00 0001 61 00", PacketIdZero, Code::ProtocolError),
        Case("reserved bits [MQTT-3.8.3-5]", "82 07 0001 00 0001 61 40", SubscriptionBits, Code::MalformedPacket),
        Case("QoS 3", "82 07 0001 00 0001 61 03", SubscriptionOptions, Code::ProtocolError),
        Case("retain handling 3", "82 07 0001 00 0001 61 30", SubscriptionOptions, Code::ProtocolError),
        Case("no options", "82 06 0001 00 0001 61", Truncated, Code::MalformedPacket),
        Case("# in the middle [MQTT-4.7.1-1]", "82 09 0001 00 0003 232f61 00", Filter(TopicError::Wildcard), Code::MalformedPacket),
        Case("+ that is not a level [MQTT-4.7.1-2]", "82 08 0001 00 0002 612b 00", Filter(TopicError::Wildcard), Code::MalformedPacket),
        Case("an empty filter [MQTT-4.7.3-1]", "82 06 0001 00 0000 00", Filter(TopicError::Empty), Code::MalformedPacket),
        Case("$share without a filter [MQTT-4.8.2-2]", "82 0e 0001 00 0008 247368617265 2f67 00", Filter(TopicError::Share), Code::MalformedPacket),
        Case("$share with a wildcard in the name [MQTT-4.8.2-2]", "82 10 0001 00 000a 247368617265 2f2b2f61 00", Filter(TopicError::Share), Code::MalformedPacket),
        Case("no local on a shared subscription [MQTT-3.8.3-4]", "82 10 0001 00 000a 247368617265 2f672f61 04", NoLocalOnShared, Code::ProtocolError),
        Case("subscription identifier 0", "82 09 0001 02 0b00 0001 61 00", PropertyValue(0x0b), Code::ProtocolError),
        Case("two subscription identifiers", "82 0b 0001 04 0b010b01 0001 61 00", PropertyAgain(0x0b), Code::ProtocolError),
        Case("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", "a2 03 0001 00", FilterMissing, Code::ProtocolError),
        Case("UNSUBSCRIBE with a reason string", "a2 09 0001 03 1f0000 0001 61", Property(0x1f), Code::MalformedPacket),
    ];
    refused(&decoder(Sender::Client, Version::V5), &cases);
}

#[test]
fn after_connect_in_3_1_1() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("AUTH", "f0 00", UnknownType(15), Code::MalformedPacket),
        Case("an empty topic name, 3.1.1 [MQTT-4.7.3-1]", "30 02 0000", Topic(TopicError::Empty), Code::MalformedPacket),
        Case("a reason code in PUBACK", "40 03 0001 00", BytesLeftOver, Code::MalformedPacket),
        Case("a reason code in DISCONNECT", "e0 01 00", BytesLeftOver, Code::MalformedPacket),
        Case("no filter, 3.1.1 [MQTT-3.8.3-3]", "82 02 0001", FilterMissing, Code::ProtocolError),
        Case("an option of 5.0, 3.1.1 [MQTT-3-8.3-4]", "82 06 0001 0001 61 04", SubscriptionBits, Code::MalformedPacket),
        Case("QoS 3, 3.1.1 [MQTT-3-8.3-4]", "82 06 0001 0001 61 03", SubscriptionOptions, Code::ProtocolError),
    ];
    refused(&decoder(Sender::Client, Version::V311), &cases);
}

#[test]
fn from_a_server() {
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("flags of CONNACK [MQTT-3.2.2-1]", "20 03 02 00 00", ConnAckFlags, Code::MalformedPacket),
        Case("a session and a refusal [MQTT-3.2.2-6]", "20 03 01 87 00", ConnAckFlags, Code::MalformedPacket),
        Case("a code that is none of CONNACK [MQTT-3.2.2-8]", "20 03 00 8b 00", Reason(0x8b), Code::ProtocolError),
        Case("maximum QoS 2", "20 05 00 00 02 2402", PropertyValue(0x24), Code::ProtocolError),
        Case("a session expiry in DISCONNECT [MQTT-3.14.2-2]", "e0 07 00 05 1100000001", Property(0x11), Code::MalformedPacket),
        Case("a code that is none of SUBACK [MQTT-3.9.3-2]", "90 04 0001 00 03", Reason(3), Code::ProtocolError),
        Case("a client's packet: SUBSCRIBE", "82", WrongSide, Code::ProtocolError),
    ];
    refused(&decoder(Sender::Server, Version::V5), &cases);
    #[rustfmt::skip] // a table is read by its lines
    let cases = [
        Case("a failure of 5.0 in SUBACK, 3.1.1 [MQTT-3.9.3-2]", "90 03 0001 87", Reason(0x87), Code::ProtocolError),
        Case("return code 6", "20 02 00 06", Reason(6), Code::ProtocolError),
        Case("DISCONNECT of a server", "e0 00", WrongSide, Code::ProtocolError),
    ];
    refused(&decoder(Sender::Server, Version::V311), &cases);
}

#[test]
fn lists_have_bounds() {
    use crate::mqtt::decode::{REPEATS_MAX, SUBSCRIPTIONS_MAX};
    let subscribe = |count: usize| {
        let mut packet = BytesMut::from(&b"\x82\0\0\x01"[..]);
        packet.extend((0..count).flat_map(|_| *b"\0\x01a\0"));
        with_length(packet)
    };
    let mut decoder = decoder(Sender::Client, Version::V311);
    assert!(decoder.decode(&mut subscribe(SUBSCRIPTIONS_MAX)).is_ok());
    let error = decoder.decode(&mut subscribe(SUBSCRIPTIONS_MAX + 1)).unwrap_err();
    assert_eq!((error, error.reason()), (TooMany(SUBSCRIPTIONS_MAX), Code::QuotaExceeded));

    let mut publish = Publish::new(super::Topic::new("a").unwrap(), bytes::Bytes::new());
    let user_properties = vec![Default::default(); REPEATS_MAX + 1];
    publish.properties = PassedOn { user_properties, ..PassedOn::default() }.into();
    let mut bytes = encoded(&Packet::Publish(publish), Version::V5);
    assert_eq!(super::decoder(Sender::Client, Version::V5).decode(&mut bytes), Err(TooMany(REPEATS_MAX)));
}

#[test]
fn names_and_filters_that_are_too_deep_have_their_own_reasons() {
    let deep = [&[0, topic::LEVELS_MAX as u8][..], &[b'/'; topic::LEVELS_MAX]].concat();
    let publish = with_length(BytesMut::from(&[&b"\x30\0"[..], &deep].concat()[..]));
    let error = decode_one(decoder(Sender::Client, Version::V311), &publish).unwrap_err();
    assert_eq!((error, error.reason()), (Topic(TopicError::TooDeep), Code::TopicNameInvalid));
    let subscribe = with_length(BytesMut::from(&[&b"\x82\0\0\x01"[..], &deep, b"\0"].concat()[..]));
    let error = decode_one(decoder(Sender::Client, Version::V311), &subscribe).unwrap_err();
    assert_eq!((error, error.reason()), (Filter(TopicError::TooDeep), Code::TopicFilterInvalid));
}

/// A length with a needless byte is no fault in 3.1.1, which does not forbid it.
#[test]
fn a_length_with_a_needless_byte_is_read_in_3_1_1() {
    let packet = decode_one(decoder(Sender::Client, Version::V311), &bytes("c0 80 00"));
    assert_eq!(packet, Ok(Packet::PingReq));
}

/// So that the refusal can be told in the version that the client speaks.
#[test]
fn the_version_is_known_before_the_rest_of_connect_is_judged() {
    let mut decoder = Decoder::new(100);
    assert_eq!(decoder.version(), None);
    let connect = bytes("10 0d 0004 4d515454 05 03 003c 00 0000");
    assert_eq!(decoder.decode(&mut BytesMut::from(&connect[..])), Err(ConnectFlags));
    assert_eq!(decoder.version(), Some(Version::V5));
}

/// Puts the length of the body into a packet whose second byte is a place for it.
fn with_length(packet: BytesMut) -> BytesMut {
    let mut whole = BytesMut::from(&packet[..1]);
    let body = &packet[2..];
    crate::mqtt::varint::write(body.len() as u32, |byte| whole.extend([byte]));
    whole.extend_from_slice(body);
    whole
}
