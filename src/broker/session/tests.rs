//! A session alone: both ends and the clock are the test's.

mod bench;
mod model;
mod retained;
mod run;
mod sequences;

use super::*;
use crate::auth::{Grant, scope};
use crate::broker::Message;
use crate::ingest::{Origin, Reason};
use crate::mqtt::topic::Topic;
use bench::*;
use bytes::Bytes;

#[test]
fn telemetry_is_acknowledged_when_its_receipt_has_settled_and_in_order() {
    let mut bench = Bench::device(Version::V5);
    bench.publish("devices/pump/telemetry", QoS::AtLeastOnce, 1);
    bench.publish("devices/pump/telemetry/fast", QoS::ExactlyOnce, 2);
    let outputs = bench.outputs();
    let [first, second] = tickets(&outputs)[..] else { panic!("both go to ingest") };
    assert_eq!(outputs.len(), 2, "nothing is acknowledged yet");

    bench.session.handle_settled(second, Settled::Stored);
    assert!(bench.sent().is_empty(), "[MQTT-4.6.0-2]");
    bench.session.handle_settled(first, rejected(Reason::BadSeal));
    let [Packet::PubAck(refused), Packet::PubRec(stored)] = &bench.sent()[..] else { panic!("in order") };
    assert_eq!((refused.code, refused.reason_string.as_deref()), (ReasonCode::PayloadFormatInvalid, Some("bad_seal")));
    assert_eq!((stored.packet_id, stored.code), (id(2), ReasonCode::Success));
    assert!(bench.session.is_settled());
}

#[test]
fn every_reason_has_the_code_of_the_specification() {
    use ReasonCode as Code;
    let table = [
        (
            Code::PayloadFormatInvalid,
            [Reason::Malformed, Reason::Corrupt, Reason::BadSeal, Reason::BadPayload].as_slice(),
        ),
        (Code::NotAuthorized, &[Reason::UnknownDevice, Reason::DeviceDisabled, Reason::UnknownKey]),
        (Code::QuotaExceeded, &[Reason::TooLarge]),
        (Code::ImplementationSpecificError, &[Reason::Replayed, Reason::Stale, Reason::Future]),
    ];
    assert_eq!(table.iter().map(|(_, reasons)| reasons.len()).sum::<usize>(), Reason::ALL.len());
    for (code, reason) in table.iter().flat_map(|(code, reasons)| reasons.iter().map(move |reason| (*code, *reason))) {
        let mut bench = Bench::device(Version::V5);
        bench.publish("devices/pump/telemetry", QoS::AtLeastOnce, 1);
        let ticket = tickets(&bench.outputs())[0];
        bench.session.handle_settled(ticket, rejected(reason));
        let [Packet::PubAck(ack)] = &bench.sent()[..] else { panic!("one PUBACK for {reason}") };
        assert_eq!((ack.code, ack.reason_string.as_deref()), (code, Some(reason.as_str())));
    }
}

#[test]
fn a_lost_message_ends_the_connection_and_is_not_acknowledged() {
    let mut bench = Bench::device(Version::V5);
    bench.publish("devices/pump/telemetry", QoS::AtLeastOnce, 1);
    let ticket = tickets(&bench.outputs())[0];
    bench.session.handle_settled(ticket, Settled::Lost);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.session.ended(), Some(Ended::MessageLost)); // [MQTT-4.4.0-1]
}

#[test]
fn a_duplicate_counts_as_retry_after_a_reconnect_or_with_dup() {
    let mut bench = Bench::device(Version::V5);
    let origin = |bench: &mut Bench, dup| {
        bench.packet(Packet::Publish(Publish { dup, ..publish_packet("devices/pump/telemetry", QoS::AtLeastOnce, 1) }));
        let Some(Output::Submit(telemetry)) = bench.outputs().pop() else { panic!("it goes to ingest") };
        bench.session.handle_settled(telemetry.ticket, Settled::Stored);
        bench.outputs();
        telemetry.origin
    };
    assert_eq!(origin(&mut bench, false), Origin::Retry);
    bench.now += Duration::from_secs(60);
    assert_eq!(origin(&mut bench, false), Origin::Replay);
    assert_eq!(origin(&mut bench, true), Origin::Retry);
}

