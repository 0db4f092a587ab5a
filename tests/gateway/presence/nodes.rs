//! Gateways that share a database: a device is where it came to last.

use sealgate::mqtt::{Disconnect, Packet, ReasonCode, Version};

use super::SHORT;
use super::watcher::Watcher;
use crate::harness::{Client, Gateway};

/// Two gateways on one database, and with one master key.
fn two() -> [Gateway; 2] {
    Gateway::two_on_postgres(&[SHORT])
}

#[test]
fn the_newest_connection_wins_and_the_end_of_an_older_one_is_not_told() {
    let [one, other] = two();
    let pump = one.add_device("pump");
    let mut watchers =
        [(&one, "w1"), (&other, "w2")].map(|(gateway, name)| Watcher::of_all(gateway, name, Version::V5));
    let older = Client::of_device(&one, Version::V5, &pump);
    let [first, first_elsewhere] = watchers.each_mut().map(|watcher| watcher.next_of("pump"));
    assert_eq!((first.state.as_str(), first_elsewhere.state.as_str()), ("online", "online"));
    assert_eq!(first.address, first_elsewhere.address);

    let mut newer = Client::of_device(&other, Version::V5, &pump);
    let [moved_elsewhere, moved] = watchers.each_mut().map(|watcher| watcher.next_of("pump"));
    assert_eq!((moved.state.as_str(), moved_elsewhere.state.as_str()), ("online", "online"));
    assert_eq!(moved.address, moved_elsewhere.address);
    assert_ne!(moved.address, first.address);

    // Were its end told, it would stand before that of the newer one.
    drop(older);
    newer.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    for watcher in &mut watchers {
        let told = watcher.next_of("pump");
        assert_eq!((told.state.as_str(), told.reason.as_str()), ("offline", "by_client"));
        assert_eq!(told.address, moved.address);
    }
}

#[test]
fn devices_of_a_gateway_that_is_gone_have_the_grace_to_come_to_another() {
    let [mut one, other] = two();
    let devices = ["stays", "comes"].map(|name| one.add_device(name));
    let _connections = devices.each_ref().map(|device| Client::of_device(&one, Version::V5, device));
    let mut watcher = Watcher::of_all(&other, "watcher", Version::V5);
    for device in ["stays", "comes"] {
        assert_eq!(watcher.next_of(device).state, "online");
    }
    one.kill9();
    let _again = Client::of_device(&other, Version::V5, &devices[1]);
    assert_eq!(watcher.next_of("comes").state, "online");
    let told = loop {
        let told = watcher.next_of("stays");
        if told.state == "offline" {
            break told;
        }
    };
    assert_eq!(told.reason, "gateway_restarted");
    let online = other.metrics().value("sealgate_broker_presence_online", &[]);
    assert_eq!(online, 1.0);

    // It comes back, and finds neither.
    one.restart();
    let mut late = Watcher::of_all(&one, "late", Version::V5);
    let told = ["comes", "stays"].map(|device| late.next_of(device).state);
    assert_eq!(told, ["online", "offline"]);
}
