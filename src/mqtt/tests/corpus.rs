//! The corpus of packets: each seed in each place where a packet can come, alone and between others, and what mutation makes of them.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::mqtt::corpus::{Mutation, Seed, mutate, mutations, seeds};
use crate::mqtt::decode::{REPEATS_MAX, SUBSCRIPTIONS_MAX};

/// A place in which bytes may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A client's first.
    First,
    /// A client's, after its CONNECT.
    Later(Version),
    OfServer(Version),
}

const PLACES: [Place; 5] = [
    Place::First,
    Place::Later(Version::V311),
    Place::Later(Version::V5),
    Place::OfServer(Version::V311),
    Place::OfServer(Version::V5),
];

/// More than any seed has, less than some have, and so little that most are too large.
const LIMITS: [u32; 3] = [PACKET_BYTES_MAX_HERE, 1_000, 16];

impl Place {
    fn decoder(self, packet_bytes_max: u32) -> Decoder {
        match self {
            Place::First => Decoder::new(packet_bytes_max),
            Place::OfServer(version) => Decoder::of_server(version, packet_bytes_max),
            Place::Later(version) => {
                let mut decoder = Decoder::new(packet_bytes_max);
                let connect = Connect::new(version, Text::default());
                let connect = decoder.decode(&mut encoded(&Packet::Connect(Box::new(connect)), version));
                assert!(matches!(connect, Ok(Some(_))), "the smallest CONNECT fits into each limit: {connect:?}");
                decoder
            }
        }
    }

    fn sender(self) -> Sender {
        if matches!(self, Place::OfServer(_)) { Sender::Server } else { Sender::Client }
    }

    fn named(name: &str) -> Place {
        match name {
            "first" => Place::First,
            "3.1.1" => Place::Later(Version::V311),
            "5.0" => Place::Later(Version::V5),
            "server 3.1.1" => Place::OfServer(Version::V311),
            "server 5.0" => Place::OfServer(Version::V5),
            other => panic!("there is no place {other}"),
        }
    }
}

/// How bytes arrive.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    AtOnce,
    ByTheByte,
    /// As many as the decoder says that it needs.
    AsNeeded,
}

/// What bytes are to a decoder.
#[derive(Debug, PartialEq)]
struct Outcome {
    packets: Vec<Packet>,
    error: Option<DecodeError>,
}

/// How many bytes of a long seed come one by one; the rest, which is payload, comes in larger pieces.
const SINGLE_BYTES: usize = 300;

impl Arrival {
    fn next(self, came: usize, needed: usize) -> usize {
        match self {
            Arrival::AtOnce => usize::MAX,
            Arrival::ByTheByte if came < SINGLE_BYTES => 1,
            Arrival::ByTheByte => 997,
            Arrival::AsNeeded => needed,
        }
    }
}

/// Decodes until the bytes are at an end, or wrong. Each packet is held against itself, and each wait against the limit.
fn outcome(place: Place, packet_bytes_max: u32, arrival: Arrival, bytes: &[u8]) -> Outcome {
    let mut decoder = place.decoder(packet_bytes_max);
    let (mut buffer, mut came) = (BytesMut::new(), 0);
    let mut outcome = Outcome { packets: Vec::new(), error: None };
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(packet)) => {
                holds(&packet, place.sender(), decoder.version().expect("a packet was decoded"));
                outcome.packets.push(packet);
            }
            Ok(None) => {
                let needed = decoder.needed(&buffer);
                assert!(needed > 0, "it waits for nothing");
                assert!(buffer.len() + needed <= packet_bytes_max as usize, "it waits for more than the limit");
                let rest = &bytes[came..];
                if rest.is_empty() {
                    return outcome;
                }
                let next = arrival.next(came, needed).min(rest.len());
                buffer.extend_from_slice(&rest[..next]);
                came += next;
            }
            Err(error) => {
                outcome.error = Some(error);
                return outcome;
            }
        }
    }
}