#[test]
fn what_a_grant_does_not_hold_is_refused_and_the_connection_stays() {
    for (version, code) in [(Version::V5, ReasonCode::NotAuthorized), (Version::V311, ReasonCode::NotAuthorized)] {
        let mut bench = Bench::device(version);
        bench.publish("devices/other/telemetry", QoS::AtLeastOnce, 1);
        bench.publish("devices/other/telemetry", QoS::AtMostOnce, 0);
        let [Packet::PubAck(ack)] = &bench.sent()[..] else { panic!("one PUBACK, and nothing to ingest") };
        assert_eq!(ack.code, code);
        bench.packet(subscribe_packet(&["devices/other/commands/#", "devices/pump/commands/#"], QoS::AtLeastOnce));
        let outputs = bench.outputs();
        let [Output::Subscribe(filter, ..), Output::Send(Packet::SubAck(suback))] = &outputs[..] else { panic!("one") };
        assert_eq!(filter.as_str(), "devices/pump/commands/#");
        assert_eq!(suback.codes, [code, ReasonCode::GrantedQoS1]);
        assert_eq!(bench.session.ended(), None);
    }
}

#[test]
fn qos_2_is_delivered_once_however_often_it_is_sent() {
    let mut bench = Bench::service(Version::V5, "pub:a");
    bench.publish("a", QoS::ExactlyOnce, 1).publish("a", QoS::ExactlyOnce, 1);
    let outputs = bench.outputs();
    assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Publish(_))).count(), 1, "[MQTT-4.3.3-10]");
    assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Send(Packet::PubRec(_)))).count(), 2);
    bench.packet(Packet::PubRel(Ack::new(id(1), ReasonCode::Success)));
    bench.packet(Packet::PubRel(Ack::new(id(1), ReasonCode::Success)));
    let codes: Vec<ReasonCode> = bench
        .sent()
        .into_iter()
        .map(|packet| if let Packet::PubComp(ack) = packet { ack.code } else { panic!("{packet:?}") })
        .collect();
    assert_eq!(codes, [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound]); // [MQTT-4.3.3-11]
    bench.publish("a", QoS::ExactlyOnce, 1);
    assert!(matches!(bench.outputs()[0], Output::Publish(_)), "the identifier is free again");
}

