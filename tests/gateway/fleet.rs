//! A simulated fleet against a gateway: what it promises to whoever has no hardware at hand.

use std::time::Duration;

use firmware_sim::host::{Content, Encodings, Expected, Fault, FaultRates, Ledger, MqttVersions, Settings};

use crate::harness::{Deadline, Gateway, Rows, RunningFleet, Scratch, eventually};

#[test]
fn each_device_sends_its_messages_and_the_ledger_names_them() {
    let gateway = Gateway::start();
    let (credentials, keys) = gateway.add_fleet(8);
    let scratch = Scratch::new("fleet");
    let ledger = Ledger::create(&scratch.join("ledger.jsonl")).unwrap();
    let settings = Settings { rate: 1_000.0, messages_max: Some(50), ..Settings::default() };
    let fleet = RunningFleet::start(&gateway, settings, &credentials, Some(ledger));
    let summary = fleet.sent();
    assert!(summary.is_clean(), "{summary}");
    assert_eq!((summary.messages, summary.held_back, summary.lost_connections), (400, 0, 0));
    let rows = Rows::verified(&gateway, &keys);
    assert_eq!((rows.len(), rows.assert_hold(&scratch.join("ledger.jsonl"))), (400, 400));
}

#[test]
fn a_ledger_names_nothing_that_was_refused() {
    let gateway = Gateway::start();
    let (credentials, keys) = gateway.add_fleet(4);
    let scratch = Scratch::new("fleet");
    for (boot_count, mqtt) in [(0, MqttVersions::V311), (1, MqttVersions::V5)] {
        let path = scratch.join(&format!("ledger-{boot_count}.jsonl"));
        let settings = Settings {
            mqtt,
            rate: 1_000.0,
            messages_max: Some(200),
            faults: FaultRates::all(0.05),
            boot_count,
            ..Settings::default()
        };
        let ledger = Ledger::create(&path).unwrap();
        let fleet = RunningFleet::start(&gateway, settings, &credentials, Some(ledger));
        let summary = fleet.sent();
        assert!(summary.is_clean(), "{summary}");
        let lines = Rows::verified(&gateway, &keys).assert_hold(&path);
        assert!(lines > 300 && (lines as u64) < summary.messages, "{lines} of {}", summary.messages);
    }
}

#[test]
fn a_token_is_renewed_between_half_and_nine_tenths_of_its_life() {
    // Its times are whole seconds: one of twenty has lost up to one of them when it is issued, which is less than a tenth.
    let gateway = Gateway::start_with(&[("auth.token_lifetime", "20s")]);
    let (credentials, _) = gateway.add_fleet(6);
    let settings = Settings { rate: 20.0, ..Settings::default() };
    let fleet = RunningFleet::start(&gateway, settings, &credentials, None);
    let tally = fleet.tally();
    eventually("all are connected", || (tally.counts().connections == 6).then_some(()));
    let half = Deadline::after(Duration::from_millis(9_500));
    eventually("a token is renewed", || (tally.counts().connections > 6).then_some(()));
    assert!(half.left().is_zero(), "a token was renewed before half of its life was over");
    assert!(tally.counts().connections < 12, "the whole fleet came back together");
    eventually("each device has connected twice", || (tally.counts().connections >= 12).then_some(()));
    let summary = fleet.finish();
    assert!(summary.is_clean(), "{summary}");
    assert_eq!((summary.lost_connections, summary.failed_attempts), (0, 0), "{summary}");
    let expired = gateway.metrics().value("sealgate_edge_ended_total", &[("cause", "token_expired")]);
    assert_eq!(expired, 0.0, "no connection has met the end of its token");
}

