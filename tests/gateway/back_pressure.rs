//! Where the database is away, or somebody is faster than the rest: who waits, and that nothing is lost by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};
use tokio::task::JoinHandle;

use crate::harness::{Client, Device, Gateway, Login, eventually, rumqttc};
use crate::ingest::Lock;

/// More than a client library has under way at a time.
const MESSAGES: usize = 150;

/// What a client has seen until now.
#[derive(Default)]
struct Seen {
    pings: AtomicUsize,
    acknowledged: AtomicUsize,
}

/// What happens on a library's connection.
enum Happened {
    Ping,
    Acknowledged,
    Other,
}

/// Goes on until all messages are acknowledged.
async fn watch(mut next: impl AsyncFnMut() -> Happened, seen: Arc<Seen>) {
    while seen.acknowledged.load(Ordering::Relaxed) < MESSAGES {
        let counter = match next().await {
            Happened::Ping => &seen.pings,
            Happened::Acknowledged => &seen.acknowledged,
            Happened::Other => continue,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// rumqttc at 3.1.1. It pings by itself, and an error of its connection fails the test: its event loop would connect again.
fn at_3_1_1(gateway: &Gateway, device: &Device, seen: Arc<Seen>) -> JoinHandle<()> {
    use ::rumqttc::{Event, Packet, QoS};

    let (client, mut events) = rumqttc::at_3_1_1(gateway, &Login::of_device(gateway, device), MESSAGES);
    for _ in 0..MESSAGES {
        client.try_publish(device.topic(), QoS::AtLeastOnce, false, device.seal(1.0)).unwrap();
    }
    let next = async move || match events.poll().await.expect("the connection holds") {
        Event::Incoming(Packet::PingResp) => Happened::Ping,
        Event::Incoming(Packet::PubAck(_)) => Happened::Acknowledged,
        _ => Happened::Other,
    };
    tokio::spawn(async move {
        watch(next, seen).await;
        drop(client);
    })
}

/// The same at 5.
fn at_5(gateway: &Gateway, device: &Device, seen: Arc<Seen>) -> JoinHandle<()> {
    use ::rumqttc::v5::Event;
    use ::rumqttc::v5::mqttbytes::QoS;
    use ::rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};

    let (client, mut events) = rumqttc::at_5(gateway, &Login::of_device(gateway, device), MESSAGES);
    for _ in 0..MESSAGES {
        client.try_publish(device.topic(), QoS::AtLeastOnce, false, device.seal(1.0)).unwrap();
    }
    let next = async move || match events.poll().await.expect("the connection holds") {
        Event::Incoming(Packet::PingResp(_)) => Happened::Ping,
        Event::Incoming(Packet::PubAck(ack)) if ack.reason == PubAckReason::Success => Happened::Acknowledged,
        _ => Happened::Other,
    };
    tokio::spawn(async move {
        watch(next, seen).await;
        drop(client);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_away_for_three_keep_alives_costs_no_connection_and_no_message() {
    let gateway = Gateway::start();
    let devices = ["old", "new"].map(|id| gateway.add_device(id));
    let seen = [(); 2].map(|()| Arc::new(Seen::default()));
    let lock = Lock::take(&gateway);
    let clients = [at_3_1_1(&gateway, &devices[0], seen[0].clone()), at_5(&gateway, &devices[1], seen[1].clone())];
    // A client library pings once a keep-alive, and lets go of a connection on which no answer comes within one.
    eventually("three keep-alives have gone by", || {
        assert!(clients.iter().all(|client| !client.is_finished()), "a connection was lost");
        seen.iter().all(|seen| seen.pings.load(Ordering::Relaxed) >= 3).then_some(())
    });
    assert!(seen.iter().all(|seen| seen.acknowledged.load(Ordering::Relaxed) == 0), "nothing could be committed");
    drop(lock);
    for client in clients {
        client.await.unwrap();
    }
    for device in &devices {
        let rows = gateway.sql(&format!("SELECT count(*) AS n FROM envelopes WHERE device_id = '{}'", device.id));
        assert_eq!(rows[0]["n"], MESSAGES);
    }
    assert_eq!(gateway.metrics().value("sealgate_edge_accepted_total", &[]), 2.0, "nobody had to connect again");
    assert!(gateway.law_holds());
}

#[test]
fn who_waits_for_the_common_bound_is_heard_and_served_in_turn() {
    let gateway =
        Gateway::start_with(&[("ingest.in_flight_bytes_max", "1048576"), ("ingest.retry_delay_max", "100ms")]);
    let (flood, quiet) = (gateway.add_device("flood"), gateway.add_device("quiet"));
    let mut flooding = Client::of_device(&gateway, Version::V311, &flood);
    let mut beside = Client::of_device(&gateway, Version::V5, &quiet);
    let lock = Lock::take(&gateway);
    for _ in 0..40 {
        let mut large = flood.draft(1.0);
        (large.content_format, large.payload) = (42, vec![7; 50_000]);
        flooding.publish(&flood.topic(), QoS::AtLeastOnce, large.seal());
    }
    let in_flight = || gateway.metrics().value("sealgate_ingest_in_flight", &[]);
    eventually("the common bound is met", || (in_flight() >= 20.0).then_some(()));
    let sent: Vec<_> = (0..3).map(|_| beside.publish(&quiet.topic(), QoS::AtLeastOnce, quiet.seal(1.0))).collect();
    for _ in 0..3 {
        beside.send(&Packet::PingReq);
        assert_eq!(beside.receive(), Packet::PingResp, "it is heard while its messages wait");
    }
    assert!(in_flight() < 30.0, "the rest of the flood waits in its socket");
    assert!(gateway.law_holds());
    drop(lock);
    for packet_id in sent {
        let Packet::PubAck(ack) = beside.receive() else { panic!("a PUBACK") };
        assert_eq!((Some(ack.packet_id), ack.code), (packet_id, ReasonCode::Success), "in order, [MQTT-4.6.0-2]");
    }
    for _ in 0..40 {
        assert!(matches!(flooding.receive(), Packet::PubAck(_)));
    }
    assert_eq!(gateway.metrics().value("sealgate_ingest_stored_total", &[]), 43.0);
}
