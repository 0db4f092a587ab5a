//! The same bytes through another crate's codec: what is encoded here is read by `rumqttc`, what it then writes is
//! decoded here, and nothing has changed on the way. That both mean the same by a field is checked once by name for the
//! packets that have many.

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use super::strategies::any_packet;
use super::*;

const BYTES_MAX: usize = 1 << 20;

/// What rumqttc makes of a packet of 3.1.1.
fn through_v4(bytes: &BytesMut) -> BytesMut {
    let theirs = v4::Packet::read(&mut bytes.clone(), BYTES_MAX).expect("rumqttc reads what is encoded here");
    let mut written = BytesMut::new();
    theirs.write(&mut written, BYTES_MAX).expect("rumqttc writes what it has read");
    written
}

/// What rumqttc makes of a packet of 5.0.
fn through_v5(bytes: &BytesMut) -> BytesMut {
    let theirs = v5::Packet::read(&mut bytes.clone(), None).expect("rumqttc reads what is encoded here");
    let mut written = BytesMut::new();
    theirs.write(&mut written, None).expect("rumqttc writes what it has read");
    written
}

/// What rumqttc 0.25 has no room for, or gets wrong, is brought into a form that it carries.
fn as_rumqttc_has_it(packet: &mut Packet, version: Version) -> bool {
    match packet {
        Packet::Connect(connect) => {
            // Its login has a user name and a password or neither, both UTF-8, and what is empty is not there.
            let has_name = connect.user_name.as_ref().is_some_and(|name| !name.is_empty());
            let password = connect.password.as_ref().map_or(&[][..], |password| password.as_bytes());
            if !has_name || password.is_empty() || std::str::from_utf8(password).is_err() {
                (connect.user_name, connect.password) = (None, None);
            }
            true
        }
        // It counts each subscription identifier one byte too long, and so ends before the last property if there are two.
        Packet::Publish(publish) => {
            publish.subscription_ids.truncate(1);
            true
        }
        // It counts one byte too few for a DISCONNECT without properties, and reads none that has a code alone.
        Packet::Disconnect(disconnect) => version == Version::V311 || disconnect.reason_string.is_some(),
        // It does not know AUTH as a packet that is read.
        Packet::Auth(_) => false,
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn nothing_changes_on_the_way_through_another_codec((mut packet, sender, version) in any_packet()) {
        if !as_rumqttc_has_it(&mut packet, version) {
            return Ok(());
        }
        let bytes = encoded(&packet, version);
        let theirs = match version {
            Version::V311 => through_v4(&bytes),
            Version::V5 => through_v5(&bytes),
        };
        prop_assert_eq!(decode_one(decoder_for(&packet, sender, version), &theirs), Ok(packet));
    }
}

fn pair(name: &str) -> Vec<(String, String)> {
    vec![(name.to_string(), "value".to_string())]
}

fn pair_here(name: &'static str) -> UserProperties {
    vec![(Text::from_static(name), Text::from_static("value"))]
}

/// Decodes what rumqttc writes.
fn decoded_v5(theirs: v5::Packet, decoder: Decoder) -> Packet {
    let mut bytes = BytesMut::new();
    theirs.write(&mut bytes, None).unwrap();
    decode_one(decoder, &bytes).unwrap()
}

#[test]
fn each_field_of_connect_means_the_same() {
    let will = v5::LastWill {
        topic: "w".into(),
        message: "gone".into(),
        qos: rumqttc::v5::mqttbytes::QoS::ExactlyOnce,
        retain: true,
        properties: Some(v5::LastWillProperties {
            delay_interval: Some(1),
            payload_format_indicator: Some(1),
            message_expiry_interval: Some(2),
            content_type: Some("text".into()),
            response_topic: Some("r".into()),
            correlation_data: Some("data".into()),
            user_properties: pair("will"),
        }),
    };
    let connect = v5::Connect {
        keep_alive: 3,
        client_id: "c".into(),
        clean_start: false,
        properties: Some(v5::ConnectProperties {
            session_expiry_interval: Some(4),
            receive_maximum: Some(5),
            max_packet_size: Some(6),
            topic_alias_max: Some(7),
            request_response_info: Some(1),
            request_problem_info: Some(0),
            user_properties: pair("connect"),
            authentication_method: Some("m".into()),
            authentication_data: Some("d".into()),
        }),
    };
    let login = v5::Login { username: "u".into(), password: "p".into() };
    let theirs = v5::Packet::Connect(connect, Some(will), Some(login));
    let Packet::Connect(ours) = decoded_v5(theirs, Decoder::new(1000)) else { panic!("a CONNECT") };
    let text = Text::from_static;
    let expected = Connect {
        version: Version::V5,
        clean_start: false,
        keep_alive_secs: 3,
        client_id: text("c"),
        user_name: Some(text("u")),
        password: Some(Password::try_from(&b"p"[..]).unwrap()),
        will: Some(Will {
            topic: Topic::new("w").unwrap(),
            payload: bytes::Bytes::from("gone").try_into().unwrap(),
            qos: QoS::ExactlyOnce,
            retain: true,
            delay_secs: 1,
            message_expiry_secs: Some(2),
            properties: PassedOn {
                payload_is_utf8: Some(true),
                content_type: Some(text("text")),
                response_topic: Some(Topic::new("r").unwrap()),
                correlation_data: Some(bytes::Bytes::from("data").try_into().unwrap()),
                user_properties: pair_here("will"),
            }
            .into(),
        }),
        session_expiry_secs: 4,
        receive_max: Some(5.try_into().unwrap()),
        packet_bytes_max: Some(6.try_into().unwrap()),
        topic_alias_max: 7,
        request_response_information: true,
        request_problem_information: false,
        authentication: Some(Authentication {
            method: text("m"),
            data: Some(bytes::Bytes::from("d").try_into().unwrap()),
        }),
        user_properties: pair_here("connect"),
    };
    assert_eq!(*ours, expected);
}

#[test]
fn each_field_of_connack_means_the_same() {
    let theirs = v5::Packet::ConnAck(v5::ConnAck {
        session_present: true,
        code: v5::ConnectReturnCode::Success,
        properties: Some(v5::ConnAckProperties {
            session_expiry_interval: Some(1),
            receive_max: Some(2),
            max_qos: Some(1),
            retain_available: Some(0),
            max_packet_size: Some(3),
            assigned_client_identifier: Some("id".into()),
            topic_alias_max: Some(4),
            reason_string: Some("why".into()),
            user_properties: pair("connack"),
            wildcard_subscription_available: Some(0),
            subscription_identifiers_available: Some(1),
            shared_subscription_available: Some(0),
            server_keep_alive: Some(5),
            response_information: Some("info".into()),
            server_reference: Some("elsewhere".into()),
            authentication_method: Some("m".into()),
            authentication_data: None,
        }),
    });
    let text = Text::from_static;
    let ours = decoded_v5(theirs, decoder(Sender::Server, Version::V5));
    let expected = ConnAck {
        session_present: true,
        code: ReasonCode::Success,
        session_expiry_secs: Some(1),
        receive_max: Some(2.try_into().unwrap()),
        qos_max: QoS::AtLeastOnce,
        retain_available: false,
        packet_bytes_max: Some(3.try_into().unwrap()),
        assigned_client_id: Some(text("id")),
        topic_alias_max: 4,
        reason_string: Some(text("why")),
        wildcards_available: false,
        subscription_ids_available: true,
        shared_subscriptions_available: false,
        keep_alive_secs: Some(5),
        response_information: Some(text("info")),
        server_reference: Some(text("elsewhere")),
        authentication: Some(Authentication { method: text("m"), data: None }),
        user_properties: pair_here("connack"),
    };
    assert_eq!(ours, Packet::ConnAck(Box::new(expected)));
}

#[test]
fn each_field_of_publish_means_the_same() {
    let theirs = v5::Packet::Publish(v5::Publish {
        dup: true,
        qos: rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
        retain: true,
        topic: "t".into(),
        pkid: 9,
        payload: "payload".into(),
        properties: Some(v5::PublishProperties {
            payload_format_indicator: Some(0),
            message_expiry_interval: Some(1),
            topic_alias: Some(2),
            response_topic: Some("r".into()),
            correlation_data: Some("data".into()),
            user_properties: pair("publish"),
            subscription_identifiers: vec![3, 200],
            content_type: Some("text".into()),
        }),
    });
    let ours = decoded_v5(theirs, decoder(Sender::Server, Version::V5));
    let expected = Publish {
        dup: true,
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: Some(Topic::new("t").unwrap()),
        packet_id: Some(9.try_into().unwrap()),
        topic_alias: Some(2.try_into().unwrap()),
        message_expiry_secs: Some(1),
        subscription_ids: [3, 200].into_iter().filter_map(SubscriptionId::new).collect(),
        properties: PassedOn {
            payload_is_utf8: Some(false),
            content_type: Some(Text::from_static("text")),
            response_topic: Some(Topic::new("r").unwrap()),
            correlation_data: Some(bytes::Bytes::from("data").try_into().unwrap()),
            user_properties: pair_here("publish"),
        }
        .into(),
        payload: "payload".into(),
    };
    assert_eq!(ours, Packet::Publish(expected));
}
