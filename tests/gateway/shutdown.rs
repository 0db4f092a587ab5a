//! The polite end: nothing new, everything in flight committed and acknowledged, and everybody told.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::ingest::Lock;
use crate::harness::{Client, Deadline, Gateway, Load, PATIENCE, eventually, get};

const TIMEOUT: (&str, &str) = ("shutdown.timeout", "1s");
/// By then a gateway with that timeout has ended, on a machine that is busy with other tests too.
const IN_TIME: Duration = Duration::from_secs(4);

#[test]
fn sigterm_under_load_acknowledges_what_it_took_and_says_goodbye() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start();
        let devices: Vec<_> = (0..8).map(|number| Arc::new(gateway.add_device(&format!("pump-{number}")))).collect();
        let load = Load::start(&gateway, &devices, 16);
        eventually("the load is on its way", || (load.acknowledged() >= 500).then_some(()));
        let door = gateway.mqtt();
        gateway.signal(signal);
        let reports = load.reports();
        assert!(is_shut(door));
        assert_eq!(gateway.ended().code(), Some(0));
        for (device, report) in devices.iter().zip(reports) {
            assert_eq!(report.goodbye, Some(ReasonCode::ServerShuttingDown));
            assert!(!report.acknowledged.is_empty());
            let query = format!("SELECT counter FROM envelopes WHERE device_id = '{}' ORDER BY counter", device.id);
            let rows: Vec<i64> = gateway.sql(&query).iter().map(|row| row["counter"].as_i64().unwrap()).collect();
            let acknowledged: Vec<i64> = report.acknowledged.into_iter().collect();
            assert_eq!(rows, acknowledged, "what was taken was acknowledged, and nothing else was taken");
        }
    }
}

#[test]
fn the_gateway_ends_in_time_although_the_database_is_away() {
    let mut gateway = Gateway::start_with(&[TIMEOUT]);
    let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(0.0));
    let mut idle = Client::of_device(&gateway, Version::V5, &fan);
    let lock = Lock::take(&gateway);
    client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0));
    let in_time = Deadline::after(IN_TIME);
    let door = gateway.mqtt();
    gateway.signal("TERM");
    assert_eq!(idle.until_closed().len(), 1, "who has nothing in flight is told at once");
    assert!(is_shut(door), "while it drains nobody comes in");
    let packets = client.until_closed();
    assert!(
        !packets.iter().any(|packet| matches!(packet, Packet::PubAck(_))),
        "what is not committed is not acknowledged"
    );
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(!in_time.left().is_zero(), "it took more than {IN_TIME:?}");
    drop(lock);
    assert_eq!(gateway.sql("SELECT count(*) AS n FROM envelopes")[0]["n"], 1);
}

#[test]
fn the_gateway_ends_in_time_although_a_request_is_half_sent_to_the_public_door() {
    ends_in_time_in_spite_of(
        Gateway::public,
        "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-length: 90\r\n\r\ngrant",
    );
    ends_in_time_in_spite_of(Gateway::public, "POST /oauth/token HTTP/1.1\r\nhost");
}

#[test]
fn the_gateway_ends_in_time_although_a_request_is_half_sent_to_the_admin_door() {
    ends_in_time_in_spite_of(Gateway::admin, "GET /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 90\r\n\r\nx");
    ends_in_time_in_spite_of(Gateway::admin, "GET /metrics HTTP/1.1\r\nhost");
}

fn ends_in_time_in_spite_of(door: fn(&Gateway) -> SocketAddr, half: &str) {
    let mut gateway = Gateway::start_with(&[TIMEOUT]);
    let mut stream = TcpStream::connect(door(&gateway)).unwrap();
    stream.write_all(half.as_bytes()).unwrap();
    // A request after it is answered, so the half one has come too.
    get(door(&gateway), "/");
    let in_time = Deadline::after(IN_TIME);
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(!in_time.left().is_zero(), "it took more than {IN_TIME:?} because of {half:?}");
}

/// Whether a client that comes now is refused, or sent away without a word.
fn is_shut(door: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(door) else { return true };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // An open door would answer this: a CONNECT at 3.1.1 without a token.
    let sent = stream.write_all(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc");
    match sent.and_then(|()| stream.read(&mut [0])) {
        Ok(count) => count == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}
