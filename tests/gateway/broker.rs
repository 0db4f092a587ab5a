//! Between clients: who hears whom, at which QoS, and what is refused without ending the connection.

mod hold;

use std::time::Duration;

use bytes::Bytes;
use sealgate::mqtt::{Ack, Binary, Disconnect, Packet, Publish, QoS, ReasonCode, Topic, Unsubscribe, Version, Will};

use crate::harness::{Client, Device, Gateway, Login, eventually};

/// Long enough for what must not happen to happen on a machine that is idle; a slower machine makes the test weaker, not wrong.
const A_MOMENT: Duration = Duration::from_millis(200);

fn client(gateway: &Gateway, name: &str, scopes: &[&str], version: Version) -> Client {
    let service = gateway.add_service(name, scopes);
    Client::connect(gateway, version, &Login::of_service(gateway, &service))
}

fn received(client: &mut Client) -> Publish {
    match client.receive() {
        Packet::Publish(publish) => publish,
        other => panic!("a message was due, and this came: {other:?}"),
    }
}

fn payload(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn messages_pass_between_services_at_each_qos_and_version() {
    let gateway = Gateway::start();
    for (version, name) in [(Version::V311, "old"), (Version::V5, "new")] {
        let mut publisher = client(&gateway, &format!("{name}-publisher"), &["pub:rooms/#"], version);
        let mut subscriber = client(&gateway, &format!("{name}-subscriber"), &["sub:rooms/#"], version);
        assert_eq!(subscriber.subscribe("rooms/+/light", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);

        publisher.publish("rooms/kitchen/light", QoS::AtMostOnce, payload("0"));
        let at_most_once = received(&mut subscriber);
        assert_eq!((at_most_once.qos, &at_most_once.payload[..]), (QoS::AtMostOnce, &b"0"[..]));

        assert_eq!(publisher.publish_acknowledged("rooms/kitchen/light", payload("1")).code, ReasonCode::Success);
        let at_least_once = received(&mut subscriber);
        assert_eq!((at_least_once.qos, at_least_once.dup), (QoS::AtLeastOnce, false));
        subscriber.send(&Packet::PubAck(Ack::new(at_least_once.packet_id.unwrap(), ReasonCode::Success)));

        let id = publisher.publish("rooms/hall/light", QoS::ExactlyOnce, payload("2")).unwrap();
        assert_eq!(publisher.receive(), Packet::PubRec(Ack::new(id, ReasonCode::Success)));
        publisher.send(&Packet::PubRel(Ack::new(id, ReasonCode::Success)));
        assert_eq!(publisher.receive(), Packet::PubComp(Ack::new(id, ReasonCode::Success)));
        assert_eq!(&received(&mut subscriber).payload[..], b"2");
    }
}

#[test]
fn an_unacknowledged_message_comes_again_with_dup() {
    let gateway = Gateway::start();
    let mut publisher = client(&gateway, "publisher", &["pub:a"], Version::V5);
    let service = gateway.add_service("subscriber", &["sub:a"]);
    let login = Login::of_service(&gateway, &service);
    let connect = |clean_start| {
        let mut connect = login.connect(Version::V5);
        (connect.clean_start, connect.session_expiry_secs) = (clean_start, 60);
        connect
    };
    let mut subscriber = Client::open(&gateway, Version::V5);
    subscriber.log_in(connect(true));
    subscriber.subscribe("a", QoS::AtLeastOnce);
    publisher.publish_acknowledged("a", payload("first"));
    let first = received(&mut subscriber);
    drop(subscriber);
    publisher.publish_acknowledged("a", payload("second"));

    let mut back = Client::open(&gateway, Version::V5);
    assert!(back.log_in(connect(false)).session_present);
    let again = received(&mut back);
    assert_eq!((again.dup, again.packet_id, &again.payload[..]), (true, first.packet_id, &b"first"[..])); // [MQTT-4.4.0-1]
    assert_eq!(&received(&mut back).payload[..], b"second");
    drop(back);

    let mut anew = Client::open(&gateway, Version::V5);
    assert!(!anew.log_in(connect(true)).session_present); // [MQTT-3.1.2-4]
    publisher.publish_acknowledged("a", payload("third"));
    assert!(anew.hears_nothing_for(A_MOMENT), "a clean start has no subscriptions");
}

#[test]
fn overlapping_subscriptions_bring_a_message_once_and_unsubscribe_ends_it() {
    let gateway = Gateway::start();
    let mut publisher = client(&gateway, "publisher", &["pub:a/#"], Version::V5);
    let mut subscriber = client(&gateway, "subscriber", &["sub:a/#"], Version::V5);
    subscriber.subscribe("a/#", QoS::AtMostOnce);
    subscriber.subscribe("a/+", QoS::AtLeastOnce);
    publisher.publish_acknowledged("a/b", payload("x"));
    assert_eq!(received(&mut subscriber).qos, QoS::AtLeastOnce); // [MQTT-3.3.4-2]
    assert!(subscriber.hears_nothing_for(A_MOMENT));

    let filters = ["a/#", "a/+", "a/c"].map(|filter| filter.parse().unwrap()).to_vec();
    let packet_id = 77.try_into().unwrap();
    subscriber.send(&Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: Vec::new() }));
    let Packet::UnsubAck(ack) = subscriber.receive() else { panic!("an UNSUBACK") };
    assert_eq!(ack.codes, [ReasonCode::Success, ReasonCode::Success, ReasonCode::NoSubscriptionExisted]);
    publisher.publish_acknowledged("a/b", payload("x"));
    assert!(subscriber.hears_nothing_for(A_MOMENT));
    assert_eq!(gateway.metrics().value("sealgate_broker_subscriptions", &[]), 0.0);
}

