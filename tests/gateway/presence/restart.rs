//! Presence after the end of a gateway, polite or not.

use sealgate::mqtt::Version;

use super::watcher::Watcher;
use super::{LONG, now_ms};
use crate::harness::{Client, Device, Gateway, eventually};

#[test]
fn after_kill_9_who_does_not_come_back_is_offline() {
    restarts(|gateway| {
        eventually("all is saved", || {
            let rows = gateway.sql("SELECT state, count(*) AS n FROM presence GROUP BY state ORDER BY state");
            (rows.len() == 2 && rows[0]["n"] == 1 && rows[1]["n"] == 2).then_some(())
        });
        gateway.kill9();
    });
}

#[test]
fn after_sigterm_who_does_not_come_back_is_offline() {
    restarts(|gateway| assert_eq!(gateway.terminate().code(), Some(0)));
}

fn restarts(end: fn(&mut Gateway)) {
    let mut gateway = Gateway::start_with(&[("broker.offline_grace", "100ms")]);
    let [back, lost, off] = ["back", "lost", "off"].map(|name| gateway.add_device(name));
    let mut watcher = Watcher::of_all(&gateway, "before", Version::V5);
    let connect = |gateway: &Gateway, device: &Device| Client::of_device(gateway, Version::V5, device);
    drop(connect(&gateway, &off));
    let mut off_before = watcher.next_of("off");
    if off_before.state == "online" {
        off_before = watcher.next_of("off");
    }
    gateway.set(LONG.0, LONG.1);
    let _connections = [connect(&gateway, &back), connect(&gateway, &lost)];
    let (back_before, lost_before) = (watcher.next_of("back"), watcher.next_of("lost"));
    end(&mut gateway);

    let ended_at = now_ms();
    gateway.restart();
    let _back = connect(&gateway, &back);
    let mut watcher = Watcher::of_all(&gateway, "after", Version::V5);
    let mut statuses = [watcher.next(), watcher.next(), watcher.next()];
    statuses.sort_by(|one, other| one.device.cmp(&other.device));
    let [back_after, lost_after, off_after] = &statuses;
    assert_eq!((back_after.gist(), back_after.since), (("online", "connected", true), back_before.since));
    assert_eq!((lost_after.gist(), lost_after.since), (("online", "connected", true), lost_before.since));
    assert_eq!((off_after.gist(), off_after.since), (("offline", "gone", true), off_before.since));
    assert_eq!(gateway.metrics().value("sealgate_broker_presence_online", &[]), 2.0);

    let offline = loop {
        let told = watcher.next();
        // The new address of who came back may be told before or after the subscription.
        if told.device != "back" {
            break told;
        }
        assert_eq!(told.state, "online");
    };
    assert_eq!((offline.device.as_str(), offline.gist()), ("lost", ("offline", "gateway_restarted", false)));
    assert!((ended_at..=now_ms()).contains(&offline.since), "{offline:?}");
    assert_eq!(offline.address, lost_before.address);
    assert!(watcher.was_told_nothing());
}
