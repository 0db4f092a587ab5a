//! `sealgate demo`, run as a new user would: it balances, whatever the fleet speaks, and it says so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::harness::Scratch;

/// The command.
fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn verdicts(table: &str) -> Vec<&str> {
    let rows = table.lines().skip_while(|line| !line.starts_with("verdict")).skip(1);
    rows.take_while(|line| !line.is_empty()).filter_map(|line| line.split("  ").next()).collect()
}

const EVERY_VERDICT: [&str; 11] = [
    "stored",
    "duplicate",
    "malformed",
    "corrupt",
    "bad_seal",
    "stale",
    "future",
    "replayed",
    "not_authorized",
    "wrong_signature",
    "sent again",
];

fn assert_balances(encoding: &str, mqtt: &str) {
    let arguments = ["--for", "3s", "--faults", "0.04", "--encoding", encoding, "--mqtt", mqtt];
    let output = demo(&arguments).output().unwrap();
    let (printed, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}\n{log}");
    assert!(printed.ends_with("Everything balances.\n"), "{printed}");
    assert_eq!(log, "");
    // The CRC is the frame's alone.
    let has_crc = encoding == "frame" || encoding == "mixed";
    let expected: Vec<&str> = EVERY_VERDICT.into_iter().filter(|verdict| has_crc || *verdict != "corrupt").collect();
    assert_eq!(verdicts(&printed), expected, "{printed}");
    let again = printed.lines().find(|line| line.starts_with("sent again")).unwrap();
    let numbers: Vec<u32> = again.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] > 0 && numbers[1] > 0, "what was sent again had arrived before, some of it: {again}");
}

#[test]
fn it_balances_with_frames() {
    assert_balances("frame", "3.1.1");
    assert_balances("frame", "5");
}

#[test]
fn it_balances_with_cose() {
    assert_balances("cose", "3.1.1");
    assert_balances("cose", "5");
}

#[test]
fn it_balances_with_jws() {
    assert_balances("jws", "3.1.1");
    assert_balances("jws", "5");
}

#[test]
fn it_balances_with_everything_mixed() {
    assert_balances("mixed", "mixed");
}

/// Waits for a line that begins like this, and gives back where the rest can be read.
fn read_until(child: &mut Child, beginning: &str) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.trim_start().starts_with(beginning) {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended before a line of {beginning}");
    }
    lines
}

#[test]
fn ctrl_c_ends_it_with_the_table_and_leaves_no_database_behind() {
    let scratch = Scratch::new("demo");
    let mut child = demo(&[]).env("TMPDIR", scratch.join("")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = read_until(&mut child, "2 s  received");
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.ends_with("Everything balances.\n"), "{rest}");
    assert_eq!(std::fs::read_dir(scratch.join("")).unwrap().count(), 0, "the database is gone");
}

#[test]
fn a_directory_that_was_named_is_kept_and_not_used_twice() {
    let scratch = Scratch::new("demo");
    let run = || demo(&["--for", "1s", "--devices", "2"]).arg("--data").arg(scratch.join("data")).output().unwrap();
    assert_eq!(run().status.code(), Some(0));
    assert!(scratch.join("data").join("sealgate.db").exists());
    let again = run();
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("and the demo wants one of its own"), "{said}");
}

#[test]
fn a_real_gateways_settings_are_not_the_demos() {
    let scratch = Scratch::new("demo");
    let real = scratch.join("real");
    let file = scratch.join("sealgate.toml");
    std::fs::write(&file, format!("[store]\ndata_dir = {real:?}\n[edge]\nlisten = \"127.0.0.1:1\"\n")).unwrap();
    let output = demo(&["--for", "1s", "--devices", "2"])
        .env("SEALGATE_CONFIG", &file)
        .env("SEALGATE__STORE__DATA_DIR", &real)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!real.exists());
}

#[test]
fn what_is_left_over_is_told_and_fails() {
    // This gateway refuses what the fleet, which knows the default alone, takes for good.
    let output = demo(&["--for", "1s", "--set", "seal.envelope_bytes_max=100", "--mqtt", "5"]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("Left over:\n  stored: "), "{printed}");
    assert!(printed.contains("too_large"), "{printed}");
}

#[test]
fn a_mistake_is_told_before_anything_starts() {
    for arguments in [["--faults", "2"], ["--rate", "0"], ["--rate", "1e10"], ["--devices", "0"]] {
        let output = demo(&["--for", "1s"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    }
}

/// Two programs in one workspace need a word on which of them `cargo run` runs; the README's command has none.
#[test]
fn cargo_run_runs_the_gateway() {
    let default_run = |manifest: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
        let manifest: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        manifest["package"].get("default-run").and_then(|name| name.as_str()).map(str::to_owned)
    };
    assert_eq!(default_run("Cargo.toml").as_deref(), Some("sealgate"));
    assert_eq!(default_run("firmware-sim/Cargo.toml"), None, "two are none");
}
