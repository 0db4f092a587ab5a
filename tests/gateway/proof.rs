//! What is stored is proved again: everything fits as it was left, and whatever is changed beside the gateway is found and named.

use std::process::Output;
use std::sync::Arc;

use sealgate::mqtt::{ReasonCode, Version};
use serde_json::Value;

use crate::harness::{Client, Device, Gateway, Load, eventually};

const OFTEN: (&str, &str) = ("proof.checkpoint_interval", "100ms");

fn over_both(test: impl Fn(Gateway)) {
    test(Gateway::prepare(&[OFTEN]));
    test(Gateway::prepare_on_postgres(&[OFTEN]));
}

/// Devices that have sent so many messages each, and nothing runs.
fn filled(gateway: &mut Gateway, names: &[&str], messages: usize) -> Vec<Device> {
    gateway.restart();
    let devices: Vec<Device> = names.iter().map(|name| gateway.add_device(name)).collect();
    for device in &devices {
        send(gateway, device, messages);
    }
    gateway.terminate();
    devices
}

fn send(gateway: &Gateway, device: &Device, messages: usize) {
    let mut client = Client::of_device(gateway, Version::V5, device);
    for value in 0..messages {
        let answer = client.publish_acknowledged(&device.topic(), device.seal(value as f64));
        assert_eq!(answer.code, ReasonCode::Success);
    }
}

