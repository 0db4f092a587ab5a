//! What was refused: listed, shown and cleared away by commands beside the gateway, on either database.

use std::process::Output;

use sealgate::mqtt::{ReasonCode, Version};
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
