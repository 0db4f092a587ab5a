//! Each bound of a client or an address: what meets it is told so and counted, and everybody else goes on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealgate::mqtt::{Binary, Packet, PublishProperties, QoS, ReasonCode, Text, Topic, Version, Will};

use crate::harness::{Client, Gateway, Login, PATIENCE, eventually, post_form};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn count(gateway: &Gateway, series: &str, label: (&str, &str)) -> f64 {
    gateway.metrics().value(series, &[label])
}

/// A client whose proxy says that it comes from there.
fn open_from(gateway: &Gateway, version: Version, address: &str) -> Client {
    let mut client = Client::open(gateway, version);
    client.send_bytes(header(address).as_bytes());
    client
}

fn header(address: &str) -> String {
    format!("PROXY TCP4 {address} 192.0.2.1 4711 1883\r\n")
}

#[test]
fn an_address_has_so_many_connections_and_another_has_its_own() {
    let gateway = Gateway::start_with(&[
        ("edge.proxy_protocol", "expected"),
        ("edge.connections_per_address_max", "2"),
        ("edge.connection_rate_per_address_max", "1000"),
    ]);
    let login = Login::of_device(&gateway, &gateway.add_device("pump"));
    let held = ["fan", "valve"].map(|id| {
        let mut client = open_from(&gateway, Version::V5, "203.0.113.7");
        let login = Login::of_device(&gateway, &gateway.add_device(id));
        assert_eq!(client.log_in(login.connect(Version::V5)).code, ReasonCode::Success);
        client
    });
    for version in VERSIONS {
        let answer = open_from(&gateway, version, "203.0.113.7").log_in(login.connect(version));
        assert_eq!(answer.code.connect_return_code(), 3);
        assert!(version == Version::V311 || answer.code == ReasonCode::QuotaExceeded, "{answer:?}");
    }
    let mut other = open_from(&gateway, Version::V5, "203.0.113.8");
    assert_eq!(other.log_in(login.connect(Version::V5)).code, ReasonCode::Success);
    assert_eq!(count(&gateway, "sealgate_edge_turned_away_total", ("cause", "address_full")), 2.0);
    assert!(gateway.log().contains("edge.connections_per_address_max"), "the log names the setting");
    drop(held);
    eventually("a place of the address is free", || {
        let mut client = open_from(&gateway, Version::V5, "203.0.113.7");
        (client.log_in(login.connect(Version::V5)).code == ReasonCode::Success).then_some(())
    });
}

#[test]
fn who_connects_too_often_is_told_so_and_another_is_not() {
    let gateway =
        Gateway::start_with(&[("edge.proxy_protocol", "expected"), ("edge.connection_rate_per_address_max", "1")]);
    let device = gateway.add_device("pump");
    let login = Login::of_device(&gateway, &device);
    let answer = eventually("one comes too early", || {
        let answer = open_from(&gateway, Version::V5, "203.0.113.7").log_in(login.connect(Version::V5));
        answer.code.is_failure().then_some(answer)
    });
    assert_eq!(answer.code, ReasonCode::ConnectionRateExceeded);
    assert!(count(&gateway, "sealgate_edge_turned_away_total", ("cause", "address_rate")) >= 1.0);
    let mut other = open_from(&gateway, Version::V5, "203.0.113.8");
    assert_eq!(other.log_in(login.connect(Version::V5)).code, ReasonCode::Success);
}

#[test]
fn who_is_faster_than_he_may_be_loses_nothing_and_holds_up_nobody() {
    let gateway = Gateway::start_with(&[("edge.messages_per_second_max", "4")]);
    let (fast, other) = (gateway.add_device("fast"), gateway.add_device("other"));
    for version in VERSIONS {
        let mut connect = Login::of_device(&gateway, &fast).connect(version);
        connect.keep_alive_secs = 1; // It ends nobody who is not read.
        let mut client = Client::open(&gateway, version);
        assert_eq!(client.log_in(connect).code, ReasonCode::Success);
        let began = now();
        let topic = fast.topic();
        let sent: Vec<_> = (0..14).map(|_| client.publish(&topic, QoS::AtLeastOnce, fast.seal(1.0))).collect();
        let mut beside = Client::of_device(&gateway, version, &other);
        assert_eq!(beside.publish_acknowledged(&other.topic(), other.seal(1.0)).code, ReasonCode::Success);
        for packet_id in sent {
            assert!(matches!(client.receive(), Packet::PubAck(ack) if Some(ack.packet_id) == packet_id));
        }
        // A second's worth and one at once, and nine more at four a second.
        assert!((now() - began) >= Duration::from_millis(2_200), "{:?}", (now() - began));
    }
    assert!(count(&gateway, "sealgate_edge_throttled_total", ("by", "messages")) >= 2.0);
    assert_eq!(count(&gateway, "sealgate_edge_ended_total", ("cause", "silent")), 0.0);
}