#[test]
fn a_device_can_neither_hear_nor_speak_for_another() {
    let gateway = Gateway::start_with(&[("broker.offline_grace", "1h")]);
    let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
    let mut listener = client(&gateway, "all-ears", &["sub:#"], Version::V5);
    listener.subscribe("#", QoS::AtLeastOnce);
    for version in [Version::V311, Version::V5] {
        let mut device = Client::of_device(&gateway, version, &pump);
        let refused = if version == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::UnspecifiedError };
        for filter in ["#", "devices/#", "devices/+/commands/#", "devices/fan/commands/#", "readings/#", "readings/fan"]
        {
            assert_eq!(device.subscribe(filter, QoS::AtMostOnce), refused, "{filter}");
        }
        assert_eq!(device.subscribe("devices/pump/commands/#", QoS::AtMostOnce), ReasonCode::Success);
        for topic in ["devices/fan/telemetry", "devices/fan/answers", "readings/pump", "devices/pump/status", "x"] {
            let answer = device.publish_acknowledged(topic, fan.seal(1.0));
            let code = if version == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::Success };
            assert_eq!(answer.code, code, "{topic}");
        }
        // A frame of the fan's on the pump's own topic is a forgery.
        device.publish_acknowledged(&pump.topic(), fan.seal(1.0));
    }
    // The gateway's word on the pump, once for each connection, and on each forgery; no word of the pump's own.
    let heard: Vec<Publish> = (0..4).map(|_| received(&mut listener)).collect();
    for (topic, beginning) in [("devices/pump/status", &br#"{"state":"online","#[..]), ("devices/pump/receipts", b"SG")]
    {
        let mut on_topic = heard.iter().filter(|word| word.topic.as_ref().map(Topic::as_str) == Some(topic));
        for _ in 0..2 {
            assert!(on_topic.next().is_some_and(|word| word.payload.starts_with(beginning)), "{heard:?}");
        }
    }
    assert!(listener.hears_nothing_for(A_MOMENT));
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("sealgate_ingest_stored_total", &[]), 0.0);
    let bad_seals = metrics.value("sealgate_ingest_rejected_total", &[("reason", "bad_seal"), ("encoding", "frame")]);
    assert_eq!((bad_seals, metrics.value("sealgate_ingest_received_total", &[])), (2.0, 2.0));
    assert_eq!(metrics.value("sealgate_broker_denied_total", &[("action", "publish")]), 10.0);
}

#[test]
fn a_service_publishes_nothing_that_the_gateway_or_a_device_alone_publishes() {
    let gateway = Gateway::start();
    gateway.add_device("pump");
    let mut service = client(&gateway, "mighty", &["pub:#", "sub:#"], Version::V5);
    for topic in
        ["readings/pump", "devices/pump/telemetry", "devices/pump/commands/go", "devices/pump/status", "$SYS/x"]
    {
        assert_eq!(service.publish_acknowledged(topic, payload("x")).code, ReasonCode::NotAuthorized, "{topic}");
    }
    assert_eq!(service.subscribe("$SYS/#", QoS::AtMostOnce), ReasonCode::NotAuthorized, "# never covers a $ topic");
    assert_eq!(service.publish_acknowledged("anything/else", payload("x")).code, ReasonCode::Success);
}

