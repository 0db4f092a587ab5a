//! Every kind of envelope, in each encoding, at both versions and at QoS 1 and 2: the right answer, row, quarantine row and count.
//!
//! The judge is `tests/clients/acceptance.py`: paho and a sealing code that was written from the specification, not from ours.
//! What is left to do here is what a client cannot: to start the gateway, and to disable and delete the device when told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Device, Gateway, Service};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Debian's own, for which Debian's paho and cbor2 are installed.
const PYTHON: &str = "/usr/bin/python3";

fn device_json(device: &Device) -> Value {
    json!({
        "device_id": device.id,
        "client_id": device.client_id,
        "client_secret": device.client_secret,
        "seal_key": hex::encode(device.key),
        "key_version": device.key_version,
    })
}

fn service_json(service: &Service) -> Value {
    json!({ "name": service.name, "client_id": service.client_id, "client_secret": service.client_secret })
}

fn acceptance(gateway: &Gateway, version: &str, policy: &Value) {
    let device = gateway.add_device(&format!("plant-7.pump:{version}"));
    let stranger = gateway.add_device(&format!("stranger-{version}"));
    let service = gateway.add_service(&format!("watcher-{}", version.replace('.', "-")), &["sub:readings/#"]);
    let settings = json!({
        "mqtt": gateway.mqtt().to_string(),
        "public": format!("http://{}", gateway.public()),
        "admin": format!("http://{}", gateway.admin()),
        "data_dir": gateway.data_dir(),
        "version": version,
        "device": device_json(&device),
        "stranger": device_json(&stranger),
        "service": service_json(&service),
        "stale_after_secs": policy["stale_after_secs"],
        "duplicate_origin": policy["duplicate_origin"],
        "receipts": true,
    });
    let mut script = Command::new(PYTHON)
        .arg(format!("{CLIENTS}/acceptance.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = script.stdin.take().unwrap();
    writeln!(orders, "{settings}").unwrap();
    drop(orders);
    let cases = BufReader::new(script.stdout.take().unwrap()).lines().map_while(Result::ok).count();
    assert!(script.wait().unwrap().success(), "the table above says what is wrong");
    assert!(cases > 100, "{cases} cases are too few to be all of them");
}

#[test]
fn our_reading_of_the_specification_seals_the_vectors_byte_for_byte() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/envelope/fixtures/envelope-vectors.json");
    let sealed =
        Command::new(PYTHON).arg(format!("{CLIENTS}/sealing.py")).args(["--vectors", vectors]).output().unwrap();
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
}

#[test]
fn each_envelope_gets_its_answer_row_and_count_at_mqtt_5() {
    // With a limit on age, so that `stale` is answered here with its code.
    let gateway = Gateway::start_with(&[("seal.age_max", "1h")]);
    acceptance(&gateway, "5", &json!({ "stale_after_secs": 3600, "duplicate_origin": "retry" }));
}

#[test]
fn each_envelope_gets_its_answer_row_and_count_at_mqtt_3_1_1() {
    // With the same limit on age, and without a window for retries.
    let gateway = Gateway::start_with(&[("seal.age_max", "1h"), ("ingest.retry_window", "0s")]);
    acceptance(&gateway, "3.1.1", &json!({ "stale_after_secs": 3600, "duplicate_origin": "replay" }));
}
