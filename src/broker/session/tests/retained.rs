//! What a session has to do with retained messages.

use super::bench::*;
use super::*;

#[test]
fn what_is_retained_bears_the_flag_and_goes_out_again_with_it() {
    let mut bench = Bench::service(Version::V5, "sub:a");
    bench.mail(Queued { retain: true, ..queued(QoS::AtLeastOnce) });
    let Some(Packet::Publish(first)) = bench.sent().pop() else { panic!("a message") };
    assert!(first.retain, "[MQTT-3.3.1-8]");
    let (state, ..) = bench.session.into_remains();
    let mut resumed = Bench::resumed_service(Version::V5, "sub:a", state);
    assert!(resumed.send_again());
    let Some(Packet::Publish(again)) = resumed.sent().pop() else { panic!("the message again") };
    assert_eq!((again.retain, again.dup), (true, true));
}

#[test]
fn what_is_due_of_a_filter_ends_with_its_subscription_or_its_scope() {
    let mut bench = Bench::service(Version::V5, "sub:a sub:b");
    bench.packet(subscribe_packet(&["a"], QoS::AtLeastOnce));
    assert!(bench.session.has_backlog());
    let filters = vec![Filter::new("a").unwrap()];
    bench.packet(Packet::Unsubscribe(Unsubscribe { packet_id: id(2), filters, user_properties: Vec::new() }));
    assert!(!bench.session.has_backlog());

    bench.packet(subscribe_packet(&["a"], QoS::AtLeastOnce));
    let (mut state, ..) = bench.session.into_remains();
    state.narrow(&Grant::service("console", scope::parse_all("sub:b").unwrap(), i64::MAX));
    assert!(!Bench::resumed_service(Version::V5, "sub:b", state).session.has_backlog());
}

#[test]
fn a_refused_filter_brings_nothing() {
    let mut bench = Bench::device(Version::V5);
    bench.packet(subscribe_packet(&["devices/+/status"], QoS::AtLeastOnce));
    assert!(!bench.session.has_backlog());
}