#[test]
fn who_sends_more_bytes_than_he_may_loses_nothing() {
    let gateway = Gateway::start_with(&[("edge.bytes_per_second_max", "8192")]);
    let service = gateway.add_service("flow", &["pub:flow/#", "sub:flow/#"]);
    let mut client = Client::connect(&gateway, Version::V5, &Login::of_service(&gateway, &service));
    let began = now();
    for _ in 0..6 {
        client.publish("flow/a", QoS::AtLeastOnce, vec![0; 4096]);
    }
    for _ in 0..6 {
        assert!(matches!(client.receive(), Packet::PubAck(_)));
    }
    // 24 KiB at 8 KiB a second, of which the first second's and what one read takes come at once.
    assert!((now() - began) >= Duration::from_millis(200), "{:?}", (now() - began));
    assert!(count(&gateway, "sealgate_edge_throttled_total", ("by", "bytes")) >= 1.0);
}

#[test]
fn a_topic_that_is_too_long_or_too_deep_is_refused_and_the_connection_stays() {
    let gateway = Gateway::start_with(&[("broker.topic_bytes_max", "128"), ("broker.topic_levels_max", "8")]);
    let service = gateway.add_service("flow", &["pub:#", "sub:#"]);
    let login = Login::of_service(&gateway, &service);
    let (long, deep) = ("a".repeat(129), "a/".repeat(8));
    let (longest, deepest) = ("a".repeat(128), "a/".repeat(7));
    for version in VERSIONS {
        let mut client = Client::connect(&gateway, version, &login);
        for topic in [&long, &deep] {
            let answer = client.publish_acknowledged(topic, b"x".as_slice());
            assert!(version == Version::V311 || answer.code == ReasonCode::TopicNameInvalid, "{answer:?}");
            let code = client.subscribe(topic, QoS::AtLeastOnce);
            // 3.1.1 has one code of failure.
            assert!(code == ReasonCode::TopicFilterInvalid || (version == Version::V311 && code.is_failure()));
        }
        for topic in [&longest, &deepest] {
            assert_eq!(client.publish_acknowledged(topic, b"x".as_slice()).code, ReasonCode::Success);
            assert_eq!(client.subscribe(topic, QoS::AtMostOnce), ReasonCode::Success);
        }
        let mut connect = login.connect(version);
        connect.will = Some(will(&long));
        connect.client_id = Text::try_from("with-a-will").unwrap();
        let answer = Client::open(&gateway, version).log_in(connect);
        assert!(answer.code == ReasonCode::TopicNameInvalid || version == Version::V311, "{answer:?}");
        assert!(answer.code.is_failure());
    }
    for bound in ["topic", "filter"] {
        assert_eq!(count(&gateway, "sealgate_broker_over_limit_total", ("bound", bound)), 4.0);
    }
}

