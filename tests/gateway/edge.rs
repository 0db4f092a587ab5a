//! The door for clients: who comes in, how a connection ends, and what each is told.

use std::time::Duration;

use bytes::Bytes;
use sealgate::mqtt::{Disconnect, Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Deadline, Gateway, Login, eventually};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// The DISCONNECT with which a connection ended; at 3.1.1 there is none.
fn goodbye(packets: &[Packet]) -> Option<&Disconnect> {
    match packets.last() {
        Some(Packet::Disconnect(disconnect)) => Some(disconnect),
        _ => None,
    }
}

fn ended(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metrics().value("sealgate_edge_ended_total", &[("cause", cause)])
}

fn refused(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metrics().value("sealgate_edge_refused_total", &[("cause", cause)])
}

#[test]
fn both_versions_come_in_on_one_port_and_are_told_the_terms() {
    let gateway = Gateway::start();
    let device = gateway.add_device("plant-7.pump:12");
    let login = Login::of_device(&gateway, &device);
    for version in VERSIONS {
        let mut client = Client::open(&gateway, version);
        let answer = client.log_in(login.connect(version));
        assert_eq!((answer.code, answer.session_present), (ReasonCode::Success, false));
        if version == Version::V5 {
            assert_eq!(answer.receive_max.map(u16::from), Some(32));
            assert!(!answer.retain_available && !answer.subscription_ids_available);
            assert!(!answer.shared_subscriptions_available);
        }
        client.send(&Packet::PingReq);
        assert_eq!(client.receive(), Packet::PingResp); // [MQTT-3.12.4-1]
    }
}

#[test]
fn without_a_good_token_nobody_comes_in() {
    let gateway = Gateway::start();
    let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
    let good = Login::of_device(&gateway, &pump);
    let foreign = Login { token: Login::of_device(&gateway, &fan).token, ..Login::of_device(&gateway, &pump) };
    let mut tampered = Login::of_device(&gateway, &pump);
    tampered.token.replace_range(tampered.token.len() - 4.., "AAAA");
    let other_client_id = Login { client_id: "fan".to_owned(), ..Login::of_device(&gateway, &pump) };
    for version in VERSIONS {
        let answer = |change: &dyn Fn(&mut sealgate::mqtt::Connect), login: &Login| {
            let mut connect = login.connect(version);
            change(&mut connect);
            let mut client = Client::open(&gateway, version);
            let answer = client.log_in(connect);
            assert!(client.until_closed().is_empty(), "[MQTT-3.2.2-7]");
            answer.code
        };
        let unauthorized = ReasonCode::NotAuthorized;
        assert_eq!(answer(&|connect| connect.password = None, &good), unauthorized);
        assert_eq!(answer(&|connect| (connect.user_name, connect.password) = (None, None), &good), unauthorized);
        assert_eq!(answer(&|_| {}, &foreign), unauthorized);
        assert_eq!(answer(&|_| {}, &tampered), unauthorized);
        assert_eq!(answer(&|_| {}, &other_client_id), ReasonCode::ClientIdentifierNotValid);
    }
    assert_eq!(refused(&gateway, "login"), 10.0);
    let logins = |result| gateway.metrics().value("sealgate_auth_logins_total", &[("result", result)]);
    assert_eq!((logins("missing_token"), logins("wrong_user_name"), logins("wrong_client_id")), (4.0, 2.0, 2.0));
    assert!(!gateway.log().contains(&good.token), "a token is never logged");
}

#[test]
fn an_empty_client_id_becomes_the_device_id() {
    let gateway = Gateway::start();
    let device = gateway.add_device("pump");
    let mut login = Login::of_device(&gateway, &device);
    login.client_id.clear();
    let answer = Client::open(&gateway, Version::V5).log_in(login.connect(Version::V5));
    assert_eq!(answer.assigned_client_id.as_deref(), Some("pump")); // [MQTT-3.2.2-16]

    let mut nameless = login.connect(Version::V311);
    nameless.clean_start = false;
    let answer = Client::open(&gateway, Version::V311).log_in(nameless);
    assert_eq!(answer.code, ReasonCode::ClientIdentifierNotValid); // 3.1.1 [MQTT-3.1.3-8]
}