#[test]
fn a_qos_2_envelope_sent_twice_before_its_commit_is_one_message() {
    // CVE-2023-28366: each repetition of an identifier cost memory that nothing gave back.
    let mut bench = Bench::device(Version::V5);
    for _ in 0..100 {
        bench.publish("devices/pump/telemetry", QoS::ExactlyOnce, 1);
    }
    let outputs = bench.outputs();
    assert_eq!((outputs.len(), bench.session.ended()), (1, None));
    bench.session.handle_settled(tickets(&outputs)[0], Settled::Stored);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_refused_qos_2_message_keeps_no_identifier() {
    let mut bench = Bench::device(Version::V5);
    bench.publish("devices/pump/telemetry", QoS::ExactlyOnce, 1);
    let ticket = tickets(&bench.outputs())[0];
    bench.session.handle_settled(ticket, rejected(Reason::Corrupt));
    bench.publish("devices/pump/telemetry", QoS::ExactlyOnce, 1);
    assert_eq!(tickets(&bench.outputs()).len(), 1, "a PUBREC of 0x80 or above ends the exchange [MQTT-4.3.3-9]");
}

#[test]
fn more_than_the_receive_maximum_is_a_protocol_error_at_5_and_waits_at_3_1_1() {
    for version in [Version::V5, Version::V311] {
        let mut bench = Bench::device(version);
        for packet_id in 1..=RECEIVE_MAXIMUM {
            assert!(bench.session.wants_packets());
            bench.publish("devices/pump/telemetry", QoS::AtLeastOnce, packet_id);
        }
        assert_eq!(bench.session.wants_packets(), version == Version::V5, "a client of MQTT 5 stops by itself");
        bench.packet(Packet::PingReq);
        assert!(matches!(bench.outputs().pop(), Some(Output::Send(Packet::PingResp))));
        if version == Version::V5 {
            bench.publish("devices/pump/telemetry", QoS::AtLeastOnce, 9);
            let misbehaved = Ended::PeerMisbehaved(ReasonCode::ReceiveMaximumExceeded);
            assert_eq!(bench.session.ended(), Some(misbehaved)); // [MQTT-3.3.4-9]
        }
    }
}

#[test]
fn qos_0_telemetry_is_held_back_by_not_reading() {
    let mut bench = Bench::device(Version::V5);
    for _ in 0..RECEIVE_MAXIMUM {
        bench.publish("devices/pump/telemetry", QoS::AtMostOnce, 0);
    }
    assert!(!bench.session.wants_packets());
    let ticket = tickets(&bench.outputs())[0];
    bench.session.handle_settled(ticket, Settled::Stored);
    assert!(bench.session.wants_packets());
    assert!(bench.sent().is_empty());
}

#[test]
fn silence_and_the_end_of_the_token_end_the_connection() {
    let mut bench = Bench::device(Version::V5);
    bench.session.handle_timeout(bench.now + KEEP_ALIVE - Duration::from_millis(1));
    assert_eq!(bench.session.ended(), None);
    bench.session.handle_timeout(bench.session.poll_timeout());
    assert_eq!(bench.session.ended(), Some(Ended::Silent)); // [MQTT-3.1.2-22]

    let mut bench = Bench::device(Version::V5);
    bench.now += Duration::from_secs(3590);
    bench.packet(Packet::PingReq);
    assert_eq!(bench.session.poll_timeout(), bench.session.grant_ends());
    bench.session.handle_timeout(bench.session.grant_ends());
    assert_eq!(bench.session.ended(), Some(Ended::TokenExpired));
}

#[test]
fn what_was_not_acknowledged_goes_out_again_first_and_with_dup() {
    let mut bench = Bench::service(Version::V5, "sub:a");
    bench.mail(queued(QoS::AtLeastOnce));
    bench.mail(queued(QoS::AtMostOnce));
    bench.mail(queued(QoS::AtLeastOnce));
    assert!(!bench.session.wants_mail(), "the client takes two at a time [MQTT-4.9.0-1]");
    let sent = bench.sent();
    let [Packet::Publish(first), Packet::Publish(_), Packet::Publish(second)] = &sent[..] else { panic!("{sent:?}") };
    bench.packet(Packet::PubAck(Ack::new(first.packet_id.unwrap(), ReasonCode::Success)));
    assert!(bench.session.wants_mail());

    let (state, expiry, _) = bench.session.into_remains();
    assert_eq!(expiry, Duration::from_secs(100));
    let mut resumed = Bench::resumed_service(Version::V5, "sub:a", state);
    assert!(resumed.send_again() && !resumed.send_again());
    let sent = resumed.sent();
    let [Packet::Publish(again)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((again.packet_id, again.dup), (second.packet_id, true)); // [MQTT-3.3.1-1]
}

#[test]
fn an_acknowledgement_is_awaited_once() {
    let mut bench = Bench::service(Version::V5, "sub:a");
    bench.mail(queued(QoS::AtLeastOnce));
    let Some(Packet::Publish(message)) = bench.sent().pop() else { panic!("a message") };
    let answer = Packet::PubAck(Ack::new(message.packet_id.unwrap(), ReasonCode::Success));
    assert!(bench.session.awaits(&answer) && !bench.session.awaits(&Packet::PingReq));
    bench.packet(answer.clone());
    assert!(!bench.session.awaits(&answer), "the second is the client's own affair, and counts against its pace");
}

#[test]
fn what_goes_out_again_keeps_to_the_receive_maximum_of_the_new_connection() {
    let mut bench = Bench::service(Version::V5, "sub:a");
    bench.mail(queued(QoS::AtLeastOnce));
    bench.mail(queued(QoS::AtLeastOnce));
    let (state, ..) = bench.session.into_remains();
    let one_at_a_time = |now| {
        let grant = Grant::service("console", Vec::new(), i64::MAX);
        Terms { client_receive_maximum: 1, ..terms(Version::V5, grant, now) }
    };
    let mut resumed = Bench::with(one_at_a_time, state);
    assert!(resumed.session.wants_mail() && resumed.send_again());
    assert!(!resumed.session.wants_mail(), "[MQTT-3.3.4-9]");
    let Some(Packet::Publish(first)) = resumed.sent().pop() else { panic!("a message") };
    resumed.packet(Packet::PubAck(Ack::new(first.packet_id.unwrap(), ReasonCode::Success)));
    assert!(resumed.session.wants_mail() && resumed.send_again());
}

#[test]
fn a_session_that_is_taken_up_again_knows_only_what_the_new_grant_holds() {
    let mut bench = Bench::service(Version::V5, "sub:a sub:b");
    bench.packet(subscribe_packet(&["a", "b"], QoS::AtLeastOnce));
    bench.mail(queued(QoS::AtLeastOnce));
    let (mut state, ..) = bench.session.into_remains();
    let narrower = Grant::service("console", scope::parse_all("sub:b").unwrap(), i64::MAX);
    let ended = state.narrow(&narrower);
    assert_eq!(ended, [Filter::new("a").unwrap()]);
    assert_eq!(state.subscriptions().map(Filter::as_str).collect::<Vec<_>>(), ["b"]);
    assert!(!Bench::resumed_service(Version::V5, "sub:b", state).send_again(), "the message was on `a`");
}

#[test]
fn a_device_that_forgot_its_identifiers_does_not_lose_a_reading() {
    for (version, first) in [(Version::V311, rejected(Reason::Corrupt)), (Version::V5, Settled::Stored)] {
        let mut bench = Bench::device(version);
        bench.publish("devices/pump/telemetry", QoS::ExactlyOnce, 1);
        let ticket = tickets(&bench.outputs())[0];
        bench.session.handle_settled(ticket, first);
        let (state, ..) = bench.session.into_remains();
        let grant = Grant::device("pump", i64::MAX).unwrap();
        let mut rebooted = Bench::with(|now| terms(version, grant, now), state);
        rebooted.publish("devices/pump/telemetry", QoS::ExactlyOnce, 1);
        assert_eq!(tickets(&rebooted.outputs()).len(), 1, "the counter under the seal tells what is new");
    }
}

#[test]
fn qos_2_that_was_handed_on_is_not_handed_on_again_after_a_reconnect() {
    let mut bench = Bench::device(Version::V5);
    bench.publish("devices/pump/telemetry", QoS::AtLeastOnce, 1);
    bench.publish("devices/pump/answers", QoS::ExactlyOnce, 2);
    assert!(bench.sent().is_empty(), "its PUBREC waits for the telemetry before it");
    let (state, ..) = bench.session.into_remains();
    let grant = Grant::device("pump", i64::MAX).unwrap();
    let mut back = Bench::with(|now| terms(Version::V5, grant, now), state);
    back.publish("devices/pump/answers", QoS::ExactlyOnce, 2);
    let outputs = back.outputs();
    assert!(matches!(outputs[..], [Output::Send(Packet::PubRec(_))]), "[MQTT-4.3.3-10]");
}

#[test]
fn identifiers_of_an_earlier_connection_do_not_count_against_the_receive_maximum() {
    let mut bench = Bench::service(Version::V5, "pub:a");
    for id in 1..=RECEIVE_MAXIMUM {
        bench.publish("a", QoS::ExactlyOnce, id);
    }
    let (state, ..) = bench.session.into_remains();
    let mut back = Bench::resumed_service(Version::V5, "pub:a", state);
    back.publish("a", QoS::ExactlyOnce, 9);
    assert_eq!(back.session.ended(), None, "section 4.9: the quota begins anew");
}

#[test]
fn a_packet_that_the_client_does_not_take_goes_without_words_or_not_at_all() {
    let mut bench = Bench::service(Version::V5, "sub:a");
    bench.mail(queued(QoS::AtLeastOnce));
    let message = bench.sent().pop().unwrap();
    bench.session.handle_too_large(message);
    assert!(bench.sent().is_empty() && bench.session.wants_mail(), "[MQTT-3.1.2-25]");

    let worded = answers::ack(id(1), Answer::refused(ReasonCode::NotAuthorized, "unknown_key"));
    bench.session.handle_too_large(Packet::PubAck(worded.clone()));
    assert_eq!(bench.sent(), [Packet::PubAck(wordless(&worded))], "[MQTT-3.4.2-2]");
    bench.session.handle_too_large(Packet::PubAck(wordless(&worded)));
    assert!(bench.sent().is_empty());
}

#[test]
fn a_client_that_wants_no_problem_information_gets_codes_alone() {
    let grant = Grant::device("pump", i64::MAX).unwrap();
    let unwanted = |now| Terms { problem_information: ProblemInformation::Unwanted, ..terms(Version::V5, grant, now) };
    let mut bench = Bench::with(unwanted, SessionState::default());
    bench.publish("devices/other/telemetry", QoS::AtLeastOnce, 1);
    assert_eq!(bench.sent(), [Packet::PubAck(Ack::new(id(1), ReasonCode::NotAuthorized))]); // [MQTT-3.1.2-29]
}

#[test]
fn subscriptions_have_a_bound_and_one_that_is_known_may_change() {
    let mut bench = Bench::service(Version::V5, "sub:#");
    bench.packet(subscribe_packet(&["a", "b", "c", "a"], QoS::ExactlyOnce));
    let Some(Packet::SubAck(suback)) = bench.sent().pop() else { panic!("a SUBACK") };
    use ReasonCode::{GrantedQoS1, QuotaExceeded};
    assert_eq!(suback.codes, [GrantedQoS1, GrantedQoS1, QuotaExceeded, GrantedQoS1]); // [MQTT-3.8.4-6]
    let filters = ["a", "c"].map(|filter| Filter::new(filter).unwrap()).to_vec();
    bench.packet(Packet::Unsubscribe(Unsubscribe { packet_id: id(2), filters, user_properties: Vec::new() }));
    let Some(Packet::UnsubAck(unsuback)) = bench.sent().pop() else { panic!("an UNSUBACK") };
    assert_eq!(unsuback.codes, [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]); // [MQTT-3.11.3-1]
}

#[test]
fn what_connack_ruled_out_ends_the_connection() {
    let publish = || publish_packet("a", QoS::AtMostOnce, 0);
    let alias = Publish { topic_alias: NonZeroU16::new(1), ..publish() };
    let retained = Publish { retain: true, ..publish() };
    let Packet::Subscribe(subscribe) = subscribe_packet(&["a"], QoS::AtMostOnce) else { panic!("a SUBSCRIBE") };
    let with_id = Subscribe { subscription_id: crate::mqtt::packet::subscribe::SubscriptionId::new(1), ..subscribe };
    for (packet, code) in [
        (Packet::Publish(alias), ReasonCode::TopicAliasInvalid),
        (Packet::Publish(retained), ReasonCode::RetainNotSupported), // [MQTT-3.2.2-14]
        (Packet::Subscribe(with_id), ReasonCode::SubscriptionIdentifiersNotSupported),
        (Packet::PingResp, ReasonCode::ProtocolError),
    ] {
        let mut bench = Bench::service(Version::V5, "pub:a sub:a");
        bench.packet(packet);
        assert_eq!(bench.session.ended(), Some(Ended::PeerMisbehaved(code)));
        bench.packet(Packet::PingReq);
        assert!(bench.outputs().is_empty(), "nothing is handled after the end");
    }
}

#[test]
fn a_goodbye_takes_the_will_back_unless_it_says_otherwise() {
    let will = || Will {
        message: Message::plain(Topic::new("a").unwrap(), Bytes::new(), QoS::AtMostOnce),
        telemetry_of: None,
        delay: Duration::ZERO,
    };
    let left = |packet: Option<Packet>| {
        let grant = Grant::device("pump", i64::MAX).unwrap();
        let with_will = |now| Terms { will: Some(Box::new(will())), ..terms(Version::V5, grant, now) };
        let mut bench = Bench::with(with_will, SessionState::default());
        packet.map(|packet| bench.packet(packet).session.ended());
        bench.session.into_remains().2.is_some()
    };
    assert!(left(None));
    assert!(!left(Some(Packet::Disconnect(Disconnect::new(ReasonCode::Success))))); // [MQTT-3.14.4-3]
    assert!(left(Some(Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill)))));
    assert!(left(Some(Packet::PingResp)), "[MQTT-3.1.2-8]");
}