fn will(topic: &str) -> Will {
    Will {
        topic: Topic::new(topic).unwrap(),
        payload: Binary::try_from(Bytes::new()).unwrap(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay_secs: 0,
        message_expiry_secs: None,
        properties: PublishProperties::default(),
    }
}

/// Opens connections whose login fails, without waiting for the answers.
fn fail_at_once(gateway: &Gateway, logins: &[Login]) -> Vec<Client> {
    let open = |login: &Login| {
        let mut client = Client::open(gateway, Version::V5);
        client.send(&Packet::Connect(Box::new(login.connect(Version::V5))));
        client
    };
    logins.iter().map(open).collect()
}

fn paused(gateway: &Gateway, by: &str, count: f64) {
    eventually("all have failed", || {
        let counted = gateway.metrics().value("sealgate_auth_paused_total", &[("by", by)]);
        (counted >= count).then_some(())
    });
}

#[test]
fn failed_logins_in_one_name_wait_longer_each_time_and_the_good_one_does_not() {
    let gateway = Gateway::start_with(&[
        ("auth.failed_logins_free_per_device", "1"),
        ("auth.failed_logins_free_per_address", "1000"),
        ("auth.failed_login_pause_max", "60s"),
    ]);
    let device = gateway.add_device("pump");
    let good = Login::of_device(&gateway, &device);
    let bad = || Login { token: "x".to_owned(), client_id: "pump".to_owned(), user_name: "pump".to_owned() };
    let mut waiting = fail_at_once(&gateway, &[(); 10].map(|()| bad()));
    paused(&gateway, "name", 9.0);
    assert_eq!(Client::open(&gateway, Version::V5).log_in(good.connect(Version::V5)).code, ReasonCode::Success);
    // The pauses are 0, 0.5 s, 1 s, 2 s … 32 s, and twice the bound, in the order in which the logins were judged.
    let mut look = || {
        waiting.retain_mut(|client| client.hears_nothing_for(Duration::from_millis(1)));
        waiting.len()
    };
    assert!(look() >= 2, "a pause of a minute is not over");
    eventually("who waited is answered", || (look() <= 6).then_some(()));
    // A success has made the account good.
    let mut next = fail_at_once(&gateway, &[bad()]);
    next[0].receive();
    assert_eq!(count(&gateway, "sealgate_auth_paused_total", ("by", "name")), 9.0);
}

#[test]
fn failed_logins_of_one_address_wait_whatever_the_name() {
    let gateway =
        Gateway::start_with(&[("auth.failed_logins_free_per_address", "2"), ("auth.failed_login_pause_max", "1s")]);
    let device = gateway.add_device("pump");
    let good = Login::of_device(&gateway, &device);
    let bad = |number| Login { token: "x".to_owned(), client_id: String::new(), user_name: format!("nobody-{number}") };
    let logins: Vec<Login> = (0..6).map(bad).collect();
    let failing = fail_at_once(&gateway, &logins);
    paused(&gateway, "address", 4.0);
    assert_eq!(Client::open(&gateway, Version::V5).log_in(good.connect(Version::V5)).code, ReasonCode::Success);
    for mut client in failing {
        assert!(matches!(client.receive(), Packet::ConnAck(ack) if ack.code == ReasonCode::NotAuthorized));
    }
}

#[test]
fn a_wrong_secret_at_the_token_endpoint_waits_too() {
    let gateway =
        Gateway::start_with(&[("auth.failed_logins_free_per_device", "1"), ("auth.failed_login_pause_max", "600ms")]);
    let device = gateway.add_device("pump");
    let ask = |secret: &str| {
        let fields =
            [("grant_type", "client_credentials"), ("client_id", &device.client_id), ("client_secret", secret)];
        post_form(gateway.public(), "/oauth/token", &fields)
    };
    assert_eq!(ask("wrong").status, 401);
    let began = now();
    assert_eq!(ask("wrong").status, 401);
    assert!((now() - began) >= Duration::from_millis(500));
    assert_eq!(ask(&device.client_secret).status, 200);
    assert_eq!(count(&gateway, "sealgate_auth_paused_total", ("by", "name")), 1.0);
}

#[test]
fn who_does_not_read_is_let_go_and_counted() {
    let gateway = Gateway::start_with(&[("edge.write_timeout", "1s")]);
    let service = gateway.add_service("flow", &["pub:flow/#", "sub:flow/#"]);
    let login = |client_id: &str| Login { client_id: client_id.to_owned(), ..Login::of_service(&gateway, &service) };
    let mut deaf = Client::connect(&gateway, Version::V5, &login("deaf"));
    assert_eq!(deaf.subscribe("flow/#", QoS::AtMostOnce), ReasonCode::Success);
    let mut publisher = Client::connect(&gateway, Version::V5, &login("publisher"));
    eventually("the deaf client is let go", || {
        assert_eq!(publisher.publish_acknowledged("flow/a", vec![0; 100_000]).code, ReasonCode::Success);
        (count(&gateway, "sealgate_edge_ended_total", ("cause", "not_reading")) == 1.0).then_some(())
    });
}

/// What a peer that sends these bytes hears until it is closed.
fn told(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_public_listener_believes_its_proxy_and_bounds_whom_it_names() {
    let gateway = Gateway::start_with(&[
        ("public.proxy_protocol", "expected"),
        ("public.connections_per_address_max", "1"),
        ("edge.connections_per_address_max", "1"),
    ]);
    let request = "GET /oauth/jwks HTTP/1.0\r\n\r\n";
    let from =
        |address: &str, request: &str| told(gateway.public(), format!("{}{request}", header(address)).as_bytes());
    assert!(from("203.0.113.7", request).starts_with("HTTP/1.0 200"));
    assert_eq!(told(gateway.public(), request.as_bytes()), "");
    assert_eq!(count(&gateway, "sealgate_public_refused_total", ("cause", "proxy")), 1.0);

    let mut held = TcpStream::connect(gateway.public()).unwrap();
    held.write_all(format!("{}GET /oauth/jwks HTTP/1.1\r\nhost: a\r\n\r\n", header("203.0.113.8")).as_bytes()).unwrap();
    held.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(held.read(&mut [0]).unwrap(), 1, "it is in, and stays for its next request");
    assert!(from("203.0.113.8", request).starts_with("HTTP/1.0 429"));
    assert_eq!(count(&gateway, "sealgate_public_refused_total", ("cause", "address_full")), 1.0);
    assert!(from("203.0.113.9", request).starts_with("HTTP/1.0 200"));

    // A WebSocket counts as an MQTT connection of whom the proxy names.
    let upgrade = "GET /mqtt HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: mqtt\r\n\r\n";
    let mut socket = TcpStream::connect(gateway.public()).unwrap();
    socket.write_all(format!("{}{upgrade}", header("203.0.113.10")).as_bytes()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let refused = eventually("the upgraded connection counts at the other door alone", || {
        let answer = from("203.0.113.10", &upgrade.replace("connection: upgrade", "connection: upgrade, close"));
        answer.contains("from this address").then_some(answer)
    });
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(count(&gateway, "sealgate_edge_turned_away_total", ("cause", "address_full")) >= 1.0);
}

#[expect(clippy::disallowed_methods, reason = "a pause has a length")]
fn now() -> Instant {
    Instant::now()
}
