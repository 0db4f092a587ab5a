//! What an acknowledgement is worth: committed, exactly once, and kept through the end of the process.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Device, Gateway, Load, Login, eventually};

fn stored(gateway: &Gateway) -> f64 {
    gateway.metrics().value("sealgate_ingest_stored_total", &[])
}

fn counters(gateway: &Gateway, device: &Device) -> Vec<i64> {
    let query = format!("SELECT counter FROM envelopes WHERE device_id = '{}' ORDER BY counter", device.id);
    gateway.sql(&query).iter().map(|row| row["counter"].as_i64().unwrap()).collect()
}

#[test]
fn kill_9_and_restart_keep_all_that_was_acknowledged() {
    let mut gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut frames = Vec::new();
    for round in 0..3 {
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        for _ in 0..50 {
            let frame = pump.seal(20.0);
            assert_eq!(client.publish_acknowledged(&pump.topic(), frame.clone()).code, ReasonCode::Success);
            frames.push(frame);
        }
        gateway.kill9();
        gateway.restart();
        let mut again = Client::of_device(&gateway, Version::V5, &pump);
        let last = frames.last().unwrap().clone();
        assert_eq!(again.publish_acknowledged(&pump.topic(), last).code, ReasonCode::Success);
        assert_eq!(counters(&gateway, &pump), (1..=50 * (round + 1)).collect::<Vec<i64>>());
        assert_eq!(stored(&gateway), 0.0, "what was stored before is a duplicate now");
    }
    assert_eq!(gateway.sql("SELECT count(*) AS n FROM readings WHERE name = 'temperature'")[0]["n"], 150);
}

#[test]
fn a_device_is_known_at_once() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
}

/// Another process that holds the database's write lock until it is dropped.
pub(crate) struct Lock(std::process::Child);

impl Lock {
    pub(crate) fn take(gateway: &Gateway) -> Self {
        let mut shell = Command::new("sqlite3")
            .arg(gateway.database())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::{BufRead as _, BufReader, Write as _};
        let input = shell.stdin.as_mut().unwrap();
        input.write_all(b".timeout 10000\nBEGIN IMMEDIATE;\nSELECT 'locked';\n").unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Lock(shell)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_cannot_be_committed_now_is_held_and_not_acknowledged() {
    let gateway = Gateway::start_with(&[("ingest.retry_delay_max", "100ms")]);
    let pump = gateway.add_device("pump");
    for version in [Version::V5, Version::V311] {
        let mut client = Client::of_device(&gateway, version, &pump);
        client.publish_acknowledged(&pump.topic(), pump.seal(0.0));
        let lock = Lock::take(&gateway);
        let ids: Vec<_> = (0..10).map(|_| client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0))).collect();
        client.send(&Packet::PingReq);
        assert_eq!(client.receive(), Packet::PingResp, "a client that waits is still heard");
        eventually("all are in flight", || {
            (gateway.metrics().value("sealgate_ingest_in_flight", &[]) == 10.0).then_some(())
        });
        assert!(client.hears_nothing_for(Duration::from_millis(300)));
        assert!(gateway.law_holds());
        drop(lock);
        for id in ids {
            let Packet::PubAck(ack) = client.receive() else { panic!("a PUBACK") };
            assert_eq!((Some(ack.packet_id), ack.code), (id, ReasonCode::Success), "in order, [MQTT-4.6.0-2]");
        }
    }
    assert_eq!(counters(&gateway, &pump).len(), 22);
}

#[test]
fn at_3_1_1_reading_stops_at_the_window_and_nothing_is_lost() {
    let gateway = Gateway::start_with(&[("edge.in_flight_max", "4"), ("ingest.retry_delay_max", "100ms")]);
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V311, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(0.0));
    let lock = Lock::take(&gateway);
    for _ in 0..40 {
        client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0));
    }
    eventually("the window is full", || {
        (gateway.metrics().value("sealgate_ingest_in_flight", &[]) == 4.0).then_some(())
    });
    drop(lock);
    for _ in 0..40 {
        assert!(matches!(client.receive(), Packet::PubAck(_)));
    }
    assert_eq!(stored(&gateway), 41.0);
}

#[test]
fn the_common_bound_in_bytes_holds_messages_back_and_loses_none() {
    let settings = [("ingest.in_flight_bytes_max", "1048576"), ("ingest.retry_delay_max", "100ms")];
    let gateway = Gateway::start_with(&settings);
    let devices: Vec<Device> = (0..4).map(|number| gateway.add_device(&format!("pump-{number}"))).collect();
    let mut clients: Vec<Client> =
        devices.iter().map(|device| Client::of_device(&gateway, Version::V5, device)).collect();
    let lock = Lock::take(&gateway);
    for (device, client) in devices.iter().zip(&mut clients) {
        for _ in 0..16 {
            let mut draft = device.draft(1.0);
            (draft.content_format, draft.payload) = (42, vec![7; 60_000]);
            client.publish(&device.topic(), QoS::AtLeastOnce, draft.seal());
        }
    }
    eventually("the bound is reached", || {
        (gateway.metrics().value("sealgate_ingest_in_flight", &[]) >= 4.0).then_some(())
    });
    assert!(gateway.law_holds());
    drop(lock);
    for client in &mut clients {
        for _ in 0..16 {
            assert!(matches!(client.receive(), Packet::PubAck(ack) if ack.code == ReasonCode::Success));
        }
    }
    assert_eq!(stored(&gateway), 64.0);
}