#[test]
fn a_goodbye_may_change_the_end_of_the_session_but_not_revive_it() {
    let goodbye = Disconnect { session_expiry_secs: Some(5), ..Disconnect::new(ReasonCode::Success) };
    let mut bench = Bench::device(Version::V5);
    bench.packet(Packet::Disconnect(goodbye.clone()));
    assert_eq!(bench.session.into_remains().1, Duration::from_secs(5));
    let mut bench = Bench::device(Version::V5);
    bench.packet(Packet::Disconnect(Disconnect { session_expiry_secs: Some(u32::MAX), ..goodbye.clone() }));
    assert_eq!(bench.session.into_remains().1, Duration::from_secs(1000));

    let grant = Grant::device("pump", i64::MAX).unwrap();
    let ends_at_once = |now| Terms { expiry: Duration::ZERO, ..terms(Version::V5, grant, now) };
    let mut bench = Bench::with(ends_at_once, SessionState::default());
    bench.packet(Packet::Disconnect(goodbye));
    assert_eq!(bench.session.ended(), Some(Ended::PeerMisbehaved(ReasonCode::ProtocolError))); // [MQTT-3.14.2-2]
}

#[test]
fn who_never_releases_fills_no_session() {
    let mut bench = Bench::service(Version::V311, "pub:a");
    for packet_id in 1..=1024 {
        bench.publish("a", QoS::ExactlyOnce, packet_id);
    }
    bench.publish("a", QoS::ExactlyOnce, 1);
    assert_eq!(bench.session.ended(), None, "the same again is no other");
    bench.publish("a", QoS::ExactlyOnce, 1025);
    assert_eq!(bench.session.ended(), Some(Ended::PeerMisbehaved(ReasonCode::QuotaExceeded)));
}
