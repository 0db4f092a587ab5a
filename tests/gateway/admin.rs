//! What an operator asks the gateway itself: whether it can do its work, and what it logs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use sealgate::mqtt::{QoS, Version};

use crate::harness::{Client, Cutter, Gateway, Postgres, eventually, get, put};

#[test]
fn ready_says_which_part_is_not() {
    let (cutter, url) = Cutter::before(&Postgres::shared().schema());
    let mut gateway = Gateway::prepare_on(url, &[("ingest.retry_delay_max", "100ms")]);
    let pump = gateway.add_device("pump");
    gateway.restart();
    let ready = || get(gateway.admin(), "/ready");
    assert_eq!((ready().status, ready().body.as_str()), (200, "ready\n"));
    assert_eq!(gateway.metrics().sum("sealgate_ready"), 5.0);
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(1.0));
    cutter.part();
    client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(2.0));
    eventually("both parts that need the database are missing", || {
        let answer = ready();
        (answer.status == 503 && answer.body == "not ready: store, writer\n").then_some(())
    });
    let scrape = gateway.metrics();
    for (part, is_ready) in [("store", 0.0), ("writer", 0.0), ("issuer", 1.0), ("doors", 1.0)] {
        assert_eq!(scrape.value("sealgate_ready", &[("part", part)]), is_ready, "{part}");
    }
    assert_eq!(get(gateway.admin(), "/live").status, 200, "it lives all the same");
    cutter.join_again();
    eventually("all is well again", || (ready().status == 200).then_some(()));
}

#[test]
fn the_level_of_the_log_changes_while_it_runs() {
    let gateway = Gateway::start_with(&[("log.level", "warn")]);
    let pump = gateway.add_device("pump");
    let level = || get(gateway.admin(), "/log/level").body;
    assert_eq!(level(), "warn\n");
    drop(Client::of_device(&gateway, Version::V5, &pump));
    let wrong = put(gateway.admin(), "/log/level", "loud");
    assert_eq!((wrong.status, level().as_str()), (400, "warn\n"), "{wrong:?}");
    assert_eq!(put(gateway.admin(), "/log/level", &"x".repeat(100)).status, 413);
    assert!(!gateway.log().contains("A client has come in."));
    assert_eq!(put(gateway.admin(), "/log/level", "info\n").status, 200);
    assert_eq!(level(), "info\n");
    assert!(
        gateway.log().contains("The level of the log was changed. before=\"warn\" now=\"info\""),
        "{}",
        gateway.log()
    );
    drop(Client::of_device(&gateway, Version::V5, &pump));
    eventually("a client is in the log", || gateway.log().contains("A client has come in.").then_some(()));
}

#[test]
fn where_others_may_come_nothing_can_be_changed() {
    let gateway = Gateway::start_with(&[("admin.listen", "0.0.0.0:0"), ("admin.plaintext", "i-accept")]);
    let admin = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.admin().port()));
    assert_eq!(put(admin, "/log/level", "debug").status, 403);
    assert_eq!(get(admin, "/log/level").body, "info\n");
}

#[test]
fn what_a_connection_logs_says_whose_it_is() {
    for (format, whose) in [("text", "client=device pump}"), ("json", r#""client":"device pump""#)] {
        let gateway = Gateway::start_with(&[("log.format", format), ("log.level", "debug")]);
        let pump = gateway.add_device("pump");
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        // A packet that is none.
        client.send_bytes(&[0xF0, 0]);
        drop(client);
        for event in ["The client broke the protocol.", "A connection has ended."] {
            let line = eventually(event, || gateway.log().lines().find(|line| line.contains(event)).map(str::to_owned));
            assert!(line.contains(whose), "{line}");
        }
    }
}

#[test]
fn a_commit_that_takes_long_is_not_ready() {
    let mut gateway = Gateway::prepare_on_postgres(&[]);
    let pump = gateway.add_device("pump");
    gateway.restart();
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(1.0));
    let mut other =
        Command::new("psql").arg(gateway.url()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut statements = other.stdin.take().unwrap();
    let mut said = BufReader::new(other.stdout.take().unwrap()).lines();
    writeln!(statements, "BEGIN; LOCK TABLE envelope IN SHARE MODE; \\echo locked").unwrap();
    assert!(said.any(|line| line.unwrap() == "locked"));
    client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(2.0));
    eventually("it says so before the statement's time is up", || {
        (get(gateway.admin(), "/ready").body == "not ready: writer\n").then_some(())
    });
    assert_eq!(gateway.metrics().sum("sealgate_ingest_commit_failures_total"), 0.0);
    drop(statements);
    other.wait().unwrap();
    eventually("all is well again", || (get(gateway.admin(), "/ready").status == 200).then_some(()));
    assert!(gateway.law_holds());
}