#[test]
fn kill_9_under_load_keeps_all_that_was_acknowledged() {
    const WINDOW: usize = 16;
    let mut gateway = Gateway::start();
    let devices: Vec<_> = (0..3).map(|number| Arc::new(gateway.add_device(&format!("pump-{number}")))).collect();
    for _ in 0..3 {
        let load = Load::start(&gateway, &devices, WINDOW);
        eventually("the load is on its way", || {
            let in_flight = gateway.metrics().value("sealgate_ingest_in_flight", &[]);
            (load.acknowledged() >= 500 && in_flight > 0.0).then_some(())
        });
        gateway.kill9();
        let reports = load.reports();
        assert!(reports.iter().any(|report| !report.unanswered.is_empty()), "nothing was on the way");
        gateway.restart();
        for (device, report) in devices.iter().zip(reports) {
            let stored = counters(&gateway, device);
            let lost: Vec<_> = report.acknowledged.iter().filter(|counter| !stored.contains(counter)).collect();
            assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
            // What was not answered may be stored or not; a device sends it again.
            let mut again = Client::of_device(&gateway, Version::V5, device);
            for envelope in report.unanswered {
                assert_eq!(again.publish_acknowledged(&device.topic(), envelope).code, ReasonCode::Success);
            }
            let stored = counters(&gateway, device);
            assert_eq!(stored, (1..=stored.len() as i64).collect::<Vec<_>>(), "each once, and none is missing");
        }
        assert!(gateway.law_holds());
    }
}

#[test]
fn keep_alive_stands_still_while_the_socket_is_not_read() {
    let gateway = Gateway::start_with(&[("edge.in_flight_max", "2"), ("ingest.retry_delay_max", "100ms")]);
    let pump = gateway.add_device("pump");
    let mut connect = Login::of_device(&gateway, &pump).connect(Version::V311);
    connect.keep_alive_secs = 1;
    let mut client = Client::open(&gateway, Version::V311);
    client.log_in(connect);
    let lock = Lock::take(&gateway);
    let ids: Vec<_> = (0..10).map(|_| client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0))).collect();
    // More than two and a half times as long as a client may be silent whose socket is read [MQTT-3.1.2-24].
    assert!(client.hears_nothing_for(Duration::from_secs(4)));
    assert_eq!(gateway.metrics().value("sealgate_ingest_in_flight", &[]), 2.0, "the window is full");
    drop(lock);
    for id in ids {
        let Packet::PubAck(ack) = client.receive() else { panic!("a PUBACK") };
        assert_eq!(Some(ack.packet_id), id, "in order, 3.1.1 [MQTT-4.6.0-2]");
    }
    assert_eq!(counters(&gateway, &pump), (1..=10).collect::<Vec<i64>>());
}

#[test]
fn a_stored_envelope_that_has_become_stale_is_stored_still() {
    let mut gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let old = || {
        let mut draft = pump.draft(1.0);
        draft.time_ms = Some(1_700_000_000_000);
        draft.seal()
    };
    let stored_in_time = old();
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(client.publish_acknowledged(&pump.topic(), stored_in_time.clone()).code, ReasonCode::Success);
    gateway.terminate();
    gateway.set("seal.age_max", "1h");
    gateway.restart();

    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    let stale = client.publish_acknowledged(&pump.topic(), old());
    assert_eq!(stale.reason_string.as_deref(), Some("stale"));
    assert_eq!(client.publish_acknowledged(&pump.topic(), stored_in_time).code, ReasonCode::Success);
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("sealgate_ingest_duplicate_total"), 1.0);
    assert_eq!((metrics.sum("sealgate_ingest_rejected_total"), metrics.law_difference()), (1.0, 0.0));
    assert_eq!(gateway.sql("SELECT count(*) AS n FROM quarantine")[0]["n"], 1);
    assert_eq!(counters(&gateway, &pump), [1]);
}

#[test]
fn a_quarantine_over_its_bound_keeps_no_more_and_answers_all() {
    let gateway = Gateway::start_with(&[("store.quarantine_device_rows_max", "3")]);
    let pump = gateway.add_device("pump");
    for version in [Version::V5, Version::V311] {
        let mut client = Client::of_device(&gateway, version, &pump);
        for _ in 0..4 {
            let answer = client.publish_acknowledged(&pump.topic(), b"{}".as_slice());
            if version == Version::V5 {
                assert_eq!(answer.reason_string.as_deref(), Some("malformed"));
            }
        }
    }
    let metrics = gateway.metrics();
    let kept = |kept| metrics.value("sealgate_ingest_quarantined_total", &[("kept", kept)]);
    assert_eq!((kept("yes"), kept("over_bound")), (3.0, 5.0));
    assert_eq!((metrics.sum("sealgate_ingest_rejected_total"), metrics.law_difference()), (8.0, 0.0));
    assert_eq!(gateway.sql("SELECT count(*) AS n FROM quarantine")[0]["n"], 3);
}

#[test]
fn telemetry_at_qos_0_is_stored() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    for (version, sent) in [(Version::V5, 1), (Version::V311, 2)] {
        let mut client = Client::of_device(&gateway, version, &pump);
        client.publish(&pump.topic(), QoS::AtMostOnce, pump.seal(1.0));
        eventually("it is stored", || (stored(&gateway) == f64::from(sent)).then_some(()));
        client.send(&Packet::PingReq);
        assert_eq!(client.receive(), Packet::PingResp, "it has no acknowledgement");
    }
    assert_eq!(counters(&gateway, &pump), [1, 2]);
    assert!(gateway.law_holds());
}
