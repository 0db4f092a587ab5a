//! Sequences of packets, receipts, mail and time, of the corpus and at random: the session does what the model foretells, step by step.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::bench::*;
use super::model::Fate;
use super::run::{Run, Step};
use super::*;
use crate::mqtt::Auth;
use crate::mqtt::corpus::{Mutation, Seed, bytes, mutate, mutations, seeds};

/// The steps of a seed, as `tests/corpus/README.md` has them.
fn steps(seed: &Seed) -> Vec<Step> {
    seed.lines.iter().map(|line| step(line).unwrap_or_else(|| panic!("{}: {line}", seed.name))).collect()
}

fn step(line: &str) -> Option<Step> {
    let words: Vec<&str> = line.split(' ').collect();
    Some(match words[..] {
        ["settle", place, "stored"] => Step::Settle(place.parse().ok()?, Fate::Stored),
        ["settle", place, "rejected"] => Step::Settle(place.parse().ok()?, Fate::Rejected),
        ["settle", place, "lost"] => Step::Settle(place.parse().ok()?, Fate::Lost),
        ["mail", qos] => Step::Mail(QoS::from_u8(qos.parse().ok()?)?),
        ["wait", secs] => Step::Wait(Duration::from_secs(secs.parse().ok()?)),
        ["resume", version] => Step::Resume(named(version)),
        _ => Step::Bytes(bytes(line)?),
    })
}

fn named(version: &str) -> Version {
    match version {
        "3.1.1" => Version::V311,
        "5.0" => Version::V5,
        other => panic!("there is no version {other}"),
    }
}

#[test]
fn each_seed_ends_as_it_says() {
    for seed in seeds("sequences") {
        let steps = steps(&seed);
        assert!(!seed.expected.is_empty(), "{} expects nothing", seed.name);
        for expected in &seed.expected {
            let (version, end) = expected.split_once(' ').expect("a version and an end");
            let run = Run::all(named(version), &steps);
            let ended = run.ended().map_or("open".to_owned(), |ended| format!("{ended:?}"));
            assert_eq!(ended, end, "{}", seed.name);
            run.settle_all();
        }
        for version in VERSIONS {
            Run::all(version, &steps).settle_all();
        }
    }
}

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

const TOPICS: [&str; 6] = [
    "devices/pump/telemetry",
    "devices/pump/telemetry/fast",
    "devices/pump/answers",
    "devices/other/telemetry",
    "devices/pump/commands/stop",
    "a/b/c/d/e/f/g/h/i",
];

const FILTERS: [&str; 7] = [
    "devices/pump/commands/#",
    "devices/pump/commands/a",
    "devices/pump/commands/+",
    "devices/pump/receipts",
    "#",
    "$share/g/devices/pump/commands/a",
    "a/b/c/d/e/f/g/h/i",
];

fn any_qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

/// Few, so that they come again.
fn any_id() -> impl Strategy<Value = NonZeroU16> {
    (1..=5u16).prop_map(id)
}