#[test]
fn who_says_nothing_is_shown_out_at_the_deadline() {
    let gateway = Gateway::start_with(&[("edge.connect_timeout", "200ms")]);
    let mut silent = Client::open(&gateway, Version::V5);
    let mut half = Client::open(&gateway, Version::V5);
    half.send_bytes(&[0x10, 0x20, 0, 4]);
    assert!(silent.until_closed().is_empty());
    assert!(half.until_closed().is_empty());
    assert_eq!(refused(&gateway, "timeout"), 2.0);
}

#[test]
fn a_first_packet_that_is_no_connect_ends_the_connection() {
    let gateway = Gateway::start();
    for (bytes, what) in [
        (b"GET / HTTP/1.1\r\n\r\n".as_slice(), "another protocol"),
        (&[0xC0, 0], "a PINGREQ [MQTT-3.1.0-1]"),
        (&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], "a packet of 256 MiB (CVE-2023-0809)"),
    ] {
        let mut client = Client::open(&gateway, Version::V5);
        client.send_bytes(bytes);
        assert!(client.until_closed().is_empty(), "{what}");
    }
    assert_eq!((refused(&gateway, "malformed"), refused(&gateway, "too_large")), (2.0, 1.0));
    let mut old = Client::open(&gateway, Version::V311);
    old.send_bytes(b"\x10\x0f\x00\x04MQTT\x03\x02\x00\x3c\x00\x03abc");
    let Packet::ConnAck(answer) = old.receive() else { panic!("a CONNACK") };
    assert_eq!(answer.code, ReasonCode::UnsupportedProtocolVersion); // [MQTT-3.1.2-2]
}

#[test]
fn malformed_packets_end_the_connection_with_their_reason() {
    let gateway = Gateway::start();
    let device = gateway.add_device("pump");
    let login = Login::of_device(&gateway, &device);
    for (bytes, reason, what) in [
        (&[0x36, 0x05, 0, 1, b'a', 0, 1][..], ReasonCode::MalformedPacket, "QoS 3 [MQTT-3.3.1-4]"),
        (&[0x82, 0x02, 0, 1], ReasonCode::MalformedPacket, "a SUBSCRIBE that is cut short"),
        (&[0x30, 0x80, 0x80, 0x80, 0x01], ReasonCode::PacketTooLarge, "2 MiB where 128 KiB are allowed"),
        (&[0x10, 0x00], ReasonCode::ProtocolError, "a second CONNECT [MQTT-3.1.0-2]"),
    ] {
        for version in VERSIONS {
            let mut client = Client::connect(&gateway, version, &login);
            client.send_bytes(bytes);
            let packets = client.until_closed();
            let told = goodbye(&packets).map(|disconnect| disconnect.code);
            assert_eq!(told, (version == Version::V5).then_some(reason), "{what}");
        }
    }
    assert_eq!(ended(&gateway, "peer_misbehaved"), 8.0);
}

#[test]
fn silence_of_one_and_a_half_keep_alives_ends_the_connection() {
    let gateway = Gateway::start();
    let device = gateway.add_device("pump");
    let login = Login::of_device(&gateway, &device);
    for version in VERSIONS {
        let mut connect = login.connect(version);
        connect.keep_alive_secs = 1;
        let mut client = Client::open(&gateway, version);
        client.log_in(connect);
        let not_before = Deadline::after(Duration::from_millis(1400));
        let packets = client.until_closed();
        assert!(not_before.left().is_zero(), "[MQTT-3.1.2-22]");
        let told = goodbye(&packets).map(|disconnect| disconnect.code);
        assert_eq!(told, (version == Version::V5).then_some(ReasonCode::KeepAliveTimeout));
    }
    assert_eq!(ended(&gateway, "silent"), 2.0);
}

