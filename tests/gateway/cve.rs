//! Faults that other brokers have had, by the number under which they were published: none of them is ours.

use std::num::NonZeroU16;

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Gateway, Login, eventually};

fn refused(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metrics().value("sealgate_edge_refused_total", &[("cause", cause)])
}

/// Mosquitto reserved memory for a first packet of any kind and size.
#[test]
fn cve_2023_0809_nothing_large_is_read_before_a_login() {
    let gateway = Gateway::start();
    for (first, cause) in [
        // PUBLISH, CONNECT, each of 256 MiB; CONNECT of one byte too many: 16,381 and the header's 4.
        (&b"\x30\xff\xff\xff\x7f"[..], "malformed"),
        (b"\x10\xff\xff\xff\x7f", "too_large"),
        (b"\x10\xfe\x7f", "too_large"),
    ] {
        let before = refused(&gateway, cause);
        let mut client = Client::open(&gateway, Version::V311);
        client.send_bytes(first);
        assert_eq!(client.until_closed(), []);
        eventually("it is counted", || (refused(&gateway, cause) == before + 1.0).then_some(()));
    }
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    let mut large = pump.draft(1.0);
    (large.content_format, large.payload) = (42, vec![7; 60_000]);
    let answer = client.publish_acknowledged(&pump.topic(), large.seal());
    assert_eq!(answer.code, ReasonCode::Success, "after the login a packet may be larger");
}

/// MQTT brokers have been brought down by packets that are nothing but properties.
#[test]
fn cve_2021_33175_a_flood_of_properties_is_refused() {
    let gateway = Gateway::start();
    // CONNECT with 1,200 user properties of empty name and value.
    let properties = b"\x26\x00\x00\x00\x00".repeat(1_200);
    let mut body = b"\x00\x04MQTT\x05\x02\x00\x3c".to_vec();
    body.extend_from_slice(&[0x80 | (properties.len() % 128) as u8, (properties.len() / 128) as u8]);
    body.extend_from_slice(&properties);
    body.extend_from_slice(b"\x00\x01a");
    let mut packet = vec![0x10, 0x80 | (body.len() % 128) as u8, (body.len() / 128) as u8];
    packet.extend_from_slice(&body);
    let mut client = Client::open(&gateway, Version::V5);
    client.send_bytes(&packet);
    let answers = client.until_closed();
    assert!(
        matches!(answers.as_slice(), [Packet::ConnAck(ack)] if ack.code == ReasonCode::QuotaExceeded),
        "{answers:?}"
    );
}

/// Mosquitto ran out of stack over a topic of 65,535 slashes.
#[test]
fn cve_2019_11779_a_topic_of_slashes_ends_nothing() {
    let gateway = Gateway::start();
    let service = gateway.add_service("console", &["sub:#", "pub:#"]);
    for version in [Version::V311, Version::V5] {
        let mut client = Client::connect(&gateway, version, &Login::of_service(&gateway, &service));
        let slashes = "/".repeat(65_535);
        // Raw, as the packets' own types need not be able to say it: SUBSCRIBE 1 to the filter, at QoS 0.
        let properties: &[u8] = if version == Version::V5 { b"\0" } else { b"" };
        let mut body = b"\x00\x01".to_vec();
        body.extend_from_slice(properties);
        body.extend_from_slice(&65_535_u16.to_be_bytes());
        body.extend_from_slice(slashes.as_bytes());
        body.push(0);
        let length = body.len();
        let mut packet =
            vec![0x82, 0x80 | (length % 128) as u8, 0x80 | (length / 128 % 128) as u8, (length / 16_384) as u8];
        packet.extend_from_slice(&body);
        client.send_bytes(&packet);
        // Whatever it is told, the gateway lives on.
        client.receive_or_end();
        assert!(gateway.law_holds());
    }
    let pump = gateway.add_device("pump");
    let mut other = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(other.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
}

/// Mosquitto let a client whose name is a wildcard read everybody's topics.
#[test]
fn cve_2017_7650_a_name_with_a_wildcard_opens_no_topic() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    for name in ["#", "+", "pump/#", "pu\u{0}mp"] {
        for version in [Version::V311, Version::V5] {
            let mut login = Login::of_device(&gateway, &pump);
            if name.contains('\0') {
                continue; // No such text can be made; the codec's own tests show that it is malformed.
            }
            login.client_id = name.to_owned();
            login.user_name = name.to_owned();
            let mut client = Client::open(&gateway, version);
            assert_ne!(client.log_in(login.connect(version)).code, ReasonCode::Success, "{name}");
        }
    }
    for name in ["#", "+", "a/b"] {
        assert_eq!(gateway.run(&["device", "add", name]).status.code(), Some(2), "{name} is no device id");
    }
}