/// What was decoded is encoded to something that decodes to the same, and its lists keep to their bounds.
fn holds(packet: &Packet, sender: Sender, version: Version) {
    let again = decode_one(decoder_for(packet, sender, version), &encoded(packet, version));
    assert_eq!(again.as_ref(), Ok(packet));
    let (filters, repeats) = match packet {
        Packet::Subscribe(subscribe) => (subscribe.subscriptions.len(), subscribe.user_properties.len()),
        Packet::Unsubscribe(unsubscribe) => (unsubscribe.filters.len(), unsubscribe.user_properties.len()),
        Packet::Publish(publish) => (0, publish.properties.user_properties.len().max(publish.subscription_ids.len())),
        Packet::Connect(connect) => (0, connect.user_properties.len()),
        _ => (0, 0),
    };
    assert!(filters <= SUBSCRIPTIONS_MAX && repeats <= REPEATS_MAX, "{filters} filters, {repeats} properties");
}

/// The bytes mean the same however they arrive.
fn replay(place: Place, packet_bytes_max: u32, bytes: &[u8]) -> Outcome {
    let at_once = outcome(place, packet_bytes_max, Arrival::AtOnce, bytes);
    for arrival in [Arrival::ByTheByte, Arrival::AsNeeded] {
        assert_eq!(outcome(place, packet_bytes_max, arrival, bytes), at_once, "{arrival:?}");
    }
    at_once
}

/// What a seed says of itself, place by place.
fn verdicts(seed: &Seed) -> Vec<(Place, &str)> {
    let by_default: &[&str] = if seed.name.starts_with("connect.txt") { &["first"] } else { &["3.1.1", "5.0"] };
    let said = seed.expected.iter().flat_map(|line| line.split(", "));
    let verdicts = said.flat_map(|said| match said.rsplit_once(' ') {
        Some((place, verdict)) => vec![(Place::named(place), verdict)],
        None => by_default.iter().map(|place| (Place::named(place), said)).collect(),
    });
    verdicts.collect()
}

#[test]
fn each_seed_is_what_it_says() {
    let mut wrong = Vec::new();
    for seed in seeds("packets") {
        let verdicts = verdicts(&seed);
        assert!(!verdicts.is_empty(), "{} expects nothing", seed.name);
        for (place, verdict) in verdicts {
            let Outcome { packets, error } = outcome(place, PACKET_BYTES_MAX_HERE, Arrival::AtOnce, &seed.bytes());
            let is_so = match verdict {
                "taken" => !packets.is_empty() && error.is_none(),
                "refused" => error.is_some(),
                "waits" => packets.is_empty() && error.is_none(),
                other => panic!("{}: {other} is no verdict", seed.name),
            };
            if !is_so {
                wrong.push(format!(
                    "{} at {place:?} is not {verdict}: {} packets, {error:?}",
                    seed.name,
                    packets.len()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each of them, and a packet of a sequence as well, in each place, at each limit, alone and between two that are right.
#[test]
fn each_seed_is_read_or_refused_in_each_place() {
    for (seed, bytes) in bytes_of_seeds() {
        for (place, limit) in PLACES.into_iter().flat_map(|place| LIMITS.map(|limit| (place, limit))) {
            let alone = replay(place, limit, &bytes);
            let Place::Later(version) = place else { continue };
            let ping = encoded(&Packet::PingReq, version);
            let between = replay(place, limit, &[&ping[..], &bytes, &ping].concat());
            assert_eq!(between.packets[0], Packet::PingReq);
            assert!(between.packets[1..].starts_with(&alone.packets), "{seed}");
            assert!(alone.error.is_none() || between.error == alone.error, "{seed}");
        }
    }
}

/// The seeds of packets, and the packets of sequences one by one.
fn bytes_of_seeds() -> Vec<(String, Vec<u8>)> {
    let packets = seeds("packets").into_iter().map(|seed| (seed.name.clone(), seed.bytes()));
    let of_sequence = |seed: Seed| {
        let packets = seed.lines.iter().filter_map(|line| crate::mqtt::corpus::bytes(line));
        packets.map(|bytes| (seed.name.clone(), bytes)).collect::<Vec<_>>()
    };
    packets.chain(seeds("sequences").into_iter().flat_map(of_sequence)).collect()
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = bytes_of_seeds().into_iter().map(|(_, bytes)| bytes).collect();
    let all = seeds.clone();
    (select(seeds), mutations()).prop_map(move |(mut bytes, changes): (Vec<u8>, Vec<Mutation>)| {
        mutate(&mut bytes, &changes, &all);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn a_mutated_seed_is_read_or_refused(
        bytes in mutated(),
        place in select(PLACES.to_vec()),
        packet_bytes_max in select(LIMITS.to_vec()),
    ) {
        replay(place, packet_bytes_max, &bytes);
    }
}
