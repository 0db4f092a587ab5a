//! `devices/{id}/status`: who is told that a device is online or offline, and when.

mod nodes;
mod restart;
mod retained;
mod watcher;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sealgate::mqtt::{Disconnect, Packet, QoS, ReasonCode, Version};

use super::ingest::Lock;
use crate::harness::{Client, Deadline, Gateway, Login, eventually};
use watcher::Watcher;

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// So short that it is over soon, and so long that it is not over at once.
const SHORT: (&str, &str) = ("broker.offline_grace", "300ms");
const SHORT_GRACE: Duration = Duration::from_millis(300);
/// Longer than any reconnect takes, on a machine that is busy with other tests too.
const LONG: (&str, &str) = ("broker.offline_grace", "5s");
/// Longer than a test.
const ENDLESS: (&str, &str) = ("broker.offline_grace", "1h");

/// As the gateway has it: both are on this machine.
#[expect(clippy::disallowed_methods, reason = "a test that compares clocks reads its own")]
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn ended(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metrics().value("sealgate_edge_ended_total", &[("cause", cause)])
}

fn text_of(version: Version) -> &'static str {
    if version == Version::V5 { "5.0" } else { "3.1.1" }
}

#[test]
fn online_is_told_at_once_and_to_whoever_subscribes_later() {
    let gateway = Gateway::start();
    let mut connections = Vec::new();
    for version in VERSIONS {
        let name = if version == Version::V5 { "new" } else { "old" };
        let device = gateway.add_device(name);
        let mut early = Watcher::of_all(&gateway, &format!("{name}-early"), version);
        let before = now_ms();
        connections.push(Client::of_device(&gateway, version, &device));
        let live = early.next_of(name);
        assert_eq!(live.gist(), ("online", "connected", false), "RETAIN is 0 for who has subscribed before");
        assert!((before..=now_ms()).contains(&live.since), "{live:?}");
        assert_eq!((live.address.ip().to_string(), live.version.as_str()), ("127.0.0.1".to_owned(), text_of(version)));

        let mut late = Watcher::of_all(&gateway, &format!("{name}-late"), version);
        let kept = late.next_of(name);
        assert_eq!(kept.gist(), ("online", "connected", true));
        assert_eq!((kept.since, kept.address), (live.since, live.address));
    }
    let metrics = gateway.metrics();
    let changes = |state| metrics.value("sealgate_broker_presence_changes_total", &[("state", state)]);
    assert_eq!(
        (metrics.value("sealgate_broker_presence_online", &[]), changes("online"), changes("offline")),
        (2.0, 2.0, 0.0)
    );
}

#[test]
fn offline_is_told_after_the_grace_with_the_moment_and_the_reason_of_the_end() {
    let gateway = Gateway::start_with(&[SHORT]);
    let device = gateway.add_device("pump");
    let mut watcher = Watcher::of_all(&gateway, "watcher", Version::V5);
    type End = fn(Client) -> Client;
    let goodbye: End = |mut client| {
        client.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
        client.until_closed();
        client
    };
    let misbehave: End = |mut client| {
        client.send_bytes(&[0x36, 0x05, 0, 1, b'a', 0, 1]);
        client.until_closed();
        client
    };
    let silence: End = |mut client| {
        client.until_closed();
        client
    };
    for (reason, end) in
        [("by_client", Some(goodbye)), ("peer_misbehaved", Some(misbehave)), ("silent", Some(silence)), ("gone", None)]
    {
        let mut connect = Login::of_device(&gateway, &device).connect(Version::V311);
        connect.keep_alive_secs = 1;
        let mut client = Client::open(&gateway, Version::V311);
        client.log_in(connect);
        let online = watcher.next();
        assert_eq!(online.gist(), ("online", "connected", false));
        let (before, not_before) = (now_ms(), Deadline::after(SHORT_GRACE));
        match end {
            Some(end) => drop(end(client)),
            None => drop(client),
        }
        let offline = watcher.next();
        assert_eq!(offline.gist(), ("offline", reason, false));
        assert!(not_before.left().is_zero(), "before the grace was over");
        let grace = SHORT_GRACE.as_millis() as i64;
        assert!((before..=now_ms() - grace).contains(&offline.since), "{offline:?} {before}");
        assert_eq!((offline.address, offline.version), (online.address, online.version));
    }
    let metrics = gateway.metrics();
    let changes = |state| metrics.value("sealgate_broker_presence_changes_total", &[("state", state)]);
    assert_eq!(
        (metrics.value("sealgate_broker_presence_online", &[]), changes("online"), changes("offline")),
        (0.0, 4.0, 4.0)
    );
}

#[test]
fn the_end_of_a_token_is_told_as_such() {
    let gateway = Gateway::start_with(&[SHORT, ("auth.token_lifetime", "3s")]);
    let device = gateway.add_device("pump");
    Client::of_device(&gateway, Version::V5, &device).until_closed();
    assert_eq!(ended(&gateway, "token_expired"), 1.0);
    // After the device's end, so that the watcher's own token lasts.
    let mut watcher = Watcher::of_all(&gateway, "watcher", Version::V5);
    let mut told = watcher.next();
    if told.state == "online" {
        told = watcher.next();
    }
    assert_eq!((told.state.as_str(), told.reason.as_str()), ("offline", "token_expired"));
}