fn verify(gateway: &Gateway, arguments: &[&str]) -> Output {
    gateway.run(&[&["verify", "--format", "json"], arguments].concat())
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// The summary of a run that finds nothing.
fn fits(gateway: &Gateway, arguments: &[&str]) -> Value {
    let output = verify(gateway, arguments);
    let lines = lines(&output);
    assert!(output.status.success() && lines.len() == 1, "{lines:?}");
    lines[0]["summary"].clone()
}

/// What a run finds, each as `kind: detail`, in order.
fn findings(gateway: &Gateway, arguments: &[&str]) -> Vec<String> {
    let output = verify(gateway, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = lines(&output);
    let summary = lines.pop().unwrap();
    assert!(summary["summary"]["findings"].as_object().is_some_and(|found| !found.is_empty()), "{summary}");
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let mut found: Vec<String> =
        lines.iter().map(|line| format!("{}: {}", text(line, "kind"), text(line, "detail"))).collect();
    found.sort();
    found
}

#[test]
fn what_the_gateway_leaves_fits_and_a_cut_end_is_noticed() {
    over_both(|mut gateway| {
        filled(&mut gateway, &["pump", "fan"], 30);
        let summary = fits(&gateway, &[]);
        assert_eq!((&summary["envelopes"], &summary["uncovered"]), (&60.into(), &0.into()));
        let (number, root) = (summary["checkpoints"].as_i64().unwrap(), summary["root"].as_str().unwrap().to_owned());
        assert!(number > 0 && root.len() == 64);
        fits(&gateway, &["--checkpoint", &format!("{number}:{}", &root[..12])]);
        assert_eq!(fits(&gateway, &["--device", "fan"])["envelopes"], 30);
        assert_eq!(fits(&gateway, &["--since", "2001-01-01T00:00:00Z", "--parallel", "1"])["envelopes"], 60);
        assert_eq!(fits(&gateway, &["--since", "2100-01-01T00:00:00Z"])["envelopes"], 0);
        let wrong = format!("{number}:{}", "0".repeat(64));
        assert_eq!(findings(&gateway, &["--checkpoint", &wrong]), ["chain: its root was another"]);
        let cut = format!("{}:{root}", number + 1);
        assert_eq!(
            findings(&gateway, &["--checkpoint", &cut]),
            ["chain: it was made, and is not there: the chain was cut"]
        );
    });
}

#[test]
fn the_newest_root_is_a_metric_and_stands_in_the_log() {
    let gateway = Gateway::start_with(&[OFTEN]);
    let pump = gateway.add_device("pump");
    send(&gateway, &pump, 3);
    let (number, root) = eventually("what was stored is signed", || {
        let waiting = gateway.sql("SELECT count(*) AS n FROM uncovered")[0]["n"].as_i64().unwrap();
        let scrape = gateway.metrics();
        let figure = |name: &str| scrape.value(&format!("sealgate_proof_checkpoint_{name}"), &[]);
        (waiting == 0 && figure("number") > 0.0).then(|| (figure("number") as i64, figure("root") as i64))
    });
    let kept = format!("{number}:{root:012x}");
    fits(&gateway, &["--checkpoint", &kept]);
    assert!(gateway.log().contains(&format!("{root:012x}")), "{}", gateway.log());
}

#[test]
fn what_is_changed_beside_the_gateway_is_found() {
    over_both(|mut gateway| {
        let devices = filled(&mut gateway, &["pump", "fan"], 12);
        let row = |device: &Device| {
            gateway.sql(&format!("SELECT id FROM device_name WHERE name = '{}'", device.id))[0]["id"].clone()
        };
        let (pump, fan) = (row(&devices[0]), row(&devices[1]));
        let of = |counter: i64| format!("device = {pump} AND counter = {counter}");
        let id_of = |counter: i64| {
            gateway.sql(&format!("SELECT envelope FROM seen WHERE {}", of(counter)))[0]["envelope"].clone()
        };
        let [one, two, three, four] = [1, 2, 3, 4].map(id_of);
        let later = if gateway.is_on_postgres() { "+ interval '1 ms'" } else { "+ 1" };
        let changes = [
            format!("DELETE FROM envelope WHERE {}", of(5)),
            format!("DELETE FROM seen WHERE {}", of(6)),
            format!("DELETE FROM envelope WHERE {}", of(6)),
            format!("UPDATE envelope SET received_at = received_at {later} WHERE {}", of(7)),
            format!("UPDATE envelope SET bytes = (SELECT bytes FROM envelope WHERE {}) WHERE {}", of(8), of(9)),
            format!(
                "UPDATE envelope SET bytes = (SELECT bytes FROM envelope WHERE device = {fan} AND counter = 1) WHERE {}",
                of(10)
            ),
            format!("UPDATE envelope SET content_format = 42 WHERE {}", of(11)),
            format!("UPDATE reading SET value = value + 1 WHERE envelope = {one}"),
            format!("DELETE FROM reading WHERE envelope = {two}"),
            format!("UPDATE reading SET name = unit, unit = name WHERE envelope = {three} AND unit IS NOT NULL"),
            copy_of_readings(&four, "envelope", "place + 1"),
            copy_of_readings(&four, "-7", "place"),
        ];
        changes.iter().for_each(|change| gateway.change_by_hand(change));
        let found = findings(&gateway, &[]);
        let expected = [
            "changed: it does not open: bad_seal",
            "changed: it is another envelope than the one that was stored",
            "changed: it is another's",
            "changed: its content_format is another",
            "changed: its received_at is not the one that it was stored with",
            "missing: it was stored, and is not there",
            "missing: it was stored, and is not there",
        ];
        for finding in expected {
            assert!(found.iter().any(|found| found == finding), "{finding} is not in {found:#?}");
        }
        let of_readings: Vec<&String> = found.iter().filter(|finding| finding.starts_with("readings: ")).collect();
        for detail in
            ["its readings were changed", "readings of it are missing", "did not come with", "has no envelope"]
        {
            assert!(of_readings.iter().any(|finding| finding.contains(detail)), "{detail} is not in {found:#?}");
        }
        assert_eq!(found.iter().filter(|finding| finding.starts_with("missing")).count(), 2);
        fits(&gateway, &["--device", "fan"]);
    });
}

/// Readings of an envelope once more, under another number or in another place.
fn copy_of_readings(of: &Value, envelope: &str, place: &str) -> String {
    let others = "device, time, name, unit, value, text, sum";
    format!(
        "INSERT INTO reading ({others}, envelope, place) SELECT {others}, {envelope}, {place} FROM reading WHERE envelope = {of}"
    )
}

#[test]
fn a_chain_that_was_tampered_with_is_found() {
    over_both(|mut gateway| {
        filled(&mut gateway, &["pump"], 10);
        for _ in 0..2 {
            gateway.restart();
            send(&gateway, &gateway.add_device(&format!("d{}", fastrand::u64(..))), 10);
            gateway.terminate();
        }
        let last = fits(&gateway, &[])["checkpoints"].as_i64().unwrap();
        assert!(last >= 3);
        let nothing = if gateway.is_on_postgres() { "'\\x80'" } else { "x'80'" };
        gateway.change_by_hand(&format!("UPDATE checkpoint SET leaves = {nothing} WHERE number = {last}"));
        let found = findings(&gateway, &[]);
        assert!(found.contains(&"chain: its leaves are not those that were signed".to_owned()), "{found:?}");
        assert!(found.contains(&"added: no checkpoint speaks of it".to_owned()), "{found:?}");
        gateway.change_by_hand(&format!("UPDATE checkpoint SET leaves = NULL WHERE number = {last}"));
        assert!(findings(&gateway, &[]).contains(&"chain: its leaves are not there".to_owned()));
        gateway.change_by_hand("DELETE FROM checkpoint WHERE number = 2");
        let found = findings(&gateway, &[]);
        assert!(found.contains(&"chain: it is not there".to_owned()), "{found:?}");
        assert!(found.contains(&"chain: it does not follow the one before".to_owned()), "{found:?}");
        gateway.change_by_hand("UPDATE checkpoint SET statement = replace(statement, '.', 'A.') WHERE number = 1");
        let found = findings(&gateway, &[]);
        assert!(
            found.contains(&"chain: it was not signed with this master key, or was changed".to_owned()),
            "{found:?}"
        );
    });
}

#[test]
fn everything_fits_beside_a_gateway_that_works_and_after_one_that_was_killed() {
    over_both(|mut gateway| {
        gateway.restart();
        let devices: Vec<Arc<Device>> =
            (0..4).map(|number| Arc::new(gateway.add_device(&format!("pump-{number}")))).collect();
        let load = Load::start(&gateway, &devices, 16);
        for round in 1..=5 {
            eventually("the load goes on", || (load.acknowledged() >= round * 200).then_some(()));
            fits(&gateway, &["--parallel", "2"]);
        }
        gateway.kill9();
        let summary = fits(&gateway, &[]);
        assert!(summary["envelopes"].as_u64().unwrap() >= 1_000, "{summary}");
        gateway.restart();
        gateway.terminate();
        assert_eq!(fits(&gateway, &[])["uncovered"], 0);
        drop(load);
    });
}
