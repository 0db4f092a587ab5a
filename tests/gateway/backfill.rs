//! Devices that come back after days: a group's own limits on time, and those who are live beside them; on either database.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Device, Gateway, eventually};

const HOUR_MS: i64 = 3_600_000;
const TEN_DAYS_MS: i64 = 240 * HOUR_MS;

fn over_both(test: impl Fn(Gateway)) {
    let settings =
        [("seal.age_max", "1h"), ("seal.group.backfill.age_max", "none"), ("seal.group.fast.future_tolerance", "12h")];
    test(Gateway::prepare(&settings));
    test(Gateway::prepare_on_postgres(&settings));
}

fn add_to(gateway: &Gateway, group: &str, id: &str) -> Device {
    let added = gateway.run(&["device", "add", id, "--group", group, "--format", "json"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    Device::from_json(&serde_json::from_slice(&added.stdout).unwrap())
}

fn sealed_at(device: &Device, since_now_ms: i64) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "a device that has a clock reads it")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut draft = device.draft(1.0);
    draft.time_ms = Some(i64::try_from(now.as_millis()).unwrap() + since_now_ms);
    draft.seal()
}

/// What a message of that time is answered; none: that it is stored.
fn answer(client: &mut Client, device: &Device, since_now_ms: i64) -> Option<String> {
    let ack = client.publish_acknowledged(&device.topic(), sealed_at(device, since_now_ms));
    assert_eq!(ack.code == ReasonCode::Success, ack.reason_string.is_none(), "{ack:?}");
    ack.reason_string.map(|reason| reason.to_string())
}

#[test]
fn a_group_has_limits_of_its_own_and_the_others_keep_theirs() {
    over_both(|mut gateway| {
        gateway.restart();
        let (stale, future) = (Some("stale".to_owned()), Some("future".to_owned()));
        for (device, old, ahead) in [
            (add_to(&gateway, "backfill", "back"), None, future.clone()),
            (add_to(&gateway, "fast", "ahead"), stale.clone(), None),
            (add_to(&gateway, "unnamed", "other"), stale.clone(), future.clone()),
            (gateway.add_device("alone"), stale.clone(), future.clone()),
        ] {
            let mut client = Client::of_device(&gateway, Version::V5, &device);
            assert_eq!(answer(&mut client, &device, -TEN_DAYS_MS), old, "{}", device.id);
            assert_eq!(answer(&mut client, &device, HOUR_MS), ahead, "{}", device.id);
            assert_eq!(answer(&mut client, &device, -HOUR_MS / 2), None, "{}", device.id);
        }
        let stored = gateway.sql("SELECT count(*) AS n FROM readings")[0]["n"].as_u64();
        assert_eq!(stored, Some(6));
        assert!(gateway.law_holds());
    });
}

#[test]
fn a_group_that_is_changed_takes_effect_while_the_gateway_runs() {
    over_both(|mut gateway| {
        gateway.restart();
        let pump = gateway.add_device("pump");
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        assert_eq!(answer(&mut client, &pump, -TEN_DAYS_MS).as_deref(), Some("stale"));
        let mut answers = |flags: &[&str], since_now_ms: i64, awaited: Option<&str>| {
            assert!(gateway.run(&[&["device", "set", "pump"], flags].concat()).status.success());
            eventually("the running gateway knows of it", || {
                (answer(&mut client, &pump, since_now_ms).as_deref() == awaited).then_some(())
            });
        };
        answers(&["--group", "backfill"], -TEN_DAYS_MS, None);
        answers(&["--group", "fast"], -TEN_DAYS_MS, Some("stale"));
        answers(&["--group", "fast"], HOUR_MS, None);
        answers(&["--no-group"], HOUR_MS, Some("future"));
    });
}

#[test]
fn thousands_of_old_messages_are_stored_once_and_live_ones_are_answered_beside_them() {
    const OLD: usize = 5_000;
    const WINDOW: usize = 32;
    const LIVE_EACH: usize = 250;
    over_both(|mut gateway| {
        gateway.restart();
        let (back, live) = (add_to(&gateway, "backfill", "back"), gateway.add_device("live"));
        let mut backlog = Client::of_device(&gateway, Version::V5, &back);
        let mut beside = Client::of_device(&gateway, Version::V5, &live);
        let interval_ms = TEN_DAYS_MS / OLD as i64;
        let (mut sent, mut acknowledged) = (Vec::new(), 0);
        while acknowledged < OLD {
            while sent.len() < OLD.min(acknowledged + WINDOW) {
                let frame = sealed_at(&back, sent.len() as i64 * interval_ms - TEN_DAYS_MS);
                sent.push(backlog.publish(&back.topic(), QoS::AtLeastOnce, frame));
            }
            if acknowledged % LIVE_EACH == 0 {
                assert_eq!(answer(&mut beside, &live, 0), None);
            }
            let Packet::PubAck(ack) = backlog.receive() else { panic!("a PUBACK") };
            assert_eq!((Some(ack.packet_id), ack.code), (sent[acknowledged], ReasonCode::Success));
            acknowledged += 1;
        }
        for (device, messages) in [("back", OLD), ("live", OLD / LIVE_EACH)] {
            let counted = "SELECT count(*) AS n, count(DISTINCT counter) AS counters FROM envelopes";
            let row = &gateway.sql(&format!("{counted} WHERE device_id = '{device}'"))[0];
            assert_eq!([&row["n"], &row["counters"]].map(|n| n.as_u64()), [Some(messages as u64); 2], "{device}");
            let times = format!("SELECT DISTINCT time FROM readings WHERE device_id = '{device}'");
            assert_eq!(gateway.sql(&times).len(), messages, "each at its own time");
        }
        assert!(beside.hears_nothing_for(Duration::from_millis(1)));
        assert!(gateway.law_holds());
    });
}
