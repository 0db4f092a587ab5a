//! What was refused: listed, shown and cleared away by commands beside the gateway, on either database.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Output;

use sealgate::mqtt::{ReasonCode, Version};
use sealgate_envelope::{DeviceId, MasterKey};
use serde_json::{Value, json};

use crate::harness::{Client, Device, Gateway};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const UNUSABLE: i32 = 2;

/// What holds on SQLite holds on PostgreSQL.
fn over_both(test: impl Fn(Gateway)) {
    test(Gateway::start());
    test(on_postgres());
}

fn on_postgres() -> Gateway {
    let mut gateway = Gateway::prepare_on_postgres(&[]);
    gateway.restart();
    gateway
}

/// A message that another key sealed.
fn forged(device: &Device, value: f64) -> Vec<u8> {
    let mut draft = device.draft(value);
    draft.key = [0; 32];
    draft.seal()
}

/// A frame that was damaged on its way.
fn corrupt(device: &Device, value: f64) -> Vec<u8> {
    let mut frame = device.seal(value);
    *frame.last_mut().unwrap() ^= 1;
    frame
}

/// Sends messages that are refused.
fn send_refused(gateway: &Gateway, device: &Device, messages: &[Vec<u8>]) {
    let mut client = Client::of_device(gateway, Version::V5, device);
    for message in messages {
        let answer = client.publish_acknowledged(&device.topic(), message.clone());
        assert_ne!(answer.code, ReasonCode::Success, "{answer:?}");
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

/// What a command that is done printed.
fn printed(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.run(arguments);
    assert_eq!(code(&output), DONE, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of `quarantine list`, with more arguments.
fn listed(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let lines = printed(gateway, &[&["quarantine", "list", "--format", "json"], arguments].concat());
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn quarantined(gateway: &Gateway) -> i64 {
    gateway.sql("SELECT count(*) AS n FROM quarantine")[0]["n"].as_i64().unwrap()
}

/// So many messages of as many devices, put there by hand: a device alone may not have so many.
fn fill(gateway: &Gateway, count: u32) {
    let insert = "INSERT INTO quarantine (device_id, received_at, reason, encoding, bytes)";
    gateway.change_by_hand(&match gateway.is_on_postgres() {
        true => format!(
            "{insert} SELECT 'd' || n, from_ms(n), 'corrupt', 'frame', '\\x00' FROM generate_series(1, {count}) n"
        ),
        false => format!(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
             {insert} SELECT 'd' || n, n, 'corrupt', 'frame', x'00' FROM number"
        ),
    });
}

#[test]
fn what_was_refused_is_listed_oldest_first_and_filtered() {
    over_both(|gateway| {
        let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
        send_refused(&gateway, &pump, &[forged(&pump, 1.0), corrupt(&pump, 2.0)]);
        send_refused(&gateway, &fan, &[forged(&fan, 3.0)]);

        let all = listed(&gateway, &[]);
        let facts: Vec<Value> = all.iter().map(|line| json!([line["device_id"], line["reason"]])).collect();
        assert_eq!(facts, [json!(["pump", "bad_seal"]), json!(["pump", "corrupt"]), json!(["fan", "bad_seal"])]);
        assert_eq!((&all[0]["encoding"], &all[0]["bytes"]), (&json!("frame"), &json!(forged(&pump, 1.0).len())));

        let second = all[1]["received_at"].as_str().unwrap();
        assert!(second.ends_with('Z') && second.len() == "2026-01-31T12:00:00.000Z".len(), "{second}");
        assert_eq!(listed(&gateway, &["--device", "pump"]), all[..2]);
        assert_eq!(listed(&gateway, &["--reason", "bad_seal", "--device", "fan"]), all[2..]);
        assert_eq!(listed(&gateway, &["--limit", "2"]), all[..2]);
        assert_eq!(listed(&gateway, &["--since", "1h"]), all);
        assert_eq!(listed(&gateway, &["--until", "1h"]), [Value::Null; 0]);
        assert!(listed(&gateway, &["--since", second]).contains(&all[1]));
        assert!(!listed(&gateway, &["--until", second]).contains(&all[1]));

        let table = printed(&gateway, &["quarantine", "list", "--format", "table"]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines.len() == 4 && lines[0].contains("RECEIVED"), "{table}");
        assert!(lines[2].contains(second) && lines[2].contains("corrupt") && lines[2].ends_with("pump"), "{table}");
    });
}

#[test]
fn a_long_list_is_whole() {
    over_both(|gateway| {
        fill(&gateway, 2_500);
        let ids: Vec<i64> = listed(&gateway, &[]).iter().map(|line| line["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), 2_500);
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert_eq!(listed(&gateway, &["--limit", "1001"]).len(), 1_001);
    });
}

#[test]
fn one_message_is_shown_with_its_bytes_and_what_inspect_says_of_them() {
    over_both(|gateway| {
        let pump = gateway.add_device("pump");
        let message = forged(&pump, 1.0);
        send_refused(&gateway, &pump, &[message.clone(), b"no envelope".to_vec()]);
        let all = listed(&gateway, &[]);
        let id = |place: usize| all[place]["id"].to_string();

        let shown = printed(&gateway, &["quarantine", "show", &id(0)]);
        let inspected = gateway.run(&["inspect", "--hex", &hex::encode(&message), "--device", "pump"]);
        let inspected = String::from_utf8(inspected.stdout).unwrap();
        assert!(inspected.contains("counter") && inspected.contains("bad_seal"), "{inspected}");
        assert!(shown.ends_with(&format!("\n{}\n\n{inspected}", hex::encode(&message))), "{shown}");
        for fact in ["pump", "bad_seal", "frame", all[0]["received_at"].as_str().unwrap()] {
            assert!(shown.contains(fact), "{shown}");
        }
        let shown = printed(&gateway, &["quarantine", "show", &id(1)]);
        assert!(shown.contains(&hex::encode("no envelope")) && shown.contains("malformed"), "{shown}");

        let output = gateway.run(&["quarantine", "show", "999"]);
        assert_eq!(code(&output), FAILED);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "sealgate: there is no message 999 in quarantine\n");
    });
}

#[test]
fn what_is_purged_is_gone_and_makes_room_while_the_gateway_runs() {
    over_both(|gateway| {
        let pump = gateway.add_device("pump");
        fill(&gateway, 2_500);
        send_refused(&gateway, &pump, &[forged(&pump, 1.0)]);

        let counted = printed(&gateway, &["quarantine", "purge", "--all", "--dry-run"]);
        assert_eq!(counted, "to be purged: 2501\n");
        assert_eq!(quarantined(&gateway), 2_501);
        let old = ["quarantine", "purge", "--reason", "corrupt", "--until", "1970-01-01T00:00:01Z"];
        assert_eq!(printed(&gateway, &old), "purged: 999\n");
        assert_eq!(quarantined(&gateway), 1_502);
        let one = listed(&gateway, &["--limit", "1"])[0]["id"].to_string();
        assert_eq!(printed(&gateway, &["quarantine", "purge", &one]), "purged: 1\n");
        assert_eq!(printed(&gateway, &["quarantine", "purge", "--all"]), "purged: 1501\n");
        assert_eq!(quarantined(&gateway), 0);
        assert_eq!(
            gateway.sql("SELECT row_count, byte_count FROM quarantine_usage"),
            [json!({ "row_count": 0, "byte_count": 0 })]
        );

        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
    });
}

#[test]
fn what_is_no_filter_is_a_wrong_command_line_and_nothing_is_purged() {
    let gateway = Gateway::start();
    fill(&gateway, 1);
    for wrong in [
        &["purge"][..],
        &["purge", "--dry-run"],
        &["purge", "--all", "--device", "d1"],
        &["purge", "--all", "1"],
        &["purge", "--since", "yesterday"],
        &["list", "--reason", "bad_weather"],
        &["list", "--device", "a b"],
        &["list", "--limit", "0"],
        &["show"],
    ] {
        let output = gateway.run(&[&["quarantine"], wrong].concat());
        assert_eq!(code(&output), UNUSABLE, "{wrong:?}");
    }
    assert_eq!(quarantined(&gateway), 1);
}

/// Adds a version to the master keys, as a line of the file.
fn add_master_key(gateway: &Gateway, version: u8, key: [u8; 32]) {
    let mut file = OpenOptions::new().append(true).open(gateway.data_dir().join("master.keys")).unwrap();
    writeln!(file, "{version} {}", hex::encode(key)).unwrap();
}

/// The counters and values that are stored of a device, and how many readings.
fn stored(gateway: &Gateway, device: &str) -> (Vec<i64>, i64) {
    let envelopes = format!("SELECT counter FROM envelopes WHERE device_id = '{device}' ORDER BY counter");
    let readings = format!("SELECT count(*) AS n FROM readings WHERE device_id = '{device}'");
    let counters = gateway.sql(&envelopes).iter().map(|row| row["counter"].as_i64().unwrap()).collect();
    (counters, gateway.sql(&readings)[0]["n"].as_i64().unwrap())
}

/// The master keys that a fleet was made with, and those that were typed into the gateway.
const MEANT: [u8; 32] = [0x2a; 32];
const TYPED: [u8; 32] = [0x2b; 32];

#[test]
fn a_fleet_that_was_provisioned_with_another_key_loses_nothing() {
    over_both(|mut gateway| {
        gateway.terminate();
        add_master_key(&gateway, 2, TYPED);
        gateway.restart();
        let fleet: Vec<Device> = (0..3).map(|number| gateway.add_device(&format!("d{number}"))).collect();
        let mut sent = Vec::new();
        for device in &fleet {
            let id: DeviceId = device.id.parse().unwrap();
            let drafts = [1.0, 2.0].map(|value| {
                let mut draft = device.draft(value);
                draft.key = *MasterKey::from(MEANT).device_key(&id).as_bytes();
                draft.seal()
            });
            send_refused(&gateway, device, &drafts);
            sent.push(drafts);
        }
        let reasons: Vec<Value> = listed(&gateway, &[]).into_iter().map(|line| line["reason"].clone()).collect();
        assert_eq!(reasons, vec![json!("bad_seal"); 6]);
        let nothing = "released: 0 (stored 0, duplicate 0)\nkept: 6 (bad_seal 6)\n";
        assert_eq!(printed(&gateway, &["quarantine", "release"]), nothing);

        let file = gateway.data_dir().join("master.keys");
        let keys = fs::read_to_string(&file).unwrap().replace(&hex::encode(TYPED), &hex::encode(MEANT));
        fs::write(&file, keys).unwrap();
        let arrival = listed(&gateway, &["--device", "d1"])[0]["received_at"].clone();
        let dry = printed(&gateway, &["quarantine", "release", "--dry-run"]);
        assert_eq!(dry, "to be released: 6 (stored 6, duplicate 0)\nto be kept: 0\n");
        assert_eq!((quarantined(&gateway), stored(&gateway, "d1")), (6, (vec![], 0)));

        let one = printed(&gateway, &["quarantine", "release", "--device", "d1"]);
        assert_eq!(one, "released: 2 (stored 2, duplicate 0)\nkept: 0\n");
        let rest = printed(&gateway, &["quarantine", "release"]);
        assert_eq!(rest, "released: 4 (stored 4, duplicate 0)\nkept: 0\n");
        let again = printed(&gateway, &["quarantine", "release"]);
        assert_eq!(again, "released: 0 (stored 0, duplicate 0)\nkept: 0\n");
        assert_eq!(quarantined(&gateway), 0);
        // A reading without a time of its own is of the first arrival.
        let csv = printed(&gateway, &["export", "readings", "--device", "d1", "--format", "jsonl"]);
        let first: Value = serde_json::from_str(csv.lines().next().unwrap()).unwrap();
        assert_eq!(first["time"], arrival);

        gateway.terminate();
        gateway.restart();
        for (device, messages) in fleet.iter().zip(&sent) {
            assert_eq!(stored(&gateway, &device.id), (vec![1, 2], 2));
            let mut client = Client::of_device(&gateway, Version::V5, device);
            for message in messages {
                assert_eq!(client.publish_acknowledged(&device.topic(), message.clone()).code, ReasonCode::Success);
            }
            assert_eq!(stored(&gateway, &device.id), (vec![1, 2], 2), "what was released is a duplicate");
        }
    });
}

#[test]
fn a_retired_key_opens_where_the_operator_names_it() {
    over_both(|gateway| {
        let pump = gateway.add_device("pump");
        gateway.change_by_hand("UPDATE devices SET key_version_min = 2");
        send_refused(&gateway, &pump, &[pump.seal(1.0)]);
        let release = ["quarantine", "release"];
        let kept = "released: 0 (stored 0, duplicate 0)\nkept: 1 (unknown_key 1)\n";
        assert_eq!(printed(&gateway, &release), kept);
        let unknown = gateway.run(&[&release[..], &["--accept-key", "9"]].concat());
        assert_eq!(code(&unknown), UNUSABLE);
        assert!(String::from_utf8(unknown.stderr).unwrap().contains("no master key of version 9"));

        let accept = [&release[..], &["--accept-key", "1"]].concat();
        assert_eq!(printed(&gateway, &accept), "released: 1 (stored 1, duplicate 0)\nkept: 0\n");
        assert_eq!(stored(&gateway, "pump"), (vec![1], 1));
    });
}

#[test]
fn what_is_refused_again_stays_and_is_counted_by_its_reason_of_today() {
    over_both(|gateway| {
        let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
        let first = pump.draft(1.0);
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        assert_eq!(client.publish_acknowledged(&pump.topic(), first.seal()).code, ReasonCode::Success);
        let mut reused = first.clone();
        reused.payload = br#"[{"n":"temperature","v":9}]"#.to_vec();
        let mut unreadable = pump.draft(2.0);
        unreadable.payload = b"{".to_vec();
        send_refused(&gateway, &pump, &[reused.seal(), unreadable.seal(), forged(&pump, 3.0)]);
        gateway.change_by_hand("UPDATE devices SET state = 'disabled' WHERE device_id = 'fan'");
        let by_hand = |frame: Vec<u8>| put(&gateway, "fan", 0, "device_disabled", &frame);
        by_hand(fan.seal(1.0));
        by_hand(corrupt(&fan, 2.0));

        let before = listed(&gateway, &[]);
        let kept = "kept: 5 (corrupt 1, device_disabled 1, bad_seal 1, bad_payload 1, replayed 1)\n";
        for _ in 0..2 {
            let told = printed(&gateway, &["quarantine", "release"]);
            assert_eq!(told, format!("released: 0 (stored 0, duplicate 0)\n{kept}"));
            assert_eq!(listed(&gateway, &[]), before);
            assert_eq!((stored(&gateway, "pump"), stored(&gateway, "fan")), ((vec![1], 1), (vec![], 0)));
        }
        assert!(gateway.run(&["device", "enable", "fan"]).status.success());
        let ids: Vec<String> = before[3..].iter().map(|line| line["id"].to_string()).collect();
        let told = printed(&gateway, &["quarantine", "release", &ids[0], &ids[1]]);
        assert_eq!(told, "released: 1 (stored 1, duplicate 0)\nkept: 1 (corrupt 1)\n");
        assert_eq!(stored(&gateway, "fan"), (vec![1], 1));
    });
}

/// Puts a message into the quarantine as if it had come at that time.
fn put(gateway: &Gateway, device: &str, received_at_ms: i64, reason: &str, message: &[u8]) {
    let digits = hex::encode(message);
    let (at, bytes) = match gateway.is_on_postgres() {
        true => (format!("from_ms({received_at_ms})"), format!("'\\x{digits}'")),
        false => (received_at_ms.to_string(), format!("x'{digits}'")),
    };
    gateway.change_by_hand(&format!(
        "INSERT INTO quarantine (device_id, received_at, reason, encoding, bytes) VALUES ('{device}', {at}, '{reason}', 'frame', {bytes})"
    ));
}

#[test]
fn the_clock_of_a_release_is_that_of_the_arrival() {
    const ARRIVED_MS: i64 = 1_600_000_000_000;
    let mut on_postgres = Gateway::prepare_on_postgres(&[("seal.age_max", "1h")]);
    on_postgres.restart();
    for gateway in [Gateway::start_with(&[("seal.age_max", "1h")]), on_postgres] {
        let pump = gateway.add_device("pump");
        let sealed_at = |time_ms: i64| {
            let mut draft = pump.draft(1.0);
            draft.time_ms = Some(time_ms);
            draft.seal()
        };
        let in_time = sealed_at(ARRIVED_MS);
        put(&gateway, "pump", ARRIVED_MS, "unknown_device", &in_time);
        put(&gateway, "pump", ARRIVED_MS, "stale", &sealed_at(ARRIVED_MS - 3_600_001));
        put(&gateway, "pump", ARRIVED_MS, "future", &sealed_at(ARRIVED_MS + 300_001));
        let told = printed(&gateway, &["quarantine", "release"]);
        assert_eq!(told, "released: 1 (stored 1, duplicate 0)\nkept: 2 (stale 1, future 1)\n");
        // The same once more: by today's clock it is stale, and it is stored.
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        assert_eq!(client.publish_acknowledged(&pump.topic(), in_time.clone()).code, ReasonCode::Success);
        put(&gateway, "pump", ARRIVED_MS + 7_200_000, "stale", &in_time);
        let told = printed(&gateway, &["quarantine", "release"]);
        assert_eq!(told, "released: 1 (stored 0, duplicate 1)\nkept: 2 (stale 1, future 1)\n");
        assert_eq!(stored(&gateway, "pump"), (vec![1], 1));
    }
}

#[test]
fn the_worst_devices_are_listed_with_what_is_wrong_with_them() {
    over_both(|gateway| {
        let [pump, fan, _silent] = ["pump", "fan", "silent"].map(|id| gateway.add_device(id));
        let mut client = Client::of_device(&gateway, Version::V5, &fan);
        (0..9).for_each(|_| _ = client.publish_acknowledged(&fan.topic(), fan.seal(1.0)));
        send_refused(&gateway, &fan, &[corrupt(&fan, 1.0)]);
        send_refused(&gateway, &pump, &[forged(&pump, 1.0), forged(&pump, 2.0), corrupt(&pump, 3.0), b"\x01".to_vec()]);
        let listed = gateway.run(&["device", "list", "--worst", "--since", "2h", "--format", "json"]);
        assert_eq!(listed.status.code(), Some(DONE), "{listed:?}");
        let listed = String::from_utf8(listed.stdout).unwrap();
        let facts: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = facts.iter().map(|device| {
            ["device_id", "refused_part", "accepted", "refused", "crc", "hmac", "other", "trend"]
                .map(|fact| device[fact].clone())
        });
        let expected = [json!(["pump", 1.0, 0, 4, 1, 2, 1, "new"]), json!(["fan", 0.1, 9, 1, 1, 0, 0, "new"])];
        assert_eq!(told.map(|facts| json!(facts)).collect::<Vec<_>>(), expected, "{listed}");
        let table = gateway.run(&["device", "list", "--worst", "1"]);
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.lines().count() == 2 && table.contains("100.0 %") && !table.contains("fan"), "{table}");
        assert_eq!(gateway.run(&["device", "list", "--since", "2h"]).status.code(), Some(UNUSABLE));
    });
}
