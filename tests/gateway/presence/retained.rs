//! How retained statuses come: all of them, as Retain Handling says, and within every bound.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use sealgate::mqtt::{Packet, Publish, QoS, RetainHandling, Topic, Version};

use super::VERSIONS;
use super::watcher::{ALL, Told, Watcher};
use crate::harness::{Client, Gateway, Login, eventually};

const FLEET: usize = 5000;

/// A gateway that knows a fleet that was never there.
fn with_fleet(settings: &[(&str, &str)], devices: usize) -> Gateway {
    let mut gateway = Gateway::start_with(settings);
    gateway.terminate();
    gateway.change_by_hand(&format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {devices})
         INSERT INTO presence SELECT printf('d%05d', n), 'offline', n, 'gone', '192.0.2.1:4711', '5.0' FROM number"
    ));
    gateway.restart();
    gateway
}

fn dropped(gateway: &Gateway) -> f64 {
    gateway.metrics().value("sealgate_broker_dropped_total", &[("cause", "queue_full")])
}

#[test]
fn a_wildcard_brings_the_whole_fleet_however_small_the_mailbox() {
    let gateway = with_fleet(&[("broker.queue_messages_max", "10")], FLEET);
    for (number, version) in VERSIONS.into_iter().enumerate() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let mut watcher = Watcher::new(&gateway, &format!("watcher-{number}-{qos:?}"), version);
            watcher.subscribe(|subscription| subscription.qos = qos);
            let told: Vec<Told> = (0..FLEET).map(|_| watcher.next()).collect();
            assert!(told.iter().all(|told| told.gist() == ("offline", "gone", true)));
            let devices: BTreeSet<&str> = told.iter().map(|told| told.device.as_str()).collect();
            assert_eq!(devices.len(), FLEET, "each once");
            assert!(watcher.was_told_nothing());
        }
    }
    assert_eq!(dropped(&gateway), 0.0);
}

#[test]
fn a_session_that_is_taken_up_again_gets_the_rest() {
    let gateway = with_fleet(&[], 100);
    let service = gateway.add_service("watcher", &[&format!("sub:{ALL}")]);
    let login = Login::of_service(&gateway, &service);
    let connect = |clean_start| {
        let mut connect = login.connect(Version::V5);
        (connect.clean_start, connect.session_expiry_secs) = (clean_start, 60);
        connect.receive_max = NonZeroU16::new(1);
        let mut client = Client::open(&gateway, Version::V5);
        assert_eq!(client.log_in(connect).session_present, !clean_start);
        client
    };
    let mut client = connect(true);
    client.subscribe(ALL, QoS::AtLeastOnce);
    let Packet::Publish(first) = client.receive() else { panic!("a status") };
    drop(client);

    let mut watcher = Watcher::resumed(connect(false));
    let again = watcher.next_unacknowledged();
    assert_eq!((again.dup, again.retain, &again.topic), (true, true, &first.topic), "[MQTT-4.4.0-1]");
    watcher.acknowledge(&again);
    let rest: BTreeSet<String> =
        (1..100).map(|_| watcher.next()).inspect(|told| assert!(told.retain)).map(|told| told.device).collect();
    assert_eq!(rest.len(), 99);
    assert!(watcher.was_told_nothing());
}

/// A mailbox holds ten, and the watcher takes one at a time.
#[test]
fn who_reads_slowly_catches_up_with_the_last_status_of_each() {
    let gateway = Gateway::start_with(&[("broker.queue_messages_max", "10"), ("broker.offline_grace", "0s")]);
    let mut watcher = Watcher::with(&gateway, "slow", Version::V5, |connect| connect.receive_max = NonZeroU16::new(1));
    watcher.subscribe(|_| {});
    let devices: Vec<_> = (0..40).map(|number| gateway.add_device(&format!("d{number:02}"))).collect();
    let mut connections: Vec<Client> =
        devices.iter().map(|device| Client::of_device(&gateway, Version::V5, device)).collect();
    let held = watcher.next_unacknowledged();
    // Half of them change once more.
    connections.drain(..20);
    let states = |gateway: &Gateway| gateway.metrics().sum("sealgate_broker_presence_changes_total");
    eventually("twenty are gone", || (states(&gateway) == 60.0).then_some(()));
    assert_eq!(dropped(&gateway), 0.0, "what can be had later is not dropped");

    watcher.acknowledge(&held);
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    while last.len() < 40 || last.values().filter(|state| *state == "offline").count() < 20 {
        let told = watcher.next();
        assert!(!told.retain, "no subscription has been made");
        last.insert(told.device, told.state);
    }
    assert!(devices[..20].iter().all(|device| last[&device.id] == "offline"));
}

#[test]
fn retain_handling_says_whether_a_subscribe_brings_them() {
    let gateway = with_fleet(&[], 1);
    let mut watcher = Watcher::new(&gateway, "watcher", Version::V5);
    watcher.subscribe_handling(RetainHandling::DoNotSend);
    assert!(watcher.was_told_nothing(), "[MQTT-3.3.1-11]");
    watcher.subscribe_handling(RetainHandling::SendIfNew);
    assert!(watcher.was_told_nothing(), "[MQTT-3.3.1-10]: it is there already");
    watcher.subscribe_handling(RetainHandling::Send);
    assert!(watcher.next().retain, "[MQTT-3.3.1-9]");
    let mut new = Watcher::new(&gateway, "new", Version::V5);
    new.subscribe_handling(RetainHandling::SendIfNew);
    assert!(new.next().retain, "[MQTT-3.3.1-10]: it was not");
    let mut old = Watcher::new(&gateway, "old", Version::V311);
    for _ in 0..2 {
        old.subscribe(|_| {});
        assert!(old.next().retain, "3.1.1 [MQTT-3.8.4-3]");
    }
}

#[test]
fn a_live_status_bears_retain_for_who_wants_it_as_published() {
    let gateway = Gateway::start();
    let mut as_published = Watcher::new(&gateway, "as-published", Version::V5);
    as_published.subscribe(|subscription| subscription.retain_as_published = true);
    let mut plain = Watcher::of_all(&gateway, "plain", Version::V5);
    let pump = gateway.add_device("pump");
    let _pump = Client::of_device(&gateway, Version::V5, &pump);
    assert!(as_published.next().retain, "[MQTT-3.3.1-13]");
    assert!(!plain.next().retain, "[MQTT-3.3.1-12]");
}

#[test]
fn what_a_client_publishes_is_not_retained() {
    let gateway = Gateway::start();
    let service = gateway.add_service("both", &["pub:a", "sub:a"]);
    let mut client = Client::connect(&gateway, Version::V311, &Login::of_service(&gateway, &service));
    let mut publish = Publish::new(Topic::new("a").unwrap(), "x".into());
    publish.retain = true;
    client.send(&Packet::Publish(publish));
    client.subscribe("a", QoS::AtMostOnce);
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
}