#[test]
fn verified_readings_are_published_after_their_commit() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut console = client(&gateway, "console", &["sub:readings/#"], Version::V311);
    assert_eq!(console.subscribe("readings/#", QoS::AtMostOnce), ReasonCode::Success);
    let mut device = Client::of_device(&gateway, Version::V5, &pump);
    device.publish_acknowledged(&pump.topic(), pump.seal(21.5));
    let reading = received(&mut console);
    assert_eq!((reading.topic.as_ref().map(Topic::as_str), reading.qos), (Some("readings/pump"), QoS::AtMostOnce));
    let records: serde_json::Value = serde_json::from_slice(&reading.payload).unwrap();
    assert_eq!((&records[0]["n"], &records[0]["v"]), (&"temperature".into(), &21.5.into()), "{records}");
}

fn with_will(gateway: &Gateway, device: &Device, topic: &str, payload: Vec<u8>) -> Client {
    let mut connect = Login::of_device(gateway, device).connect(Version::V5);
    connect.will = Some(Will {
        topic: Topic::new(topic).unwrap(),
        payload: Binary::try_from(Bytes::from(payload)).unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_secs: 0,
        message_expiry_secs: None,
        properties: Default::default(),
    });
    let mut client = Client::open(gateway, Version::V5);
    let answer = client.log_in(connect);
    let allowed = topic.starts_with(&format!("devices/{}/", device.id));
    assert_eq!(answer.code, if allowed { ReasonCode::Success } else { ReasonCode::NotAuthorized });
    client
}

#[test]
fn a_will_is_published_unless_the_client_says_goodbye() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut console = client(&gateway, "console", &["sub:devices/+/answers"], Version::V5);
    console.subscribe("devices/+/answers", QoS::AtLeastOnce);
    let mut polite = with_will(&gateway, &pump, "devices/pump/answers", b"never".to_vec());
    polite.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    polite.until_closed();
    drop(with_will(&gateway, &pump, "devices/pump/answers", b"gone".to_vec()));
    assert_eq!(&received(&mut console).payload[..], b"gone"); // [MQTT-3.1.2-8]
    with_will(&gateway, &pump, "devices/fan/answers", b"not mine".to_vec());
    assert!(console.hears_nothing_for(A_MOMENT));
}

#[test]
fn a_will_on_telemetry_goes_through_ingest_like_any_message() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    drop(with_will(&gateway, &pump, &pump.topic(), pump.seal(5.0)));
    drop(with_will(&gateway, &pump, &pump.topic(), b"no envelope".to_vec()));
    eventually("both wills are settled", || {
        let metrics = gateway.metrics();
        let stored = metrics.value("sealgate_ingest_stored_total", &[]);
        let malformed =
            metrics.value("sealgate_ingest_rejected_total", &[("reason", "malformed"), ("encoding", "unknown")]);
        ((stored, malformed) == (1.0, 1.0)).then_some(())
    });
    assert!(gateway.law_holds());
}

#[test]
fn a_reader_that_is_slow_costs_a_bounded_queue() {
    let gateway = Gateway::start_with(&[("broker.queue_messages_max", "10"), ("edge.receive_maximum", "1000")]);
    let mut publisher = client(&gateway, "publisher", &["pub:a"], Version::V5);
    let service = gateway.add_service("sleeper", &["sub:a"]);
    let login = Login::of_service(&gateway, &service);
    let mut connect = login.connect(Version::V5);
    connect.session_expiry_secs = 60;
    let mut sleeper = Client::open(&gateway, Version::V5);
    sleeper.log_in(connect.clone());
    sleeper.subscribe("a", QoS::AtLeastOnce);
    sleeper.send(&Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill)));
    sleeper.until_closed();
    for _ in 0..25 {
        publisher.publish_acknowledged("a", payload("x"));
    }
    let dropped = gateway.metrics().value("sealgate_broker_dropped_total", &[("cause", "queue_full")]);
    assert_eq!(dropped, 15.0);
    connect.clean_start = false;
    let mut back = Client::open(&gateway, Version::V5);
    assert!(back.log_in(connect).session_present);
    for _ in 0..10 {
        received(&mut back);
    }
    assert!(back.hears_nothing_for(A_MOMENT));
}
