//! Memory stays under the bound that `docs/limits.md` states, whatever is done at once.

use std::thread;

use sealgate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::{Client, Device, Gateway, Login, Service, eventually};
use crate::ingest::Lock;

const MIB: usize = 1024 * 1024;
const IN_FLIGHT_BYTES_MAX: usize = 16 * MIB;
const QUEUES_BYTES_MAX: usize = 16 * MIB;
const LARGE_PACKETS_BYTES_MAX: usize = 4 * MIB;
const CONNECTIONS_MAX: usize = 250;

/// The formula of `docs/limits.md`.
const BOUND: usize =
    96 * MIB + 2 * (IN_FLIGHT_BYTES_MAX + QUEUES_BYTES_MAX + LARGE_PACKETS_BYTES_MAX) + CONNECTIONS_MAX * 160 * 1024;

fn start() -> Gateway {
    let value = |bytes: usize| bytes.to_string();
    Gateway::start_with(&[
        ("ingest.in_flight_bytes_max", &value(IN_FLIGHT_BYTES_MAX)),
        ("ingest.retry_delay_max", "100ms"),
        ("broker.queues_bytes_max", &value(QUEUES_BYTES_MAX)),
        ("broker.queue_bytes_max", &value(MIB)),
        ("edge.large_packets_bytes_max", &value(LARGE_PACKETS_BYTES_MAX)),
        ("edge.connections_max", &value(CONNECTIONS_MAX)),
        ("edge.connect_timeout", "60s"),
    ])
}

/// Small messages, each in a write of its own, of which none can be committed; until nothing more of it is read.
fn trickle(gateway: &Gateway, device: &Device) -> Client {
    let mut client = Client::of_device(gateway, Version::V311, device);
    for _ in 0..1_000 {
        client.publish(&device.topic(), QoS::AtLeastOnce, device.seal(1.0));
    }
    client
}

/// All of a PUBLISH of 120 KiB but its last byte.
fn half_of_a_large_packet(gateway: &Gateway, login: &Login, name: String) -> Client {
    let login = Login { client_id: name, user_name: login.user_name.clone(), token: login.token.clone() };
    let mut client = Client::connect(gateway, Version::V5, &login);
    let mut bytes = vec![0x30, 0x80, 0x80 | 0x40, 0x07]; // 122,880 bytes
    bytes.extend_from_slice(b"\0\x06flow/x\0");
    bytes.resize(4 + 122_880 - 1, 7);
    // What is not read stays in the socket, whose buffers are the kernel's.
    client.send_what_fits(&bytes);
    client
}

/// Subscribes, and reads nothing from then on.
fn deaf(gateway: &Gateway, login: &Login, name: String) -> Client {
    let login = Login { client_id: name, user_name: login.user_name.clone(), token: login.token.clone() };
    let mut client = Client::connect(gateway, Version::V5, &login);
    assert_eq!(client.subscribe("flow/#", QoS::AtMostOnce), ReasonCode::Success);
    client
}

fn login(gateway: &Gateway, service: &Service) -> Login {
    Login::of_service(gateway, service)
}

#[test]
fn memory_stays_under_the_stated_bound_whatever_is_done_at_once() {
    let gateway = start();
    let flow = login(&gateway, &gateway.add_service("flow", &["pub:flow/#", "sub:flow/#"]));
    let devices: Vec<Device> = (0..30).map(|number| gateway.add_device(&format!("pump-{number}"))).collect();
    let tap = gateway.add_service("tap", &["pub:flow/#"]);
    let lock = Lock::take(&gateway);

    let half_open: Vec<Client> = (0..80)
        .map(|_| {
            let mut client = Client::open(&gateway, Version::V5);
            client.send_bytes(&[&b"\x10\xff\x7e\0\x04MQTT\x05\xc2\0\x3c\0"[..], &[b'x'; 12_000]].concat());
            client
        })
        .collect();
    let deaf: Vec<Client> = (0..40).map(|number| deaf(&gateway, &flow, format!("deaf-{number}"))).collect();
    let large: Vec<Client> =
        (0..60).map(|number| half_of_a_large_packet(&gateway, &flow, format!("large-{number}"))).collect();
    let trickling: Vec<Client> = thread::scope(|scope| {
        let gateway = &gateway;
        let threads: Vec<_> = devices.iter().map(|device| scope.spawn(move || trickle(gateway, device))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let flood = Login { client_id: "flood".to_owned(), ..login(&gateway, &tap) };
    let mut flooding = Client::connect(&gateway, Version::V5, &flood);
    let dropped = || gateway.metrics().value("sealgate_broker_dropped_total", &[("cause", "queues_full")]);
    eventually("the queues are full together", || {
        for number in 0..100u8 {
            flooding.publish(&format!("flow/{number}"), QoS::AtMostOnce, vec![number; 12_000]);
        }
        (dropped() > 400.0).then_some(())
    });
    eventually("the large packets wait for room", || {
        let waited = gateway.metrics().value("sealgate_edge_throttled_total", &[("by", "large_packets")]);
        (waited >= 60.0).then_some(())
    });
    assert!(gateway.metrics().value("sealgate_ingest_in_flight", &[]) > 20_000.0, "what trickles is held");
    assert!(gateway.law_holds());

    drop(lock);
    eventually("all that trickled is stored", || {
        (gateway.metrics().value("sealgate_ingest_stored_total", &[]) == 30_000.0).then_some(())
    });
    let peak = gateway.peak_memory_bytes();
    assert!(peak <= BOUND, "{} MiB of at most {} MiB", peak / MIB, BOUND / MIB);
    drop((half_open, deaf, large, trickling));
}
