//! Each broker of Debian's packages, with what it promises.

use firmware_sim::host::MqttVersions;

use super::trial::{Kind, run};

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
