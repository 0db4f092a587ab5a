//! The commands: what they print, with what they end, and what they leave untouched.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::{Device, Gateway, Scratch};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const UNUSABLE: i32 = 2;
const REFUSED: i32 = 3;

/// Runs the program in a directory where only `file` says anything.
fn run(scratch: &Scratch, file: &str, arguments: &[&str]) -> Output {
    fs::write(scratch.join("s.toml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.current_dir(scratch.join("")).args(["--config", "s.toml", "--data", "data"]).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

/// With what it ended, and what it wrote to standard error.
fn ending(output: &Output) -> (i32, String) {
    (output.status.code().expect("no signal ended it"), String::from_utf8(output.stderr.clone()).unwrap())
}

/// Failed, with one line.
fn assert_failed(output: &Output, said: &str) {
    let (code, line) = ending(output);
    assert_eq!((code, line.lines().count()), (FAILED, 1), "{line}");
    assert!(line.starts_with("sealgate: ") && line.contains(said), "{line}");
}

#[test]
fn a_wrong_configuration_is_told_whole_and_nothing_starts() {
    let scratch = Scratch::new("cli");
    let file = "[edge]\nlisen = 1\nlisten = \"0.0.0.0:0\"\n\n[auth]\nidentifier = \"http://a/?b\"\n[colour]\nred = 1\n";
    for command in ["check-config", "serve"] {
        let (code, told) = ending(&run(&scratch, file, &["--set", "log.level=loud", command]));
        assert_eq!(code, UNUSABLE);
        let starts =
            ["s.toml:2: edge.lisen: ", "s.toml:3: edge.listen: ", "s.toml:6: auth.identifier: ", "s.toml:7: colour: "];
        for (line, start) in told.lines().zip(starts.iter().chain(&["--set log.level: log.level: "])) {
            assert!(line.starts_with(&format!("sealgate: {start}")), "{line}");
        }
        assert_eq!(told.lines().count(), 5, "{told}");
    }
    assert!(!scratch.join("data").exists());
}

#[test]
fn a_right_configuration_is_told_so() {
    let output = run(&Scratch::new("cli"), "[edge]\nlisten = \"127.0.0.1:0\"\n", &["check-config"]);
    assert_eq!(ending(&output), (DONE, String::new()));
}

#[test]
fn a_port_in_use_fails_with_its_key_and_makes_nothing() {
    let scratch = Scratch::new("cli");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for area in ["edge", "public", "admin"] {
        let mut listens = ["edge", "public", "admin"].map(|area| (area, "127.0.0.1:0".to_owned()));
        listens.iter_mut().filter(|(other, _)| *other == area).for_each(|(_, address)| {
            *address = taken.local_addr().unwrap().to_string();
        });
        let file = listens.map(|(area, address)| format!("[{area}]\nlisten = \"{address}\"\n")).concat();
        assert_failed(&run(&scratch, &file, &["serve"]), &format!("{area}.listen"));
    }
    assert!(!scratch.join("data").exists());
}

#[test]
fn a_data_directory_that_cannot_be_used_is_left_as_it_is() {
    let scratch = Scratch::new("cli");
    fs::write(scratch.join("data"), "a file").unwrap();
    assert_failed(&run(&scratch, "", &["device", "add", "d"]), "data");
    assert_eq!(fs::read_to_string(scratch.join("data")).unwrap(), "a file");
}

#[test]
fn a_database_of_a_newer_version_is_left_as_it_is() {
    let scratch = Scratch::new("cli");
    run(&scratch, "", &["device", "add", "d"]);
    let database = scratch.join("data").join("sealgate.db");
    sqlite(&database, "PRAGMA user_version = 1000");
    let before = fs::read(&database).unwrap();
    for command in [&["serve"][..], &["device", "add", "e"], &["device", "list"]] {
        let arguments = [
            &["--set", "edge.listen=127.0.0.1:0", "--set", "public.listen=127.0.0.1:0"][..],
            &["--set", "admin.listen=127.0.0.1:0"],
            command,
        ]
        .concat();
        assert_failed(&run(&scratch, "", &arguments), "newer");
    }
    assert!(fs::read(&database).unwrap() == before, "the database has changed");
}

#[test]
fn first_starts_at_once_make_one_house() {
    const AT_ONCE: usize = 6;
    for _ in 0..3 {
        let gateway = Gateway::prepare(&[]);
        let ids: Vec<String> = (0..AT_ONCE).map(|number| format!("d{number}")).collect();
        let outputs: Vec<Output> = thread::scope(|scope| {
            let gateway = &gateway;
            let add = |id: &str| gateway.run(&["device", "add", id, "--format", "json"]);
            let running: Vec<_> = ids.iter().map(|id| scope.spawn(move || add(id))).collect();
            running.into_iter().map(|run| run.join().unwrap()).collect()
        });
        for output in &outputs {
            assert_eq!(ending(output), (DONE, String::new()));
        }
        let listed = String::from_utf8(gateway.run(&["device", "list"]).stdout).unwrap();
        assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
        // A key is derived from the master key, so whoever was sealed by another one is a stranger to this.
        for (id, output) in ids.iter().zip(&outputs) {
            let device = Device::from_json(&serde_json::from_slice(&output.stdout).unwrap());
            let sealed = hex::encode(device.seal(1.0));
            assert_eq!(ending(&gateway.run(&["inspect", "--hex", &sealed, "--device", id])), (DONE, String::new()));
        }
        let left = fs::read_dir(gateway.data_dir()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<BTreeSet<_>>(), ["master.keys", "sealgate.db"].map(Into::into).into());
    }
}

/// SQLite refuses the switch of a new file to the write-ahead log at once while another writes to it, whatever the busy timeout.
#[test]
fn a_first_start_waits_for_whoever_holds_the_new_file() {
    let scratch = Scratch::new("cli");
    let data = scratch.join("data");
    fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
    let mut shell = Command::new("sqlite3");
    let mut shell = shell.arg(data.join("sealgate.db")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut hold = shell.stdin.take().unwrap();
    hold.write_all(b"BEGIN IMMEDIATE;\n.print held\n").unwrap();
    shell.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();

    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| ended.send(run(&scratch, "", &["device", "add", "d"])).unwrap());
        assert!(end.recv_timeout(Duration::from_millis(500)).is_err(), "it did not wait");
        drop(hold);
        assert_eq!(ending(&end.recv().unwrap()), (DONE, String::new()));
    });
    shell.wait().unwrap();
}

#[test]
fn a_name_that_is_taken_or_unknown_fails() {
    let scratch = Scratch::new("cli");
    assert_failed(&run(&scratch, "", &["device", "list"]), "there is no data directory data");
    assert!(!scratch.join("data").exists());
    for (add, taken) in [
        (&["device", "add", "d"][..], "there is a device d already"),
        (&["client", "add", "c", "--scope", "sub:a"], "there is a service c already"),
    ] {
        assert_eq!(ending(&run(&scratch, "", add)), (DONE, String::new()));
        assert_failed(&run(&scratch, "", add), taken);
    }
    assert_failed(&run(&scratch, "", &["device", "disable", "x"]), "there is no device x");
    assert_failed(&run(&scratch, "", &["client", "disable", "x"]), "there is no service x");
}

#[test]
fn what_is_no_name_and_no_scope_is_a_wrong_command_line() {
    let scratch = Scratch::new("cli");
    for wrong in [
        &["device", "add", "a b"][..],
        &["device", "add", ".."],
        &["device", "add", ""],
        &["client", "add", "c"],
        &["client", "add", "c", "--scope", "readings/#"],
        &["client", "add", "c", "--scope", "sub:a/#/b"],
        &["--set", "edge", "check-config"],
        &["unknown"],
        &[],
    ] {
        assert_eq!(ending(&run(&scratch, "", wrong)).0, UNUSABLE, "{wrong:?}");
    }
    assert!(!scratch.join("data").exists());
}

#[test]
fn lists_show_states_and_no_secret() {
    let scratch = Scratch::new("cli");
    let added = run(&scratch, "", &["device", "add", "d", "--format", "json"]);
    let added: serde_json::Value = serde_json::from_slice(&added.stdout).unwrap();
    run(&scratch, "", &["client", "add", "c", "--scope", "sub:a", "--scope", "pub:b/#"]);
    run(&scratch, "", &["device", "disable", "d"]);
    for (what, format, shown) in [
        ("device", "text", "disabled"),
        ("device", "json", "\"state\":\"disabled\""),
        ("client", "text", "sub:a pub:b/#"),
        ("client", "json", "\"scopes\":[\"sub:a\",\"pub:b/#\"]"),
    ] {
        let list = String::from_utf8(run(&scratch, "", &[what, "list", "--format", format]).stdout).unwrap();
        assert!(list.contains(shown), "{list}");
        for secret in ["client_secret", "seal_key"] {
            assert!(!list.contains(secret) && !list.contains(added[secret].as_str().unwrap()), "{list}");
        }
    }
    run(&scratch, "", &["device", "enable", "d"]);
    assert!(String::from_utf8(run(&scratch, "", &["device", "list"]).stdout).unwrap().contains("enabled"));
}

#[test]
fn files_are_for_their_owner_alone() {
    let scratch = Scratch::new("cli");
    run(&scratch, "", &["device", "add", "d"]);
    let data = scratch.join("data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn an_envelope_is_inspected_with_the_key_of_its_device() {
    let gateway = Gateway::start();
    let device = gateway.add_device("d");
    gateway.add_device("e");
    let (sealed, unknown) = (device.seal(20.5), crate::harness::Draft { key_version: 9, ..device.draft(1.0) }.seal());
    let mut broken = sealed.clone();
    broken[40] ^= 1;
    for (bytes, device, code, said) in [
        (&sealed, None, DONE, "It is whole. Who sealed it was not checked"),
        (&sealed, Some("d"), DONE, "It is whole and genuine."),
        (&sealed, Some("e"), REFUSED, "Refused as bad_seal"),
        (&unknown, Some("d"), REFUSED, "Refused as unknown_key: d has no key of version 9."),
        (&broken, Some("d"), REFUSED, "Refused as corrupt"),
    ] {
        let digits = hex::encode(bytes);
        let mut arguments = vec!["inspect", "--hex", &digits];
        device.iter().for_each(|device| arguments.extend(["--device", *device]));
        let output = gateway.run(&arguments);
        let printed = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(ending(&output), (code, String::new()), "{printed}");
        assert!(printed.contains(said), "{printed}");
    }
    assert_eq!(ending(&gateway.run(&["inspect", "--hex", "zz"])).0, UNUSABLE);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let scratch = Scratch::new("cli");
    run(&scratch, "", &["device", "add", "d"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("--data").arg(scratch.join("data")).args(["device", "list"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*told), (Some(DONE), ""));
}

#[test]
fn a_listener_without_tls_that_others_can_hear_is_told_at_each_start() {
    let settings = ["edge", "public", "admin"].map(|area| (format!("{area}.listen"), format!("{area}.plaintext")));
    let settings = settings.iter().flat_map(|(listen, plaintext)| [(&**listen, "0.0.0.0:0"), (plaintext, "i-accept")]);
    let gateway = Gateway::start_with(&settings.collect::<Vec<_>>());
    for (area, door) in [("edge", "MQTT"), ("public", "public HTTP"), ("admin", "admin HTTP")] {
        assert_eq!(gateway.metrics().value(&format!("sealgate_{area}_plaintext"), &[]), 1.0);
        assert!(gateway.log().contains(&format!("The {door} listener has no TLS")), "{}", gateway.log());
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&Scratch::new("cli"), "", &["completions", shell]);
        assert_eq!(ending(&output).0, DONE);
        assert!(String::from_utf8(output.stdout).unwrap().contains("check-config"));
    }
}

fn sqlite(database: &Path, statement: &str) {
    let done = Command::new("sqlite3").arg(database).arg(statement).status().unwrap();
    assert!(done.success());
}

#[test]
fn devices_are_put_into_groups_all_or_none() {
    let scratch = Scratch::new("cli");
    assert_eq!(ending(&run(&scratch, "", &["device", "add", "a", "b", "--group", "vans"])).0, DONE);
    let groups = || {
        let listed = run(&scratch, "", &["device", "list", "--format", "json"]).stdout;
        let lines = String::from_utf8(listed).unwrap();
        let device = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        lines.lines().map(|line| device(line)["group"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(groups(), ["vans", "vans"]);
    assert_failed(&run(&scratch, "", &["device", "set", "a", "nobody", "--group", "pumps"]), "nobody");
    for wrong in [&["a"][..], &["a", "--group", "v ans"], &["a", "--group", "x", "--no-group"], &["--no-group"]] {
        assert_eq!(ending(&run(&scratch, "", &[&["device", "set"], wrong].concat())).0, UNUSABLE, "{wrong:?}");
    }
    assert_eq!(groups(), ["vans", "vans"], "nothing is changed");
    let set = run(&scratch, "", &["device", "set", "b", "--no-group"]);
    assert_eq!(String::from_utf8(set.stdout).unwrap(), "device b is in no group\n");
    assert_eq!(groups(), [serde_json::json!("vans"), serde_json::Value::Null]);
    let listed = String::from_utf8(run(&scratch, "", &["device", "list"]).stdout).unwrap();
    let lasts: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(lasts, ["GROUP", "vans", "-"]);
}
