//! Readings, taken out of either database by a command beside the gateway.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};

use sealgate::mqtt::{ReasonCode, Version};
use serde_json::{Value, json};

use crate::harness::{Client, Device, Gateway, Scratch};

/// What holds on SQLite holds on PostgreSQL.
fn over_both(test: impl Fn(Gateway)) {
    test(Gateway::start());
    let mut gateway = Gateway::prepare_on_postgres(&[]);
    gateway.restart();
    test(gateway);
}

/// Stores a payload of SenML.
fn store(client: &mut Client, device: &Device, payload: &str) {
    let mut draft = device.draft(0.0);
    draft.payload = payload.as_bytes().to_vec();
    let answer = client.publish_acknowledged(&device.topic(), draft.seal());
    assert_eq!(answer.code, ReasonCode::Success, "{answer:?}");
}

/// Two devices with a reading of each kind, named and sent in another order than they are exported in.
fn with_readings(gateway: &Gateway) {
    for (id, hour) in [("pump", 2), ("fan", 1)] {
        let device = gateway.add_device(id);
        let mut client = Client::of_device(gateway, Version::V5, &device);
        let at = |hour: u64, minute: u64| 1_700_000_000 + hour * 3600 + minute * 60;
        let later = format!(
            r#"[{{"n":"note","vs":"a \"b\", c","t":{}}},{{"n":"open","vb":true,"t":{}}}]"#,
            at(hour, 5),
            at(hour, 6)
        );
        let sooner = format!(
            r#"[{{"n":"temperature","u":"Cel","v":21.5,"t":{}}},{{"n":"energy","s":3.25,"t":{}.125}}]"#,
            at(hour, 0),
            at(hour, 1)
        );
        store(&mut client, &device, &later);
        store(&mut client, &device, &sooner);
    }
}

/// What the command printed, which was done.
fn exported(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.run(&[&["export", "readings"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "a bar is for a terminal");
    String::from_utf8(output.stdout).unwrap()
}

/// So many readings of one device, a second each, put there by hand.
fn fill(gateway: &Gateway, device: &str, count: u32) {
    gateway.add_device(device);
    let (label, device) =
        ("INSERT INTO label (text) VALUES ('level')", format!("(SELECT id FROM device_name WHERE name = '{device}')"));
    gateway.change_by_hand(label);
    let insert = "INSERT INTO reading (device, time, envelope, place, name, value)";
    let name = "(SELECT id FROM label WHERE text = 'level')";
    gateway.change_by_hand(&match gateway.is_on_postgres() {
        true => format!(
            "{insert} SELECT {device}, from_ms(n * 1000::bigint), n, 0, {name}, n FROM generate_series(1, {count}) n"
        ),
        false => format!(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
             {insert} SELECT {device}, n * 1000, n, 0, {name}, n FROM number"
        ),
    });
}

#[test]
fn readings_are_exported_as_csv_in_the_order_of_device_and_time() {
    over_both(|gateway| {
        with_readings(&gateway);
        let csv = exported(&gateway, &["--format", "csv"]);
        let (head, rows) = csv.split_once("\r\n").unwrap();
        assert_eq!(head, "device_id,time,name,unit,value,text,sum,envelope");
        let without_envelope = |row: &str| row.rsplit_once(',').unwrap().0.to_owned();
        let rows: Vec<String> = rows.split_terminator("\r\n").map(without_envelope).collect();
        assert_eq!(
            rows,
            [
                "fan,2023-11-14T23:13:20.000Z,temperature,Cel,21.5,,",
                "fan,2023-11-14T23:14:20.125Z,energy,,,,3.25",
                "fan,2023-11-14T23:18:20.000Z,note,,,\"a \"\"b\"\", c\",",
                "fan,2023-11-14T23:19:20.000Z,open,,,true,",
                "pump,2023-11-15T00:13:20.000Z,temperature,Cel,21.5,,",
                "pump,2023-11-15T00:14:20.125Z,energy,,,,3.25",
                "pump,2023-11-15T00:18:20.000Z,note,,,\"a \"\"b\"\", c\",",
                "pump,2023-11-15T00:19:20.000Z,open,,,true,",
            ]
        );
    });
}

#[test]
fn readings_are_exported_as_json_lines_with_the_same_names() {
    over_both(|gateway| {
        with_readings(&gateway);
        let lines = exported(&gateway, &["--format", "jsonl", "--device", "pump"]);
        let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 4);
        assert!(rows[0]["envelope"].as_i64() > rows[2]["envelope"].as_i64(), "the sooner reading came later: {lines}");
        let expected = json!({
            "device_id": "pump", "time": "2023-11-15T00:18:20.000Z", "name": "note", "unit": null, "value": null,
            "text": "a \"b\", c", "sum": null, "envelope": rows[2]["envelope"],
        });
        assert_eq!(rows[2], expected);
    });
}

#[test]
fn a_range_of_time_begins_at_since_and_ends_before_until() {
    over_both(|gateway| {
        with_readings(&gateway);
        let range = ["--since", "2023-11-14T23:14:20.125Z", "--until", "2023-11-15T01:18:20+01:00"];
        let csv = exported(&gateway, &range);
        let names: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').nth(2).unwrap()).collect();
        assert_eq!(names, ["energy", "note", "open", "temperature", "energy"]);
        assert_eq!(exported(&gateway, &["--since", "1h"]).lines().count(), 1);
    });
}

#[test]
fn many_pages_are_one_export_and_a_file_takes_it_too() {
    over_both(|gateway| {
        fill(&gateway, "pump", 5_000);
        gateway.add_device("silent");
        let csv = exported(&gateway, &[]);
        let envelopes: Vec<u32> =
            csv.lines().skip(1).map(|row| row.rsplit_once(',').unwrap().1.parse().unwrap()).collect();
        assert_eq!(envelopes, (1..=5_000).collect::<Vec<u32>>());
        let scratch = Scratch::new("export");
        let file = scratch.join("pump.csv");
        fs::write(&file, "x".repeat(csv.len() + 1)).unwrap();
        assert_eq!(exported(&gateway, &["--output", file.to_str().unwrap()]), "");
        assert!(fs::read_to_string(&file).unwrap() == csv, "another text than on standard output");
    });
}

#[test]
fn a_reader_that_has_seen_enough_of_an_export_is_no_failure() {
    let gateway = Gateway::start();
    fill(&gateway, "pump", 20_000);
    let mut export = gateway.spawn(&["export", "readings"]);
    let mut line = String::new();
    BufReader::new(export.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("device_id,"), "{line}");
    assert_eq!(export.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    export.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn an_unknown_device_and_a_file_that_cannot_be_made_are_told() {
    let gateway = Gateway::start();
    for (arguments, code, told) in [
        (&["--device", "nobody"][..], 1, "there is no device nobody"),
        (&["--output", "/nowhere/r.csv"], 2, "/nowhere/r.csv cannot be written: No such file or directory"),
    ] {
        let output = gateway.run(&[&["export", "readings"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        assert!(said.starts_with("sealgate: ") && said.contains(told), "{said}");
    }
}