#[test]
fn second_connect_takes_over_the_session() {
    let gateway = Gateway::start();
    let device = gateway.add_device("pump");
    let login = Login::of_device(&gateway, &device);
    let mut first = Client::open(&gateway, Version::V5);
    let mut connect = login.connect(Version::V5);
    (connect.clean_start, connect.session_expiry_secs) = (false, 60);
    first.log_in(connect.clone());
    let mut second = Client::open(&gateway, Version::V5);
    let answer = second.log_in(connect);
    assert!(answer.session_present, "[MQTT-3.1.2-5]");
    let packets = first.until_closed();
    assert_eq!(goodbye(&packets).unwrap().code, ReasonCode::SessionTakenOver); // [MQTT-3.1.4-3]
    assert_eq!(second.publish_acknowledged(&device.topic(), device.seal(1.0)).code, ReasonCode::Success);
    assert_eq!(ended(&gateway, "taken_over"), 1.0);
}

#[test]
fn a_service_cannot_take_over_a_devices_session_by_its_client_id() {
    let gateway = Gateway::start();
    let device = gateway.add_device("pump");
    let service = gateway.add_service("console", &["sub:readings/#"]);
    let mut pump = Client::of_device(&gateway, Version::V5, &device);
    let impostor = Login { client_id: "pump".to_owned(), ..Login::of_service(&gateway, &service) };
    let mut console = Client::connect(&gateway, Version::V5, &impostor);
    for client in [&mut pump, &mut console] {
        client.send(&Packet::PingReq);
        assert_eq!(client.receive(), Packet::PingResp);
    }
}

