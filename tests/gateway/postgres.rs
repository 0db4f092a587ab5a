//! PostgreSQL behind the gateway, and everything that can happen to it: what is acknowledged is there, once.

use std::sync::Arc;
use std::time::Duration;

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Cutter, Device, Gateway, Load, Login, Postgres, Rows, eventually};

pub(super) const QUICK: (&str, &str) = ("ingest.retry_delay_max", "100ms");

/// Rounds of a fault in one run. `SEALGATE_FAULT_ROUNDS` asks for another number.
pub(super) fn rounds(short: usize) -> usize {
    std::env::var("SEALGATE_FAULT_ROUNDS").map_or(short, |rounds| rounds.parse().unwrap())
}

pub(super) fn number(gateway: &Gateway, from: &str) -> u64 {
    gateway.sql(&format!("SELECT count(*) AS n FROM {from}"))[0]["n"].as_u64().unwrap()
}

pub(super) fn devices(gateway: &Gateway, count: usize) -> Vec<Arc<Device>> {
    (0..count).map(|number| Arc::new(gateway.add_device(&format!("pump-{number}")))).collect()
}

/// What was acknowledged to a load is stored, once, and sealed by whom it names; what was not answered may be.
pub(super) fn assert_kept(gateway: &Gateway, devices: &[Arc<Device>], load: Load) {
    let reports = load.reports();
    let keys = devices.iter().map(|device| (device.id.clone(), device.key)).collect();
    let rows = Rows::verified(gateway, &keys);
    for (device, report) in devices.iter().zip(&reports) {
        for counter in &report.acknowledged {
            assert!(rows.has(&device.id, *counter as u64), "{} {counter} is acknowledged and not stored", device.id);
        }
    }
    let (acknowledged, unanswered) = reports.iter().fold((0, 0), |(acknowledged, unanswered), report| {
        (acknowledged + report.acknowledged.len(), unanswered + report.unanswered.len())
    });
    assert!((acknowledged..=acknowledged + unanswered).contains(&rows.len()));
    assert!(gateway.law_holds());
}

pub(super) fn more(load: &Load, messages: usize) {
    let before = load.acknowledged();
    eventually("the load goes on", || (load.acknowledged() >= before + messages).then_some(()));
}

#[test]
fn an_answer_to_commit_that_is_lost_changes_neither_rows_nor_counts() {
    let (cutter, url) = Cutter::before(&Postgres::shared().schema());
    let mut gateway = Gateway::prepare_on(url, &[QUICK]);
    gateway.restart();
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    for round in 1..=rounds(5) {
        cutter.lose_an_answer_to_commit();
        assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
        cutter.lose_an_answer_to_commit();
        let mut damaged = pump.seal(1.0);
        damaged[30] ^= 1;
        assert_eq!(client.publish_acknowledged(&pump.topic(), damaged).reason_string.as_deref(), Some("corrupt"));
        assert_eq!(cutter.lost(), 2 * round);
        let counted = |name: &str| gateway.metrics().sum(name) as usize;
        assert_eq!(counted("sealgate_ingest_stored_total"), round);
        assert_eq!(counted("sealgate_ingest_rejected_total"), round);
        assert_eq!(counted("sealgate_ingest_duplicate_total"), 0, "it is known what became of the commit");
        assert_eq!(number(&gateway, "envelopes"), round as u64);
        assert_eq!(number(&gateway, "quarantine"), round as u64);
    }
    assert!(gateway.law_holds());
}

#[test]
fn connections_that_are_cut_lose_nothing() {
    let (cutter, url) = Cutter::before(&Postgres::shared().schema());
    let mut gateway = Gateway::prepare_on(url, &[QUICK]);
    gateway.restart();
    let devices = devices(&gateway, 8);
    let load = Load::start(&gateway, &devices, 16);
    for _ in 0..rounds(20) {
        more(&load, 200);
        cutter.cut();
    }
    more(&load, 200);
    gateway.terminate();
    gateway.restart();
    assert_kept(&gateway, &devices, load);
}

