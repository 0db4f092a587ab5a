//! The program `firmware-sim`, run as a user would: what it prints, where, and with what it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::harness::{Gateway, Scratch};

/// The program, which is another package's and so built here, as far as it is not.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // As the tests themselves are built, so that nothing below is built anew.
        let build = ["build", "--workspace", "--bin", "firmware-sim", "--offline"];
        let output = Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Path::new(env!("CARGO_BIN_EXE_sealgate")).with_file_name("firmware-sim")
    })
}

/// A gateway, and the credentials of some devices in a file.
struct World {
    gateway: Gateway,
    scratch: Scratch,
}

impl World {
    fn new(devices: usize) -> Self {
        let (gateway, scratch) = (Gateway::start(), Scratch::new("simulator"));
        let ids: Vec<String> = (1..=devices).map(|number| format!("sim-{number}")).collect();
        let mut arguments = vec!["device", "add", "--format", "json"];
        arguments.extend(ids.iter().map(String::as_str));
        fs::write(scratch.join("fleet.jsonl"), gateway.run(&arguments).stdout).unwrap();
        World { gateway, scratch }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        let token_url = format!("http://{}/oauth/token", self.gateway.public());
        command.args(["--credentials", "fleet.jsonl", "--gateway", &self.gateway.mqtt().to_string()]);
        command
            .args(["--token-url", &token_url])
            .args(arguments)
            .current_dir(self.scratch.join(""))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn summary(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_ends_with_a_table_and_json_and_leaves_a_ledger() {
    let world = World::new(4);
    let output = world.run(&["--messages", "10", "--rate", "100", "--ledger", "ledger.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let summary = summary(&output);
    assert_eq!(
        (&summary["messages"], &summary["acknowledged"], &summary["left_over"]),
        (&40.into(), &40.into(), &0.into())
    );
    assert!(said(&output).contains("40 of 40 messages acknowledged"), "{}", said(&output));
    let ledger = fs::read_to_string(world.scratch.join("ledger.jsonl")).unwrap();
    assert_eq!(ledger.lines().count(), 40);

    let again = world.run(&["--messages", "1", "--ledger", "ledger.jsonl"]);
    assert_eq!(again.status.code(), Some(2), "a ledger is never written over");
    assert_eq!(fs::read_to_string(world.scratch.join("ledger.jsonl")).unwrap(), ledger);
}

#[test]
fn devices_that_wait_for_receipts_tell_of_them() {
    let world = World::new(2);
    let arguments = ["--messages", "10", "--rate", "100", "--keep-until", "receipt", "--fault", "wrong_key=0.5"];
    let output = world.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let receipts = &summary(&output)["receipts"];
    assert!(receipts["believed"].as_u64().unwrap() > 0, "{receipts}");
    let refused = receipts["refused"]["bad_seal"].as_u64().unwrap();
    assert!(refused > 0, "{receipts}");
    assert!(said(&output).contains(&format!("refused, as receipts said: bad_seal {refused}\n")), "{}", said(&output));
}

#[test]
fn a_second_boot_uses_no_counter_again() {
    let world = World::new(2);
    for boot in 1..=3 {
        let output = world.run(&["--messages", "3", "--rate", "100", "--mqtt", "5"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(fs::read_to_string(world.scratch.join("fleet.boots")).unwrap().trim(), boot.to_string());
    }
    assert_eq!(world.gateway.sql("SELECT count(*) AS n FROM envelopes")[0]["n"], 18);
}

#[test]
fn sigterm_ends_it_when_all_is_acknowledged() {
    let world = World::new(2);
    let mut child = world.command(&["--rate", "50"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    crate::harness::eventually("it sends", || {
        (world.gateway.metrics().value("sealgate_ingest_stored_total", &[]) > 10.0).then_some(())
    });
    let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let summary: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("once more ends it at once"), "{told}");
    assert_eq!(summary["left_over"], 0);
}

#[test]
fn who_never_came_in_is_told_and_fails() {
    let world = World::new(3);
    let nobody = ["--duration", "1s", "--token-url", "http://127.0.0.1:1/"];
    let output = world.run(&nobody);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(summary(&output)["never_connected"], 3);
    assert!(said(&output).contains("3 of 3 devices were never connected"), "{}", said(&output));
    assert!(said(&output).contains("Connection refused"), "{}", said(&output));
}

#[test]
fn mistakes_are_told_before_anything_is_sent_or_written() {
    let world = World::new(1);
    for (arguments, word) in [
        (&["--rate", "0"][..], "more than 0"),
        (&["--rate", "1e10"], "more than 0"),
        (&["--payload-bytes", "100000"], "48,000 bytes at most"),
        (&["--ramp", "100000000d"], "ten years"),
        (&["--receipt-timeout", "0s"], "more than 0"),
        (&["--faults", "0.2"], "probabilities"),
        (&["--devices", "2"], "there are credentials for 1"),
        (&["--fault", "rust=1"], "bit_flip"),
        (&["--credentials", "away.jsonl"], "away.jsonl: No such file"),
        (&["--credentials", "-"], "no credentials"),
        (&["--ledger", "away/ledger.jsonl"], "away/ledger.jsonl: No such file"),
        (&["--ledger", "fleet.jsonl"], "fleet.jsonl: File exists"),
        (&["--boot-count", "4000000"], "boot count"),
    ] {
        let output = world.run(&[arguments, &["--messages", "1"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(!world.scratch.join("fleet.boots").exists(), "no boot was used up");
    assert_eq!(world.gateway.metrics().value("sealgate_edge_accepted_total", &[]), 0.0);
}
