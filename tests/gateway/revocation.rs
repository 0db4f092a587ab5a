//! Whoever is disabled, or taken out of the registry, loses the connection and the session, at each gateway on the database.

use bytes::Bytes;
use sealgate::mqtt::topic::Topic;
use sealgate::mqtt::{Binary, Packet, PublishProperties, QoS, ReasonCode, Version, Will};

use crate::harness::{Client, Device, Gateway, Login, eventually};

fn refused_at(packets: &[Packet]) -> Option<ReasonCode> {
    packets.iter().find_map(|packet| match packet {
        Packet::Disconnect(disconnect) => Some(disconnect.code),
        _ => None,
    })
}

fn will(topic: &str, delay_secs: u32) -> Will {
    Will {
        topic: Topic::new(topic).unwrap(),
        payload: Binary::try_from(Bytes::from_static(b"gone")).unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_secs,
        message_expiry_secs: None,
        properties: PublishProperties::default(),
    }
}

/// A device that is there with a session that is to be kept, and with a will.
fn there(gateway: &Gateway, device: &Device, version: Version) -> Client {
    let mut connect = Login::of_device(gateway, device).connect(version);
    (connect.clean_start, connect.session_expiry_secs) = (false, 600);
    connect.will = Some(will(&format!("devices/{}/answers", device.id), 0));
    let mut client = Client::open(gateway, version);
    assert_eq!(client.log_in(connect).code, ReasonCode::Success);
    client
}

#[test]
fn a_disabled_device_is_sent_away_with_its_session_and_its_will() {
    for version in [Version::V5, Version::V311] {
        let gateway = Gateway::start();
        let (pump, van) = (gateway.add_device("pump"), gateway.add_device("van"));
        let service = gateway.add_service("watcher", &["sub:#"]);
        let mut client = there(&gateway, &pump, version);
        let mut stays = there(&gateway, &van, version);
        gateway.prints(&["device", "disable", "pump"]);
        let told = refused_at(&client.until_closed());
        assert_eq!(told, (version == Version::V5).then_some(ReasonCode::NotAuthorized));
        assert_eq!(gateway.metrics().value("sealgate_edge_ended_total", &[("cause", "revoked")]), 1.0);
        eventually("its session is gone", || {
            (gateway.metrics().value("sealgate_broker_sessions", &[]) == 1.0).then_some(())
        });
        assert_eq!(stays.publish_acknowledged(&van.topic(), van.seal(1.0)).code, ReasonCode::Success, "others stay");
        // It comes in again as a stranger.
        drop(service);
        gateway.prints(&["device", "enable", "pump"]);
        let again = eventually("it is let in again", || {
            let mut connect = Login::of_device(&gateway, &pump).connect(version);
            (connect.clean_start, connect.session_expiry_secs) = (false, 600);
            let mut client = Client::open(&gateway, version);
            let answer = client.log_in(connect);
            (answer.code == ReasonCode::Success).then_some(answer)
        });
        assert!(!again.session_present);
    }
}

/// CVE-2021-34434: a client whose access was taken back kept what it had subscribed to. CVE-2018-12546: what it had left was still given out.
#[test]
fn a_session_that_is_away_ends_too_and_its_will_with_it() {
    let gateway = Gateway::start();
    let service = gateway.add_service("rules", &["sub:news", "pub:news"]);
    let other = gateway.add_service("other", &["sub:#", "pub:news"]);
    let mut listener = Client::connect(&gateway, Version::V5, &Login::of_service(&gateway, &other));
    assert_eq!(listener.subscribe("news", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    let mut connect = Login::of_service(&gateway, &service).connect(Version::V5);
    (connect.clean_start, connect.session_expiry_secs) = (false, 600);
    connect.will = Some(will("news", 2));
    let mut client = Client::open(&gateway, Version::V5);
    client.log_in(connect);
    assert_eq!(client.subscribe("news", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    drop(client);
    gateway.prints(&["client", "disable", "rules"]);
    let sessions = || gateway.metrics().value("sealgate_broker_sessions", &[]);
    eventually("its session is gone", || (sessions() == 1.0).then_some(()));
    assert_eq!(gateway.metrics().value("sealgate_broker_subscriptions", &[]), 1.0);
    listener.publish_acknowledged("news", "last");
    let Packet::Publish(first) = listener.receive() else { panic!("its own message was due") };
    assert_eq!(&*first.payload, b"last", "no will came before it");
    // Beyond the delay of the will that is gone.
    assert!(listener.hears_nothing_for(std::time::Duration::from_millis(2500)));
}

/// CVE-2020-26892: a credential that ended was good as long as its connection. Each gateway on the database knows of it.
#[test]
fn at_another_gateway_it_is_sent_away_as_well() {
    let [one, other] = Gateway::two_on_postgres(&[]);
    let pump = one.add_device("pump");
    let mut client = there(&other, &pump, Version::V5);
    one.prints(&["device", "disable", "pump"]);
    assert_eq!(refused_at(&client.until_closed()), Some(ReasonCode::NotAuthorized));
    // By hand, in SQL, and gone altogether.
    let van = one.add_device("van");
    let mut client = there(&other, &van, Version::V5);
    one.change_by_hand("DELETE FROM clients WHERE device_id = 'van'");
    one.change_by_hand("DELETE FROM devices WHERE device_id = 'van'");
    assert_eq!(refused_at(&client.until_closed()), Some(ReasonCode::NotAuthorized));
}
