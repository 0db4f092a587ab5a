//! Devices that drop their copy of a message for a receipt alone, whatever happens on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};
use firmware_sim::host::{Encodings, Expected, FaultRates, GatewayPolicy, KeepUntil, MqttVersions, Settings};
use sealgate::mqtt::{Packet, Publish, Version};
use sealgate_envelope::{Algorithm, DeviceKey, Direction, Key, Message, Reason, frame_bytes, seal_frame};

use crate::harness::{Gateway, Meddler, Rows, RunningFleet, eventually};

/// A fleet whose devices keep their messages until a receipt names them.
fn careful(mqtt: MqttVersions) -> Settings {
    Settings { mqtt, keep_until: KeepUntil::Receipt, rate: 1_000.0, ..Settings::default() }
}

#[test]
fn a_fleet_drops_what_receipts_name_and_learns_why_the_rest_was_refused() {
    let gateway = Gateway::start_with(&[("seal.age_max", "1h")]);
    let (credentials, _) = gateway.add_fleet(4);
    let mut stored = 0;
    for (boot_count, mqtt) in [(0, MqttVersions::V311), (1, MqttVersions::V5)] {
        let settings = Settings {
            encoding: Encodings::Mixed,
            messages_max: Some(200),
            faults: FaultRates::all(0.04),
            policy: GatewayPolicy { age_max: Some(Duration::from_secs(3600)), ..GatewayPolicy::default() },
            boot_count,
            ..careful(mqtt)
        };
        let fleet = RunningFleet::start(&gateway, settings, &credentials, None);
        let tally = fleet.tally();
        let summary = fleet.sent();
        assert!(summary.is_clean(), "{summary}");
        assert!(summary.receipts.believed > 0 && summary.receipts.ignored == 0, "{summary}");
        let counts = tally.counts();
        for reason in Reason::ALL {
            let due = counts.of(Expected::Rejected(reason)).settled;
            let told = summary.receipts.refused.get(reason.as_str()).copied().unwrap_or_default();
            assert_eq!(told, due, "{reason}: {summary}");
        }
        assert!(summary.receipts.refused.len() >= 5, "{summary}");
        stored += counts.of(Expected::Stored).settled;
    }
    assert_eq!(gateway.sql("SELECT count(*) AS n FROM envelopes")[0]["n"], stored);
}

/// The receipts of a fleet that pass a meddler.
fn receipt_of(packet: &Packet) -> Option<&Publish> {
    let Packet::Publish(publish) = packet else { return None };
    publish.topic.as_ref()?.as_str().ends_with("/receipts").then_some(publish)
}

fn with_payload(packet: Packet, payload: Vec<u8>) -> Packet {
    match packet {
        Packet::Publish(publish) => Packet::Publish(Publish { payload: Bytes::from(payload), ..publish }),
        other => other,
    }
}

/// A bit of the tag is another, and the CRC is mended.
fn forged(mut frame: Vec<u8>) -> Vec<u8> {
    let end = frame.len() - 4;
    frame[end - 1] ^= 1;
    let crc = Crc::<u32>::new(&CRC_32_ISCSI).checksum(&frame[..end]);
    frame[end..].copy_from_slice(&crc.to_be_bytes());
    frame
}

/// The same words under another key.
fn sealed_by_another(frame: &[u8], device: &str) -> Vec<u8> {
    let payload = &frame[24..frame.len() - 36];
    let algorithm = Algorithm::HmacSha256;
    let message = Message { algorithm, key_version: 1, content_format: 60, counter: 1, time_ms: Some(1), payload };
    let mut sealed = vec![0; frame_bytes(payload.len(), algorithm)];
    let key = Key::new(&DeviceKey::from([7; 32]));
    seal_frame(&mut sealed, &message, &key, &device.parse().unwrap(), Direction::Receipt).unwrap();
    sealed
}

#[test]
fn a_receipt_that_was_forged_on_the_way_is_not_believed() {
    const MESSAGES: u64 = 5;
    for (version, mqtt) in [(Version::V5, MqttVersions::V5), (Version::V311, MqttVersions::V311)] {
        let gateway = Gateway::start();
        let (credentials, _) = gateway.add_fleet(1);
        let mut bad = 0;
        let meddler = Meddler::before(gateway.mqtt(), version, move |packet| {
            let Some(genuine) = receipt_of(&packet).map(|receipt| receipt.payload.to_vec()) else {
                return Some(packet);
            };
            bad += 1;
            let payload = match bad {
                1 => genuine[..genuine.len() - 1].to_vec(),
                2 => forged(genuine),
                3 => sealed_by_another(&genuine, "sim-1"),
                _ => genuine,
            };
            Some(with_payload(packet, payload))
        });
        let receipt_timeout = Duration::from_millis(200);
        let settings = Settings { messages_max: Some(MESSAGES), receipt_timeout, rate: 1.0e6, ..careful(mqtt) };
        let fleet = RunningFleet::start_by_way_of(meddler.address(), &gateway, settings, &credentials, None);
        let summary = fleet.sent();
        assert!(summary.is_clean(), "{summary}");
        assert_eq!((summary.receipts.ignored, summary.lost_connections), (3, 0), "{summary}");
        assert!(summary.sent_again > 0, "{summary}");
        assert_eq!(gateway.metrics().value("sealgate_ingest_stored_total", &[]), MESSAGES as f64);
        eventually("all that was sent again is taken for that", || {
            let retries = gateway.metrics().value("sealgate_ingest_duplicate_total", &[("origin", "retry")]);
            (retries == summary.sent_again as f64).then_some(())
        });
    }
}

#[test]
fn a_gateway_killed_between_commit_and_receipt_tells_of_a_duplicate_afterwards() {
    const MESSAGES: u64 = 10;
    for (version, mqtt) in [(Version::V5, MqttVersions::V5), (Version::V311, MqttVersions::V311)] {
        let mut gateway = Gateway::prepare(&[]);
        gateway.keep_its_doors();
        gateway.restart();
        let (credentials, keys) = gateway.add_fleet(1);
        let withholds = Arc::new(AtomicBool::new(true));
        let withheld = withholds.clone();
        let meddler = Meddler::before(gateway.mqtt(), version, move |packet| {
            let goes = receipt_of(&packet).is_none() || !withheld.load(Ordering::SeqCst);
            goes.then_some(packet)
        });
        let receipt_timeout = Duration::from_secs(3600);
        let settings = Settings { messages_max: Some(MESSAGES), receipt_timeout, ..careful(mqtt) };
        let fleet = RunningFleet::start_by_way_of(meddler.address(), &gateway, settings, &credentials, None);
        let tally = fleet.tally();
        eventually("all are committed and acknowledged", || {
            let (stored, counts) = (gateway.metrics().value("sealgate_ingest_stored_total", &[]), tally.counts());
            (stored == MESSAGES as f64 && counts.made() == MESSAGES && counts.unacknowledged == 0).then_some(())
        });
        assert_eq!(tally.counts().settled(), 0, "an acknowledgement drops nothing");
        gateway.kill9();
        withholds.store(false, Ordering::SeqCst);
        gateway.restart();
        let summary = fleet.sent();
        assert!(summary.is_clean(), "{summary}");
        assert_eq!(summary.sent_again, MESSAGES, "{summary}");
        let metrics = gateway.metrics();
        assert_eq!(metrics.sum("sealgate_ingest_duplicate_total"), MESSAGES as f64);
        assert_eq!(metrics.value("sealgate_ingest_stored_total", &[]), 0.0);
        assert_eq!(Rows::verified(&gateway, &keys).len() as u64, MESSAGES);
    }
}
