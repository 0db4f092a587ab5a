//! Between a publisher and a reader that has no room: who waits, for how long, and what is lost.

use std::num::NonZeroU16;
use std::thread;

use bytes::BytesMut;
use sealgate::mqtt::{Ack, Packet, Publish, QoS, ReasonCode, Topic, Version, encode};

use super::{client, payload, received};
use crate::harness::{Client, Gateway, Login, eventually};

const QUEUE: &str = "4";
/// Messages that a publisher writes at a time: more than the queue and the reader's window hold.
const WINDOW: u16 = 8;

/// A subscriber that takes one message at a time.
fn reader(gateway: &Gateway, name: &str, filter: &str) -> Client {
    let service = gateway.add_service(name, &[&format!("sub:{filter}")]);
    let mut connect = Login::of_service(gateway, &service).connect(Version::V5);
    connect.receive_max = NonZeroU16::new(1);
    let mut reader = Client::open(gateway, Version::V5);
    assert_eq!(reader.log_in(connect).code, ReasonCode::Success);
    assert_eq!(reader.subscribe(filter, QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    reader
}

/// Messages 1 to `count` at QoS 1, a window at a time; each payload is the message's number.
fn flood(publisher: &mut Client, topic: &str, count: u16) {
    for first in (1..=count).step_by(WINDOW.into()) {
        let numbers = first..(first + WINDOW).min(count + 1);
        let mut bytes = BytesMut::new();
        for number in numbers.clone() {
            let mut publish = Publish::new(Topic::new(topic).unwrap(), number.to_be_bytes().to_vec().into());
            (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, NonZeroU16::new(number));
            encode(&Packet::Publish(publish), Version::V5, &mut bytes);
        }
        publisher.send_bytes(&bytes);
        for number in numbers {
            let Packet::PubAck(ack) = publisher.receive() else { panic!("PUBACK {number} was due") };
            assert_eq!((ack.packet_id.get(), ack.code), (number, ReasonCode::Success));
        }
    }
}

fn acknowledge(reader: &mut Client, message: &Publish) {
    reader.send(&Packet::PubAck(Ack::new(message.packet_id.unwrap(), ReasonCode::Success)));
}

fn dropped(gateway: &Gateway) -> f64 {
    gateway.metrics().value("sealgate_broker_dropped_total", &[("cause", "queue_full")])
}

fn held(gateway: &Gateway) -> f64 {
    gateway.metrics().value("sealgate_broker_held_total", &[])
}

#[test]
fn a_reader_that_keeps_up_gets_all_that_was_acknowledged_however_small_its_queue() {
    const COUNT: u16 = 200;
    let gateway = Gateway::start_with(&[("broker.queue_messages_max", QUEUE)]);
    let mut reader = reader(&gateway, "reader", "flood/+");
    let publishers = ["0", "1", "2"].map(|name| client(&gateway, name, &["pub:flood/#"], Version::V5));
    thread::scope(|scope| {
        for (name, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || flood(&mut publisher, &format!("flood/{name}"), COUNT));
        }
        let mut next = [1; 3];
        while next != [COUNT + 1; 3] {
            let message = received(&mut reader);
            let topic = message.topic.as_ref().unwrap();
            let publisher: usize = topic.levels().nth(1).unwrap().parse().unwrap();
            assert_eq!(message.payload[..], u16::to_be_bytes(next[publisher]), "each once and in order");
            next[publisher] += 1;
            acknowledge(&mut reader, &message);
        }
    });
    assert_eq!(dropped(&gateway), 0.0);
    assert!(held(&gateway) > 0.0, "nothing had to wait: this is no flood");
    assert_eq!(gateway.metrics().value("sealgate_broker_routed_total", &[]), f64::from(3 * COUNT));
}

#[test]
fn a_reader_that_has_stopped_is_waited_for_once_and_others_go_on() {
    const COUNT: u16 = 40;
    let gateway = Gateway::start_with(&[("broker.queue_messages_max", QUEUE)]);
    let mut sleeper = reader(&gateway, "sleeper", "slow");
    let mut listener = reader(&gateway, "listener", "other");
    let mut publisher = client(&gateway, "publisher", &["pub:slow"], Version::V5);
    let mut neighbour = client(&gateway, "neighbour", &["pub:other", "pub:slow"], Version::V5);
    // One is under way to the sleeper, four wait for it.
    for _ in 0..5 {
        publisher.publish_acknowledged("slow", payload("x"));
    }
    publisher.publish("slow", QoS::AtLeastOnce, payload("held"));
    eventually("the sixth is held", || (held(&gateway) == 1.0).then_some(()));
    for _ in 0..COUNT {
        neighbour.publish_acknowledged("other", payload("y"));
        let message = received(&mut listener);
        acknowledge(&mut listener, &message);
    }
    assert!(matches!(publisher.receive(), Packet::PubAck(_)), "the patience has an end");
    for _ in 0..COUNT {
        publisher.publish_acknowledged("slow", payload("x"));
        neighbour.publish_acknowledged("slow", payload("x"));
    }
    assert_eq!((held(&gateway), dropped(&gateway)), (1.0, 1.0 + 2.0 * f64::from(COUNT)));
    let first = received(&mut sleeper);
    acknowledge(&mut sleeper, &first);
    for _ in 0..4 {
        let message = received(&mut sleeper);
        acknowledge(&mut sleeper, &message);
    }
    publisher.publish_acknowledged("slow", payload("again"));
    assert_eq!(received(&mut sleeper).payload, payload("again"));
}

#[test]
fn qos_0_is_never_held() {
    let gateway = Gateway::start_with(&[("broker.queue_messages_max", QUEUE)]);
    let mut sleeper = reader(&gateway, "sleeper", "slow");
    let mut publisher = client(&gateway, "publisher", &["pub:slow"], Version::V5);
    for _ in 0..5 {
        publisher.publish_acknowledged("slow", payload("1"));
    }
    // One of these may have come before the sleeper's connection took the first.
    let before = held(&gateway);
    for _ in 0..20 {
        publisher.publish("slow", QoS::AtMostOnce, payload("0"));
    }
    publisher.send(&Packet::PingReq);
    assert!(matches!(publisher.receive(), Packet::PingResp));
    assert_eq!((held(&gateway), dropped(&gateway)), (before, 20.0));
    assert_eq!(received(&mut sleeper).payload, payload("1"));
}