/// What did not come before the status of a device that left later does not come: the grace is the same for all.
#[test]
fn who_comes_back_within_the_grace_or_is_taken_over_was_never_offline() {
    let gateway = Gateway::start_with(&[LONG]);
    let [back, taken, last] = ["back", "taken", "last"].map(|name| gateway.add_device(name));
    let mut watcher = Watcher::of_all(&gateway, "watcher", Version::V311);
    let first = Client::of_device(&gateway, Version::V5, &back);
    let since = watcher.next().since;
    let mut second = Client::of_device(&gateway, Version::V5, &taken);
    let last = Client::of_device(&gateway, Version::V5, &last);
    assert_eq!([watcher.next().device, watcher.next().device], ["taken", "last"]);

    drop(first);
    eventually("its end was seen", || (ended(&gateway, "gone") == 1.0).then_some(()));
    let mut first = Client::of_device(&gateway, Version::V311, &back);
    let moved = watcher.next();
    assert_eq!((moved.device.as_str(), moved.gist()), ("back", ("online", "connected", false)));
    assert_eq!(
        (moved.since, moved.version.as_str()),
        (since, "3.1.1"),
        "what has changed is told, and since when is the same"
    );

    let mut third = Client::of_device(&gateway, Version::V5, &taken);
    second.until_closed();
    assert_eq!(ended(&gateway, "taken_over"), 1.0);
    assert_eq!(
        (watcher.next().state.as_str(), gateway.metrics().value("sealgate_broker_presence_online", &[])),
        ("online", 3.0)
    );

    drop(last);
    let offline = watcher.next();
    assert_eq!((offline.device.as_str(), offline.gist()), ("last", ("offline", "gone", false)));
    for client in [&mut first, &mut third] {
        client.send(&Packet::PingReq);
        assert_eq!(client.receive(), Packet::PingResp);
    }
}

#[test]
fn a_device_hears_no_status_and_speaks_none() {
    let gateway = Gateway::start_with(&[ENDLESS]);
    let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
    let mut watcher = Watcher::of_all(&gateway, "watcher", Version::V5);
    let _fan = Client::of_device(&gateway, Version::V5, &fan);
    for version in VERSIONS {
        let mut device = Client::of_device(&gateway, version, &pump);
        let refused = if version == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::UnspecifiedError };
        for filter in ["devices/fan/status", "devices/+/status", "devices/pump/status", "devices/#", "+/+/status"] {
            assert_eq!(device.subscribe(filter, QoS::AtLeastOnce), refused, "{filter}");
        }
        let lie = Bytes::from_static(br#"{"state":"offline"}"#);
        for topic in ["devices/pump/status", "devices/fan/status"] {
            device.publish_acknowledged(topic, lie.clone());
        }
    }
    assert_eq!(gateway.metrics().value("sealgate_broker_denied_total", &[("action", "publish")]), 4.0);
    for _ in 0..3 {
        assert_eq!(watcher.next().state, "online");
    }
    assert!(watcher.was_told_nothing());
    let elsewhere = gateway.add_service("elsewhere", &["sub:readings/#"]);
    let mut elsewhere = Client::connect(&gateway, Version::V5, &Login::of_service(&gateway, &elsewhere));
    assert_eq!(elsewhere.subscribe("devices/fan/status", QoS::AtLeastOnce), ReasonCode::NotAuthorized);
}

#[test]
fn services_have_no_status() {
    let gateway = Gateway::start();
    let mut watcher = Watcher::of_all(&gateway, "watcher", Version::V5);
    let _other = Watcher::new(&gateway, "other", Version::V5);
    let pump = gateway.add_device("pump");
    let _pump = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(watcher.next().device, "pump");
    assert_eq!(gateway.metrics().value("sealgate_broker_presence_online", &[]), 1.0);
}

#[test]
fn behind_a_proxy_the_address_is_the_clients() {
    let gateway = Gateway::start_with(&[("edge.proxy_protocol", "expected")]);
    let pump = gateway.add_device("pump");
    let mut client = Client::open(&gateway, Version::V5);
    client.send_bytes(b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 1883\r\n");
    client.log_in(Login::of_device(&gateway, &pump).connect(Version::V5));
    let service = gateway.add_service("watcher", &["sub:devices/pump/status"]);
    let mut watcher = Client::open(&gateway, Version::V5);
    watcher.send_bytes(b"PROXY UNKNOWN\r\n");
    watcher.log_in(Login::of_service(&gateway, &service).connect(Version::V5));
    watcher.subscribe("devices/pump/status", QoS::AtMostOnce);
    let Packet::Publish(publish) = watcher.receive() else { panic!("a status") };
    assert_eq!(watcher::Told::of(&publish).address.to_string(), "[2001:db8::7]:4711");
}

#[test]
fn while_the_database_is_away_presence_is_told_and_saved_afterwards() {
    let gateway = Gateway::start_with(&[SHORT]);
    let [first, second] = ["first", "second"].map(|name| gateway.add_device(name));
    let mut watcher = Watcher::of_all(&gateway, "watcher", Version::V5);
    // Their tokens are fetched and their devices looked up before.
    let logins = [&first, &second].map(|device| Login::of_device(&gateway, device));
    let lock = Lock::take(&gateway);
    let first = Client::connect(&gateway, Version::V5, &logins[0]);
    assert_eq!(watcher.next().gist(), ("online", "connected", false));
    drop(first);
    assert_eq!(watcher.next().gist(), ("offline", "gone", false));
    let _second = Client::connect(&gateway, Version::V5, &logins[1]);
    assert_eq!(watcher.next().gist(), ("online", "connected", false));
    drop(lock);
    eventually("both are saved", || {
        let rows = gateway.sql("SELECT device_id, state FROM presence ORDER BY device_id");
        let states: Vec<_> = rows.iter().map(|row| (row["device_id"].as_str(), row["state"].as_str())).collect();
        (states == [(Some("first"), Some("offline")), (Some("second"), Some("online"))]).then_some(())
    });
}
