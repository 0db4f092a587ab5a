//! The polite end: nothing new, everything in flight committed and acknowledged, and everybody told.

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Gateway};

#[test]
fn sigterm_under_load_acknowledges_what_it_took_and_says_goodbye() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start();
        let devices: Vec<_> = (0..8).map(|number| gateway.add_device(&format!("pump-{number}"))).collect();
        let mut clients: Vec<Client> =
            devices.iter().map(|device| Client::of_device(&gateway, Version::V5, device)).collect();
        for (device, client) in devices.iter().zip(&mut clients) {
            for _ in 0..32 {
                client.publish(&device.topic(), QoS::AtLeastOnce, device.seal(1.0));
            }
        }
        gateway.signal(signal);
        let mut acknowledged = 0;
        for client in &mut clients {
            let packets = client.until_closed();
            let Some((Packet::Disconnect(goodbye), acks)) = packets.split_last() else { panic!("{packets:?}") };
            assert_eq!(goodbye.code, ReasonCode::ServerShuttingDown);
            assert!(acks.iter().all(|ack| matches!(ack, Packet::PubAck(ack) if ack.code == ReasonCode::Success)));
            acknowledged += acks.len();
        }
        assert_eq!(gateway.ended().code(), Some(0));
        let rows = gateway.sql("SELECT count(*) AS n FROM envelopes")[0]["n"].as_u64().unwrap();
        assert_eq!(rows as usize, acknowledged, "what was taken was acknowledged, and nothing else was taken");
    }
}

#[test]
fn the_gateway_ends_in_time_although_the_database_is_away() {
    let mut gateway = Gateway::start_with(&[("shutdown.timeout", "1s")]);
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(0.0));
    let lock = super::ingest::Lock::take(&gateway);
    client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0));
    gateway.signal("TERM");
    let packets = client.until_closed();
    assert!(
        !packets.iter().any(|packet| matches!(packet, Packet::PubAck(_))),
        "what is not committed is not acknowledged"
    );
    gateway.ended();
    drop(lock);
    assert_eq!(gateway.sql("SELECT count(*) AS n FROM envelopes")[0]["n"], 1);
}
