//! What else happens to a gateway and its database: shut down slowly, stopped for a while, messages that come twice and in any order,
//! clocks that jump. What is acknowledged is there, once. `tests/soak` runs the long form.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::postgres::{QUICK, assert_kept, devices, more, number, rounds};
use crate::harness::{Client, Device, Gateway, Load, Login, Postgres, Scratch};

/// How long something stands still. `SEALGATE_STOP_SECS` asks for another time.
fn stopped() -> Duration {
    let seconds = std::env::var("SEALGATE_STOP_SECS").map_or(2, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Random numbers whose seed is printed, and may be given.
fn random() -> Rng {
    let seed = std::env::var("SEALGATE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let _ = writeln!(std::io::stderr(), "SEALGATE_SEED={seed}");
    Rng::with_seed(seed)
}

#[test]
fn a_server_that_is_shut_down_slowly_loses_nothing() {
    let server = Postgres::start(&[]);
    let mut gateway = Gateway::prepare_on(server.schema(), &[QUICK]);
    gateway.restart();
    let devices = devices(&gateway, 8);
    let load = Load::start(&gateway, &devices, 16);
    for _ in 0..rounds(3) {
        more(&load, 300);
        // No new connections, and those that there are go on; then they are ended, each in its transaction or not.
        server.shut_down_smart();
        more(&load, 300);
        server.shut_down_fast();
        server.start_again();
    }
    more(&load, 300);
    gateway.terminate();
    gateway.restart();
    assert_kept(&gateway, &devices, load);
}

/// Deliberately for a time: that is the fault.
fn stand_still(stop: impl FnOnce(), go_on: impl FnOnce()) {
    stop();
    std::thread::sleep(stopped());
    go_on();
}

#[test]
fn a_gateway_that_stood_still_loses_nothing() {
    for mut gateway in [Gateway::prepare(&[]), Gateway::prepare_on_postgres(&[])] {
        gateway.restart();
        let devices = devices(&gateway, 4);
        let load = Load::start(&gateway, &devices, 16);
        more(&load, 200);
        stand_still(|| gateway.signal("STOP"), || gateway.signal("CONT"));
        more(&load, 200);
        gateway.terminate();
        gateway.restart();
        assert_kept(&gateway, &devices, load);
    }
}

#[test]
fn a_server_that_stood_still_under_load_loses_nothing() {
    let server = Postgres::start(&[]);
    let settings = [QUICK, ("database.statement_timeout", "500ms"), ("database.connect_timeout", "500ms")];
    let mut gateway = Gateway::prepare_on(server.schema(), &settings);
    gateway.restart();
    let devices = devices(&gateway, 4);
    let load = Load::start(&gateway, &devices, 16);
    more(&load, 200);
    stand_still(|| server.freeze(), || server.thaw());
    more(&load, 200);
    gateway.terminate();
    gateway.restart();
    assert_kept(&gateway, &devices, load);
}

#[test]
fn messages_that_come_often_and_in_any_order_are_stored_once() {
    let sqlite = Gateway::start();
    deliver_anyhow(&[&sqlite]);
    let [one, other] = Gateway::two_on_postgres(&[]);
    deliver_anyhow(&[&one, &other]);
}

/// Each message one to four times, in any order, over connections to all of these gateways.
fn deliver_anyhow(gateways: &[&Gateway]) {
    const MESSAGES: usize = 300;
    let mut rng = random();
    let device = gateways[0].add_device("pump");
    let frames: Vec<Vec<u8>> = (0..MESSAGES).map(|value| device.seal(value as f64)).collect();
    let mut deliveries: Vec<&Vec<u8>> =
        frames.iter().flat_map(|frame| std::iter::repeat_n(frame, rng.usize(1..=4))).collect();
    rng.shuffle(&mut deliveries);
    let token = gateways[0].token(&device.client_id, &device.client_secret);
    let login = Login { token, ..Login::of_device(gateways[0], &device) };
    let mut clients: Vec<Client> =
        gateways.iter().map(|gateway| Client::connect(gateway, Version::V5, &login)).collect();
    for part in deliveries.chunks(16) {
        let sent: Vec<usize> = part.iter().map(|frame| publish(&mut clients, &mut rng, &device, frame)).collect();
        for client in sent {
            let Packet::PubAck(ack) = clients[client].receive() else { panic!("a PUBACK") };
            assert_eq!(ack.code, ReasonCode::Success);
        }
    }
    assert_eq!(["envelopes", "readings"].map(|table| number(gateways[0], table)), [MESSAGES as u64; 2]);
    let counted = |name: &str| gateways.iter().map(|gateway| gateway.metrics().sum(name)).sum::<f64>() as usize;
    assert_eq!(counted("sealgate_ingest_stored_total"), MESSAGES);
    assert_eq!(counted("sealgate_ingest_duplicate_total"), deliveries.len() - MESSAGES);
    assert!(gateways.iter().all(|gateway| gateway.law_holds()));
}

fn publish(clients: &mut [Client], rng: &mut Rng, device: &Device, frame: &[u8]) -> usize {
    let client = rng.usize(..clients.len());
    clients[client].publish(&device.topic(), QoS::AtLeastOnce, frame.to_vec());
    client
}

/// The clock of a gateway alone, by the library of Debian's package `libfaketime`.
struct Clock(PathBuf);

impl Clock {
    fn of(gateway: &mut Gateway, scratch: &Scratch) -> Clock {
        let library = fs::read_dir("/usr/lib")
            .unwrap()
            .map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.exists())
            .expect("Debian's package libfaketime is installed");
        let clock = Clock(scratch.join("clock"));
        clock.set_hours(0);
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        gateway.set_variable("LD_PRELOAD", &path(&library));
        gateway.set_variable("FAKETIME_TIMESTAMP_FILE", &path(&clock.0));
        gateway.set_variable("FAKETIME_NO_CACHE", "1");
        // What a jump of the real clock leaves alone.
        gateway.set_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        gateway.set_variable("DONT_FAKE_MONOTONIC", "1");
        clock
    }

    /// So far from the true time, from now on.
    fn set_hours(&self, hours: i32) {
        fs::write(self.0.with_extension("new"), format!("{hours:+}h\n")).unwrap();
        fs::rename(self.0.with_extension("new"), &self.0).unwrap();
    }
}

#[test]
fn a_clock_that_jumps_an_hour_either_way_changes_no_row() {
    let retention = ("database.retention", "1day");
    for mut gateway in [Gateway::prepare(&[retention]), Gateway::prepare_on_postgres(&[retention])] {
        let scratch = Scratch::new("clock");
        let clock = Clock::of(&mut gateway, &scratch);
        gateway.restart();
        let pump = Arc::new(gateway.add_device("pump"));
        let mut frames = Vec::new();
        for hours in [0, 1, -1, 0] {
            clock.set_hours(hours);
            // A token that the clock has outlived is renewed, as a device does it.
            let mut client = Client::of_device(&gateway, Version::V5, &pump);
            for value in 0..20 {
                let frame = pump.seal(f64::from(value));
                assert_eq!(client.publish_acknowledged(&pump.topic(), frame.clone()).code, ReasonCode::Success);
                frames.push(frame);
            }
        }
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        for frame in &frames {
            assert_eq!(client.publish_acknowledged(&pump.topic(), frame.clone()).code, ReasonCode::Success);
        }
        let jumps = "SELECT count(DISTINCT n) AS n FROM (SELECT HOURS AS n FROM envelope) h";
        let hours = match gateway.is_on_postgres() {
            true => "round(extract(epoch FROM received_at - now()) / 3600)",
            false => "round((received_at - unixepoch() * 1000) / 3600000.0)",
        };
        assert_eq!(gateway.sql(&jumps.replace("HOURS", hours))[0]["n"], 3, "the gateway has seen three clocks");
        assert_eq!(["envelopes", "readings"].map(|table| number(&gateway, table)), [80, 80]);
        assert!(gateway.law_holds());
        gateway.terminate();
        let verified = gateway.run(&["verify"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}
