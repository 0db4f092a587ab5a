//! The broker rumqttd in the gateway's own process.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use firmware_sim::host::{Account, Fault, FaultRates, KeepUntil, Ledger, MqttVersions, PubAck, Settings};

use super::trial::RECEIPT_TIMEOUT;
use crate::harness::{Gateway, Rows, RunningFleet, Scratch, eventually, get};

const DEVICES: usize = 4;
const MESSAGES: u64 = 150;

fn house() -> Gateway {
    let mut gateway = Gateway::prepare_on_postgres(&[("ingest.source", "rumqttd")]);
    gateway.keep_its_doors();
    gateway.restart();
    gateway
}

fn settings(mqtt: MqttVersions, faults: FaultRates) -> Settings {
    Settings {
        mqtt,
        rate: 40.0,
        messages_max: Some(MESSAGES),
        keep_until: KeepUntil::Receipt,
        puback: PubAck::Received,
        receipt_timeout: RECEIPT_TIMEOUT,
        faults,
        // It refuses the keep-alive that says never, and no other.
        ..Settings::default()
    }
}

/// Its acknowledgement says *received*, and its log is gone with its process: a device keeps a message until its receipt has come. Then
/// each is a row, once, whatever was killed.
#[test]
fn with_receipts_every_message_is_a_row_once_whatever_is_killed() {
    let mut gateway = house();
    let scratch = Scratch::new("rumqttd");
    let (credentials, keys) = gateway.add_fleet(DEVICES);
    let faults = [Fault::BadToken, Fault::WrongTopic]
        .into_iter()
        .fold(FaultRates::all(0.02), |rates, fault| rates.with(fault, 0.0));
    let ledger = scratch.join("ledger");
    let way = gateway.mqtt();
    let fleet = RunningFleet::start_by_way_of(
        way,
        &gateway,
        settings(MqttVersions::V311, faults),
        &credentials,
        Some(Ledger::create(&ledger).unwrap()),
    );
    let settled = |part: u64| {
        eventually("a part of the messages has its receipts", || {
            (fleet.tally().counts().settled() >= MESSAGES * DEVICES as u64 * part / 4).then_some(())
        });
    };
    settled(1);
    gateway.kill9();
    gateway.restart();
    settled(2);
    assert!(gateway.terminate().success());
    gateway.restart();
    let summary = fleet.sent();
    assert_eq!((summary.left_over, summary.surprises), (0, 0), "{summary:?}");
    assert!(summary.receipts.refused.len() >= 4, "the fleet had faults: {summary:?}");
    Rows::verified(&gateway, &keys).assert_hold(&ledger);
    eventually("nothing is in flight", || (gateway.metrics().sum("sealgate_ingest_in_flight") == 0.0).then_some(()));
    assert!(gateway.law_holds());
}

/// Its login callback is our own check of a token.
#[test]
fn nobody_comes_in_without_a_token_that_says_so() {
    let gateway = house();
    let (credentials, _) = gateway.add_fleet(2);
    let bad = FaultRates::default().with(Fault::BadToken, 1.0);
    let settings = Settings { messages_max: Some(5), ..settings(MqttVersions::V311, bad) };
    let by_token = RunningFleet::start_by_way_of(gateway.mqtt(), &gateway, settings.clone(), &credentials[..1], None);
    let summary = by_token.sent();
    assert_eq!(
        (summary.messages, summary.surprises),
        (5, 0),
        "a tampered token was refused, the true one let in: {summary:?}"
    );
    let stranger = Account { user: credentials[1].device_id.to_string(), password: "secret".to_owned() };
    let settings = Settings { account: Some(stranger), faults: FaultRates::default(), ..settings };
    let by_password = RunningFleet::start_by_way_of(gateway.mqtt(), &gateway, settings, &credentials[1..], None);
    eventually("the login is refused", || {
        (gateway.metrics().value("sealgate_auth_logins_total", &[("result", "malformed")]) >= 1.0).then_some(())
    });
    assert_eq!(by_password.tally().counts().settled(), 0);
}