#[test]
fn a_server_that_crashes_and_comes_back_loses_nothing() {
    let server = Postgres::start(&[]);
    let mut gateway = Gateway::prepare_on(server.schema(), &[QUICK]);
    gateway.restart();
    let devices = devices(&gateway, 8);
    let load = Load::start(&gateway, &devices, 16);
    for _ in 0..rounds(5) {
        more(&load, 500);
        server.kill9();
        eventually("the gateway has noticed", || {
            (gateway.metrics().sum("sealgate_ingest_commit_failures_total") > 0.0).then_some(())
        });
        server.start_again();
    }
    more(&load, 500);
    gateway.terminate();
    gateway.restart();
    assert_kept(&gateway, &devices, load);
}

#[test]
fn a_server_that_stands_still_holds_messages_and_no_pings() {
    let server = Postgres::start(&[]);
    let settings = [QUICK, ("database.statement_timeout", "500ms"), ("database.connect_timeout", "500ms")];
    let mut gateway = Gateway::prepare_on(server.schema(), &settings);
    gateway.restart();
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(0.0));
    server.freeze();
    let ids: Vec<_> = (0..10).map(|_| client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0))).collect();
    eventually("it gives up what is not answered", || {
        (gateway.metrics().sum("sealgate_ingest_commit_failures_total") >= 2.0).then_some(())
    });
    assert!(client.hears_nothing_for(Duration::from_millis(100)));
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
    server.thaw();
    for id in ids {
        let Packet::PubAck(ack) = client.receive() else { panic!("a PUBACK") };
        assert_eq!((Some(ack.packet_id), ack.code), (id, ReasonCode::Success));
    }
    assert_eq!(number(&gateway, "envelopes"), 11);
    assert!(gateway.law_holds());
}

#[test]
fn two_gateways_on_one_database_store_an_envelope_once() {
    let mut one = Gateway::prepare_on_postgres(&[]);
    one.restart();
    let mut two = Gateway::prepare_on(one.url().to_owned(), &[]);
    let refusal = two.run(&["serve"]);
    let said = String::from_utf8_lossy(&refusal.stderr);
    assert!(!refusal.status.success() && said.contains("master.keys"), "{said}");
    assert!(two.data_dir().is_dir(), "the refusal has made it, for nobody else to read");
    two.take_keys_of(&one);
    two.restart();
    let pump = one.add_device("pump");
    // A token that one has issued opens the other.
    let token = one.token(&pump.client_id, &pump.client_secret);
    let mut clients = [&one, &two].map(|gateway| {
        Client::connect(gateway, Version::V5, &Login { token: token.clone(), ..Login::of_device(&one, &pump) })
    });
    for _ in 0..50 {
        let frame = pump.seal(1.0);
        let ids = clients.each_mut().map(|client| client.publish(&pump.topic(), QoS::AtLeastOnce, frame.clone()));
        for (client, id) in clients.iter_mut().zip(ids) {
            let Packet::PubAck(ack) = client.receive() else { panic!("a PUBACK") };
            assert_eq!((Some(ack.packet_id), ack.code), (id, ReasonCode::Success));
        }
    }
    assert_eq!(number(&one, "envelopes"), 50);
    let counted = |name: &str| (one.metrics().sum(name) + two.metrics().sum(name)) as u64;
    assert_eq!((counted("sealgate_ingest_stored_total"), counted("sealgate_ingest_duplicate_total")), (50, 50));
    assert!(one.law_holds() && two.law_holds());
}

#[test]
fn another_master_key_does_not_start() {
    let mut one = Gateway::prepare_on_postgres(&[]);
    one.restart();
    let mut other = Gateway::start();
    other.terminate();
    other.set("database.url", one.url());
    let output = other.run(&["serve"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("was made with another master key"), "{said}");
}
