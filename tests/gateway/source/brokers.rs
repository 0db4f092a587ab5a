//! Each broker of Debian's packages, with what it promises.

use std::process::{Command, Stdio};

use firmware_sim::host::{KeepUntil, MqttVersions, PubAck, Settings};

use super::trial::{Kind, run};
use crate::harness::{Broker, Gateway, RunningFleet, Scratch, eventually, get};

/// Mosquitto shares messages out in both versions. It keeps what it has acknowledged, but after its end it has forgotten shared
/// subscriptions, and what comes before a worker has subscribed again is gone: a device must not believe its acknowledgement.
#[test]
fn mosquitto() {
    run(MOSQUITTO);
}

#[test]
fn mosquitto_over_tls() {
    run(Kind { name: "mosquitto-tls", ..MOSQUITTO });
}

/// Where workers split the devices, Mosquitto keeps their subscriptions, and what it has acknowledged survives its polite end.
#[test]
fn mosquitto_without_sharing() {
    run(Kind { workers: "3.1.1", devices: MqttVersions::V311, is_sharing: false, survives: true, ..MOSQUITTO });
}

/// The plug-in of RabbitMQ before 4 speaks 3.1.1 alone, takes `$share` for a name like any other, and makes a level's end of a dot. What it
/// has acknowledged is on its disk.
#[test]
fn rabbitmq() {
    run(WITHOUT_SHARING);
}

/// NATS before 2.10 carries no dot in a topic. It acknowledges a moment before JetStream has stored: what comes just before its end may be gone.
#[test]
fn nats() {
    run(Kind { name: "nats", survives: false, ..WITHOUT_SHARING });
}

/// A gateway that messages come to by this broker, from now on.
fn subscribed(broker: &Broker) -> Gateway {
    let mut gateway = Gateway::prepare(&[("ingest.source", "mqtt")]);
    gateway.set("source.url", &broker.url());
    gateway.restart();
    eventually("it is subscribed", || (get(gateway.admin(), "/ready").status == 200).then_some(()));
    gateway
}

/// What is verified goes back through the broker, for whoever has subscribed to it there.
#[test]
fn verified_readings_come_back_through_the_broker() {
    let broker = Broker::start("mosquitto");
    let worker = subscribed(&broker);
    let (credentials, _) = worker.add_fleet(1);
    let port = broker.address().port().to_string();
    let console = ["-p", &port, "-t", "readings/#", "-v", "-C", "1", "-W", "60"];
    let console = Command::new("mosquitto_sub").args(console).stdout(Stdio::piped()).spawn().unwrap();
    // Until the console is there too nobody knows when: each message is heard by whoever is there by then.
    let settings =
        Settings { rate: 20.0, keep_until: KeepUntil::Receipt, puback: PubAck::Received, ..Settings::default() };
    let fleet = RunningFleet::start_by_way_of(broker.address(), &worker, settings, &credentials, None);
    let heard = console.wait_with_output().unwrap();
    let heard = String::from_utf8(heard.stdout).unwrap();
    let (topic, payload) = heard.trim_end().split_once(' ').expect("a reading has come");
    assert_eq!(topic, "readings/sim-1");
    let records: serde_json::Value = serde_json::from_str(payload).unwrap();
    assert!(records[0]["n"].is_string() && records[0]["v"].is_number(), "{records}");
    assert_eq!(fleet.finish().surprises, 0);
}

/// Such a device has no connection at our own door; at another broker it may have one.
#[test]
fn what_a_disabled_or_an_unknown_device_sends_is_refused_as_such() {
    let broker = Broker::start("mosquitto");
    let worker = subscribed(&broker);
    let pump = worker.add_device("pump");
    let port = broker.address().port().to_string();
    let scratch = Scratch::new("source");
    let publish = |device: &str| {
        std::fs::write(scratch.join("frame"), pump.seal(1.0)).unwrap();
        let (topic, frame) = (format!("devices/{device}/telemetry"), scratch.join("frame"));
        let arguments = ["-p", &port, "-q", "1", "-t", &topic, "-f", frame.to_str().unwrap()];
        assert!(Command::new("mosquitto_pub").args(arguments).status().unwrap().success());
    };
    let refused =
        |reason| worker.metrics().value("sealgate_ingest_rejected_total", &[("encoding", "frame"), ("reason", reason)]);
    publish("pump");
    eventually("it is stored", || (worker.metrics().sum("sealgate_ingest_stored_total") == 1.0).then_some(()));
    publish("stranger");
    eventually("a stranger is refused", || (refused("unknown_device") == 1.0).then_some(()));
    assert!(worker.run(&["device", "disable", "pump"]).status.success());
    eventually("it is refused", || {
        publish("pump");
        (refused("device_disabled") >= 1.0).then_some(())
    });
    worker.change_by_hand("DELETE FROM clients WHERE device_id = 'pump'");
    worker.change_by_hand("DELETE FROM devices WHERE device_id = 'pump'");
    eventually("it is a stranger", || {
        publish("pump");
        (refused("unknown_device") >= 2.0).then_some(())
    });
    assert!(worker.law_holds());
}

const MOSQUITTO: Kind = Kind {
    name: "mosquitto",
    workers: "5",
    devices: MqttVersions::Mixed,
    is_sharing: true,
    takes_dots: true,
    survives: false,
};

const WITHOUT_SHARING: Kind = Kind {
    name: "rabbitmq",
    workers: "3.1.1",
    devices: MqttVersions::V311,
    is_sharing: false,
    takes_dots: false,
    survives: true,
};