#[test]
fn payloads_have_the_size_and_the_form_that_was_asked_for() {
    let gateway = Gateway::start();
    let (credentials, _) = gateway.add_fleet(3);
    for (boot_count, content, bytes) in
        [(0, Content::SenmlJson, 500), (1, Content::SenmlCbor, 500), (2, Content::SenmlJson, 20_000)]
    {
        let settings = Settings {
            encoding: Encodings::Mixed,
            content,
            payload_bytes: bytes,
            rate: 100.0,
            messages_max: Some(5),
            boot_count,
            ..Settings::default()
        };
        let fleet = RunningFleet::start(&gateway, settings, &credentials, None);
        assert!(fleet.sent().is_clean());
        let query = format!(
            "SELECT count(*) AS n, min(length(bytes)) AS shortest FROM envelopes WHERE counter >> 32 = {boot_count}
             AND content_format = {}",
            content.format()
        );
        let found = &gateway.sql(&query)[0];
        assert_eq!(found["n"], 15, "{found}");
        assert!(found["shortest"].as_u64().unwrap() >= bytes as u64, "{found}");
    }
}

#[test]
fn a_gateway_that_answers_otherwise_than_the_specification_is_a_surprise() {
    // This gateway takes what is old, and the fleet believes that it does not.
    let gateway = Gateway::start();
    let (credentials, _) = gateway.add_fleet(1);
    let mut settings = Settings {
        mqtt: MqttVersions::V5,
        rate: 100.0,
        messages_max: Some(3),
        faults: FaultRates::default().with(Fault::Stale, 1.0),
        ..Settings::default()
    };
    settings.policy.age_max = Some(Duration::from_secs(60));
    let fleet = RunningFleet::start(&gateway, settings, &credentials, None);
    let tally = fleet.tally();
    let summary = fleet.sent();
    assert_eq!(tally.counts().of(Expected::Stored).made, 0);
    assert_eq!((summary.surprises, summary.is_clean()), (3, false), "{summary}");
}

#[test]
fn a_fleet_outlives_its_gateway() {
    let mut gateway = Gateway::prepare(&[]);
    gateway.keep_its_doors();
    gateway.restart();
    let (credentials, keys) = gateway.add_fleet(4);
    let scratch = Scratch::new("fleet");
    let path = scratch.join("ledger.jsonl");
    let settings = Settings { rate: 200.0, ..Settings::default() };
    let fleet = RunningFleet::start(&gateway, settings, &credentials, Some(Ledger::create(&path).unwrap()));
    let tally = fleet.tally();
    for _ in 0..2 {
        let before = tally.counts().settled();
        eventually("the fleet sends", || (tally.counts().settled() >= before + 100).then_some(()));
        gateway.terminate();
        eventually("the fleet has noticed", || (tally.counts().connected == 0).then_some(()));
        gateway.restart();
    }
    eventually("the fleet is back", || (tally.counts().connected == 4).then_some(()));
    let summary = fleet.finish();
    assert!(summary.is_clean(), "{summary}");
    assert!(summary.lost_connections >= 8, "{summary}");
    assert_eq!(Rows::verified(&gateway, &keys).assert_hold(&path) as u64, summary.acknowledged);
}

#[test]
fn ten_thousand_devices_fit_into_one_process() {
    const DEVICES: usize = 10_000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let gateway = Gateway::start_with(&[("log.level", "warn")]);
    let (credentials, _) = gateway.add_fleet(DEVICES);
    let settings =
        Settings { encoding: Encodings::Mixed, rate: 0.5, ramp: Duration::from_secs(5), ..Settings::default() };
    let fleet = RunningFleet::start(&gateway, settings, &credentials, None);
    let tally = fleet.tally();
    eventually("all are connected and each has been acknowledged", || {
        let counts = tally.counts();
        (counts.connected == DEVICES as u64 && counts.settled() >= DEVICES as u64).then_some(())
    });
    assert_eq!(gateway.metrics().value("sealgate_edge_connections", &[]), DEVICES as f64);
    let summary = fleet.finish();
    assert!(summary.is_clean(), "{summary}");
    assert_eq!((summary.connections, summary.lost_connections, summary.failed_attempts), (DEVICES as u64, 0, 0));
    assert!(gateway.law_holds());
}