#[test]
fn a_connection_ends_with_its_token_and_the_session_stays() {
    let gateway = Gateway::start_with(&[("auth.token_lifetime", "3s")]);
    let service = gateway.add_service("console", &["sub:news", "pub:news"]);
    let login = Login::of_service(&gateway, &service);
    let mut connect = login.connect(Version::V5);
    (connect.clean_start, connect.session_expiry_secs) = (false, 60);
    let mut client = Client::open(&gateway, Version::V5);
    client.log_in(connect);
    assert_eq!(client.subscribe("news", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    let packets = client.until_closed();
    let told = goodbye(&packets).unwrap();
    assert_eq!(
        (told.code, told.reason_string.as_deref()),
        (ReasonCode::NotAuthorized, Some("the access token has expired"))
    );

    let mut again = Client::open(&gateway, Version::V5);
    let mut with_old_token = login.connect(Version::V5);
    with_old_token.clean_start = false;
    assert_eq!(again.log_in(with_old_token).code, ReasonCode::NotAuthorized);
    assert!(again.until_closed().is_empty(), "nothing is delivered without a new token");

    let other = gateway.add_service("other", &["pub:news"]);
    let mut publisher = Client::connect(&gateway, Version::V5, &Login::of_service(&gateway, &other));
    publisher.publish_acknowledged("news", Bytes::from_static(b"kept"));
    let mut with_new_token = Login::of_service(&gateway, &service).connect(Version::V5);
    (with_new_token.clean_start, with_new_token.session_expiry_secs) = (false, 60);
    let mut renewed = Client::open(&gateway, Version::V5);
    assert!(renewed.log_in(with_new_token).session_present);
    let Packet::Publish(kept) = renewed.receive() else { panic!("what waited") };
    assert_eq!(&kept.payload[..], b"kept");
    assert_eq!(ended(&gateway, "token_expired"), 1.0);
}

#[test]
fn one_connection_more_than_may_be_is_told_so_and_counted() {
    let gateway = Gateway::start_with(&[("edge.connections_max", "1")]);
    let device = gateway.add_device("pump");
    let first = Client::of_device(&gateway, Version::V5, &device);
    for version in VERSIONS {
        let mut second = Client::open(&gateway, version);
        let answer = second.log_in(Login::of_device(&gateway, &device).connect(version));
        // 3.1.1 has no word for busy but "unavailable" (section 3.2.2.3).
        assert_eq!(answer.code.connect_return_code(), 3);
        assert!(version == Version::V311 || answer.code == ReasonCode::ServerBusy, "{answer:?}");
        assert!(second.until_closed().is_empty());
    }
    let turned_away = gateway.metrics().value("sealgate_edge_turned_away_total", &[("cause", "full")]);
    assert_eq!(turned_away, 2.0);
    drop(first);
    eventually("the slot is free", || (gateway.metrics().value("sealgate_edge_connections", &[]) == 0.0).then_some(()));
    Client::of_device(&gateway, Version::V5, &device);
}

#[test]
fn at_3_1_1_too_a_connection_ends_with_its_token_and_the_token_opens_no_other() {
    let gateway = Gateway::start_with(&[("auth.token_lifetime", "3s")]);
    let device = gateway.add_device("pump");
    let login = Login::of_device(&gateway, &device);
    let mut client = Client::connect(&gateway, Version::V311, &login);
    assert!(client.until_closed().is_empty(), "3.1.1 has no word for it");
    assert_eq!(ended(&gateway, "token_expired"), 1.0);

    let mut again = Client::open(&gateway, Version::V311);
    again.send(&Packet::Connect(login.connect(Version::V311).into()));
    let Packet::ConnAck(answer) = again.receive() else { panic!("a CONNACK") };
    assert_eq!(answer.code.connect_return_code(), 5); // 3.1.1 section 3.2.2.3
    assert!(again.until_closed().is_empty(), "3.1.1 [MQTT-3.1.4-5]");
    assert!(gateway.log().contains("A login is refused"), "{}", gateway.log());
    assert!(!gateway.log().contains(&login.token), "a token is never logged");
}

#[test]
fn behind_a_proxy_the_client_is_whom_the_header_names() {
    let gateway = Gateway::start_with(&[("edge.proxy_protocol", "expected")]);
    let pump = gateway.add_device("pump");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x08\xc0\x00\x02\x01\x12\x67\x07\x5b";
    for (header, named) in [
        (&b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 1883\r\n"[..], "peer=203.0.113.7:4711"),
        (v2, "peer=203.0.113.8:4711"),
        (b"PROXY UNKNOWN\r\n", "peer=127.0.0.1:"),
    ] {
        let mut client = Client::open(&gateway, Version::V5);
        // In two pieces, as a network may bring it.
        client.send_bytes(&header[..5]);
        client.send_bytes(&header[5..]);
        let answer = client.log_in(Login::of_device(&gateway, &pump).connect(Version::V5));
        assert_eq!(answer.code, ReasonCode::Success);
        assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
        assert!(gateway.log().contains(&format!("A client has come in. {named}")), "{named}: {}", gateway.log());
    }
}

#[test]
fn who_brings_no_header_where_one_is_due_is_turned_away() {
    let gateway = Gateway::start_with(&[("edge.proxy_protocol", "expected"), ("edge.connect_timeout", "1s")]);
    let pump = gateway.add_device("pump");
    let mut headerless = Client::open(&gateway, Version::V5);
    headerless.send(&Packet::Connect(Box::new(Login::of_device(&gateway, &pump).connect(Version::V5))));
    assert_eq!(headerless.until_closed(), []);
    let mut half = Client::open(&gateway, Version::V5);
    half.send_bytes(b"PROXY TCP4 203.0.113.7");
    assert_eq!(half.until_closed(), []);
    eventually("both are counted", || {
        let refused = |cause| gateway.metrics().value("sealgate_edge_refused_total", &[("cause", cause)]);
        (refused("proxy") == 1.0 && refused("timeout") == 1.0).then_some(())
    });
}

#[test]
fn a_header_where_none_is_due_is_no_mqtt() {
    let gateway = Gateway::start();
    let mut client = Client::open(&gateway, Version::V311);
    client.send_bytes(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 1883\r\n");
    assert_eq!(client.until_closed(), []);
    assert_eq!(gateway.metrics().value("sealgate_edge_refused_total", &[("cause", "malformed")]), 1.0);
}