fn any_publish() -> impl Strategy<Value = Packet> {
    let rarely = || prop::bool::weighted(0.01);
    (select(TOPICS.to_vec()), any_qos(), any_id(), any::<bool>(), rarely(), rarely()).prop_map(
        |(topic, qos, id, dup, retain, has_alias)| {
            let has_id = qos != QoS::AtMostOnce;
            let plain = publish_packet(topic, qos, if has_id { id.get() } else { 0 });
            let topic_alias = has_alias.then_some(id);
            Packet::Publish(Publish { dup: dup && has_id, retain, topic_alias, ..plain })
        },
    )
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let ack = || any_id().prop_map(|id| Ack::new(id, ReasonCode::Success));
    let filters = || vec(select(FILTERS.to_vec()), 1..4);
    let unsubscribe = |filters: Vec<&str>| Unsubscribe {
        packet_id: id(8),
        filters: filters.into_iter().map(|filter| Filter::new(filter).unwrap()).collect(),
        user_properties: Vec::new(),
    };
    let auth = Auth {
        code: ReasonCode::ReAuthenticate,
        authentication: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    prop_oneof![
        60 => any_publish(),
        8 => ack().prop_map(Packet::PubAck),
        2 => ack().prop_map(Packet::PubRec),
        12 => ack().prop_map(Packet::PubRel),
        2 => ack().prop_map(Packet::PubComp),
        8 => (filters(), any_qos()).prop_map(|(filters, qos)| subscribe_packet(&filters, qos)),
        4 => filters().prop_map(move |filters| Packet::Unsubscribe(unsubscribe(filters))),
        4 => Just(Packet::PingReq),
        1 => select(vec![ReasonCode::Success, ReasonCode::DisconnectWithWill])
            .prop_map(|code| Packet::Disconnect(Disconnect::new(code))),
        1 => select(vec![Packet::PingResp, Packet::Auth(auth)]),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![20 => Just(Fate::Stored), 5 => Just(Fate::Rejected), 1 => Just(Fate::Lost)];
    prop_oneof![
        60 => any_packet().prop_map(Step::Packet),
        30 => (0..8usize, fate).prop_map(|(place, fate)| Step::Settle(place, fate)),
        10 => any_qos().prop_map(|qos| Step::Mail(qos.min(QoS::AtLeastOnce))),
        6 => (0..40u64).prop_map(|secs| Step::Wait(Duration::from_secs(secs))),
        3 => select(VERSIONS.to_vec()).prop_map(Step::Resume),
    ]
}

/// A change to a sequence.
#[derive(Clone, Debug)]
enum Change {
    Remove(Index),
    Repeat(Index, usize),
    Swap(Index, Index),
    Insert(Index, Step),
    /// From here on it is another seed, from there on.
    Splice(Index, Index, Index),
    /// A change to the bytes of a packet.
    Bytes(Index, Vec<Mutation>),
}

fn any_change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        place().prop_map(Change::Remove),
        (place(), 1..6usize).prop_map(|(place, count)| Change::Repeat(place, count)),
        (place(), place()).prop_map(|(one, other)| Change::Swap(one, other)),
        (place(), any_step()).prop_map(|(place, step)| Change::Insert(place, step)),
        (place(), place(), place()).prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
        (place(), mutations()).prop_map(|(place, mutations)| Change::Bytes(place, mutations)),
    ]
}

fn change(steps: &mut Vec<Step>, change: &Change, seeds: &[Vec<Step>]) {
    let length = steps.len();
    if length == 0 {
        return;
    }
    match change {
        Change::Remove(place) => drop(steps.remove(place.index(length))),
        Change::Swap(one, other) => steps.swap(one.index(length), other.index(length)),
        Change::Insert(place, step) => steps.insert(place.index(length), step.clone()),
        Change::Repeat(place, count) => {
            let again = vec![steps[place.index(length)].clone(); *count];
            let at = place.index(length);
            steps.splice(at..at, again);
        }
        Change::Splice(at, seed, from) => {
            let other = &seeds[seed.index(seeds.len())];
            steps.truncate(at.index(length));
            steps.extend_from_slice(&other[from.index(other.len())..]);
        }
        Change::Bytes(place, mutations) => {
            if let Step::Bytes(bytes) = &mut steps[place.index(length)] {
                let all = [bytes.clone()];
                mutate(bytes, mutations, &all);
            }
        }
    }
}

fn changed() -> impl Strategy<Value = Vec<Step>> {
    let seeds: Vec<Vec<Step>> = seeds("sequences").iter().map(steps).collect();
    let all = seeds.clone();
    (select(seeds), vec(any_change(), 1..8)).prop_map(move |(mut steps, changes)| {
        changes.iter().for_each(|one| change(&mut steps, one, &all));
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_session_does_what_the_model_foretells(
        version in select(VERSIONS.to_vec()),
        steps in vec(any_step(), 1..80),
    ) {
        Run::all(version, &steps).settle_all();
    }

    #[test]
    fn a_mutated_sequence_goes_as_the_model_foretells(version in select(VERSIONS.to_vec()), steps in changed()) {
        Run::all(version, &steps).settle_all();
    }
}