/// Mosquitto kept a message for each time that a QoS 2 identifier came, and never let it go.
#[test]
fn cve_2023_28366_a_repeated_qos_2_identifier_keeps_nothing_more() {
    let gateway = Gateway::start();
    let service = gateway.add_service("flow", &["sub:flow", "pub:flow"]);
    let mut client = Client::connect(&gateway, Version::V5, &Login::of_service(&gateway, &service));
    assert_eq!(client.subscribe("flow", QoS::AtMostOnce), ReasonCode::Success);
    let publish = |client: &mut Client, dup: bool| {
        let mut publish =
            sealgate::mqtt::Publish::new(sealgate::mqtt::Topic::new("flow").unwrap(), b"once".as_slice().into());
        (publish.qos, publish.packet_id, publish.dup) = (QoS::ExactlyOnce, NonZeroU16::new(7), dup);
        client.send(&Packet::Publish(publish));
    };
    publish(&mut client, false);
    let first = [client.receive(), client.receive()];
    let heard = |packets: &[Packet]| packets.iter().filter(|packet| matches!(packet, Packet::Publish(_))).count();
    assert_eq!(heard(&first), 1);
    for _ in 0..200 {
        publish(&mut client, true);
        assert!(matches!(client.receive(), Packet::PubRec(ack) if ack.code == ReasonCode::Success), "[MQTT-4.3.3-10]");
    }
    assert_eq!(gateway.metrics().value("sealgate_broker_routed_total", &[]), 1.0, "it went to its subscriber once");
}

/// Mosquitto ended itself over a message to a topic that begins with `$` and is not `$SYS`.
#[test]
fn cve_2018_12543_topics_with_a_dollar_end_nothing() {
    let gateway = Gateway::start();
    let service = gateway.add_service("flow", &["sub:#", "pub:#"]);
    for version in [Version::V311, Version::V5] {
        for topic in ["$", "$/", "$foo/bar", "$SYSTEM", "$SYS", "$SYS/broker/clients"] {
            let mut client = Client::connect(&gateway, version, &Login::of_service(&gateway, &service));
            let answer = client.publish_acknowledged(topic, b"x".as_slice());
            assert!(version == Version::V311 || answer.code == ReasonCode::NotAuthorized, "{topic}: {answer:?}");
            client.send(&Packet::PingReq);
            assert_eq!(client.receive(), Packet::PingResp, "{topic}");
        }
    }
}

/// Mosquitto lost memory for each CONNECT whose will bore a property that no will has.
#[test]
fn cve_2023_3592_a_wills_wrong_property_is_refused() {
    let gateway = Gateway::start();
    for _ in 0..50 {
        let mut client = Client::open(&gateway, Version::V5);
        // CONNECT with a will whose properties hold a Receive Maximum (0x21).
        client.send_bytes(b"\x10\x1b\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01a\x03\x21\x00\x05\x00\x01t\x00\x04word");
        let answers = client.until_closed();
        assert!(matches!(answers.as_slice(), [Packet::ConnAck(ack)] if ack.code.is_failure()), "{answers:?}");
    }
    assert_eq!(gateway.metrics().value("sealgate_broker_sessions", &[]), 0.0);
}

/// Clients that open connections and say nothing, or say it by the byte, held all places of other brokers for as long as they liked.
#[test]
fn cve_2020_13849_slow_clients_hold_no_place_for_long() {
    let gateway = Gateway::start_with(&[("edge.connections_max", "4"), ("edge.connect_timeout", "1s")]);
    let pump = gateway.add_device("pump");
    let mut slow: Vec<Client> = (0..4).map(|_| Client::open(&gateway, Version::V5)).collect();
    for client in &mut slow {
        client.send_bytes(&[0x10, 0x7f, 0]);
    }
    eventually("a place is free again", || {
        let mut client = Client::open(&gateway, Version::V5);
        client.send(&Packet::Connect(Box::new(Login::of_device(&gateway, &pump).connect(Version::V5))));
        // Who is turned away is told so.
        client.receive_or_end().filter(|answer| matches!(answer, Packet::ConnAck(ack) if !ack.code.is_failure()))
    });
    assert!(refused(&gateway, "timeout") >= 1.0);
}