/// In this broker a client id belongs to whoever comes under it last: a device's must be its own, and no client's may be a link of the
/// gateway's.
#[test]
fn nobody_takes_the_client_id_of_another_or_of_the_gateway() {
    let gateway = house();
    let (credentials, keys) = gateway.add_fleet(1);
    let service = gateway.add_service("console", &["sub:readings/#"]);
    let token = gateway.token(&service.client_id, &service.client_secret);
    let port = gateway.mqtt().port().to_string();
    for client_id in ["sim-1", "@sealgate", "@sealgate-publisher", "@sealgate-probe", ""] {
        let arguments =
            ["-p", &port, "-V", "311", "-i", client_id, "-u", "console", "-P", &token, "-t", "x", "-W", "1"];
        let output = Command::new("mosquitto_sub").args(arguments).output().unwrap();
        // 27: the time that -W gives is over, which means that it was let in.
        assert!(!output.status.success() && output.status.code() != Some(27), "{client_id}: {output:?}");
    }
    let settings = Settings { messages_max: Some(20), ..settings(MqttVersions::V311, FaultRates::default()) };
    let summary = RunningFleet::start_by_way_of(gateway.mqtt(), &gateway, settings, &credentials, None).sent();
    assert_eq!((summary.left_over, summary.surprises), (0, 0), "{summary:?}");
    assert_eq!(Rows::verified(&gateway, &keys).len(), 20);
}

/// Devices of MQTT 5 have a listener of their own, where it is set.
#[test]
fn mqtt_5_has_a_listener_of_its_own() {
    let gateway = Gateway::start_with(&[("ingest.source", "rumqttd"), ("rumqttd.listen_v5", "127.0.0.1:0")]);
    let (credentials, keys) = gateway.add_fleet(2);
    let settings = Settings { messages_max: Some(20), ..settings(MqttVersions::V5, FaultRates::default()) };
    let summary = RunningFleet::start_by_way_of(gateway.mqtt_v5(), &gateway, settings, &credentials, None).sent();
    assert_eq!((summary.messages, summary.left_over, summary.surprises), (40, 0, 0), "{summary:?}");
    assert_eq!(Rows::verified(&gateway, &keys).len(), 40);
}

#[test]
fn serve_says_at_its_start_what_it_cannot_promise() {
    let gateway = Gateway::prepare(&[("ingest.source", "rumqttd")]);
    let mut child = gateway.spawn(&["serve"]);
    let notes: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .take_while(|line| line != "ready")
        .filter_map(|line| line.strip_prefix("note: ").map(str::to_owned))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for (what, words) in [
        ("its acknowledgement", "received"),
        ("topics", "authorises no topics"),
        ("a token's end", "ends no connection"),
        ("what is not read", "overwrites"),
        ("TLS", "without TLS"),
    ] {
        assert!(notes.iter().any(|note| note.contains(words)), "{what}: {notes:#?}");
    }
}

/// A router that stands still is noticed, whatever made it: here a debugger holds its thread.
#[test]
fn a_router_that_no_longer_answers_ends_the_gateway() {
    let mut gateway = house();
    eventually("it is ready", || (get(gateway.admin(), "/ready").status == 200).then_some(()));
    let Some(held) = Held::thread(gateway.pid(), "router-0") else {
        let _ = writeln!(
            std::io::stderr(),
            "this system lets nobody trace a process; whether a router that stands still is noticed was not seen"
        );
        return;
    };
    eventually("it says that it is not ready", || (get(gateway.admin(), "/ready").status == 503).then_some(()));
    eventually("it ends", || gateway.log().contains("the router does not answer").then_some(()));
    // A process does not end before all its threads do.
    drop(held);
    assert_eq!(gateway.ended().code(), Some(1));
}

/// A thread of another process that stands still, until this is dropped.
struct Held(Child);

impl Held {
    /// None where tracing is forbidden, as in some containers.
    fn thread(pid: u32, name: &str) -> Option<Held> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map_while(Result::ok);
        let mut named =
            tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
        let task = named.next().expect("there is such a thread");
        let id = task.file_name().into_string().unwrap();
        let hold = ["-e", "trace=futex", "-e", "inject=futex:delay_enter=120000000", "-o", "/dev/null", "-p", &id];
        let strace = Command::new("strace").args(hold).stderr(Stdio::null()).spawn();
        let mut held = Held(strace.expect("Debian's package strace is installed"));
        eventually("the thread is held, or nobody may", || {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let is_traced = status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
            let has_ended = held.0.try_wait().unwrap().is_some();
            (is_traced || has_ended).then_some(is_traced)
        })
        .then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
