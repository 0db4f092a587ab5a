//! What holds for every packet, and for every heap of bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::strategies::any_packet;
use super::*;

/// Decodes all of `bytes`, which come `chunk` by `chunk`.
fn decode_in_chunks(decoder: &mut Decoder, bytes: &[u8], chunk_bytes: usize) -> Result<Vec<Packet>, DecodeError> {
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for chunk in bytes.chunks(chunk_bytes) {
        buffer.extend_from_slice(chunk);
        while let Some(packet) = decoder.decode(&mut buffer)? {
            packets.push(packet);
        }
    }
    Ok(packets)
}

/// A change to some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Mutation::Set(place, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(place, bit)| Mutation::Flip(place, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Mutation::Insert(place, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match mutation {
        Mutation::Set(place, byte) => bytes[place.index(length)] = *byte,
        Mutation::Flip(place, bit) => bytes[place.index(length)] ^= 1 << bit,
        Mutation::Insert(place, byte) => bytes.insert(place.index(length), *byte),
        Mutation::Remove(place) => drop(bytes.remove(place.index(length))),
        Mutation::Truncate(place) => bytes.truncate(place.index(length)),
    }
    // The length is made right again half of the time, or most changes of length would end at the header.
    let is_short = bytes.len() > 2 && bytes.len() < 130;
    if is_short && matches!(mutation, Mutation::Insert(_, 0x80..) | Mutation::Remove(_)) {
        bytes[1] = bytes.len() as u8 - 2;
    }
}

fn any_version() -> impl Strategy<Value = Version> {
    select(vec![Version::V311, Version::V5])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_is_encoded_decodes_to_the_same((packet, sender, version) in any_packet()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(decode_one(decoder_for(&packet, sender, version), &bytes), Ok(packet));
    }

    #[test]
    fn a_packet_is_as_large_as_it_says((packet, _, version) in any_packet()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(packet.size(version), bytes.len());
        let mut out = BytesMut::new();
        let bytes_max = bytes.len() as u32;
        prop_assert!(encode_within(&packet, version, bytes_max - 1, &mut out).is_err()); // [MQTT-3.1.2-24]
        prop_assert!(out.is_empty());
        prop_assert_eq!(encode_within(&packet, version, bytes_max, &mut out), Ok(()));
        prop_assert_eq!(out, bytes);
    }

    #[test]
    fn chunks_make_no_difference(
        (packet, sender, version) in any_packet(),
        count in 1..4usize,
        chunk_bytes in 1..9usize,
    ) {
        let count = if matches!(packet, Packet::Connect(_)) { 1 } else { count };
        let bytes = encoded(&packet, version).repeat(count);
        let mut decoder = decoder_for(&packet, sender, version);
        prop_assert_eq!(decode_in_chunks(&mut decoder, &bytes, chunk_bytes), Ok(vec![packet; count]));
    }

    #[test]
    fn reading_what_is_needed_gives_the_packet((packet, sender, version) in any_packet()) {
        let bytes = encoded(&packet, version);
        let mut decoder = decoder_for(&packet, sender, version);
        let mut buffer = BytesMut::new();
        let mut read = 0;
        while read < bytes.len() {
            prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
            let needed = decoder.needed(&buffer);
            prop_assert!(needed > 0 && read + needed <= bytes.len());
            buffer.extend_from_slice(&bytes[read..read + needed]);
            read += needed;
        }
        prop_assert_eq!(decoder.needed(&buffer), 0);
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(packet)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200_000))]

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..64), version in any_version(), is_first in any::<bool>()) {
        let mut decoder = if is_first { Decoder::new(1 << 16) } else { decoder(Sender::Client, version) };
        let _ = decode_in_chunks(&mut decoder, &bytes, bytes.len().max(1));
        let _ = decode_in_chunks(&mut Decoder::of_server(version, 1 << 16), &bytes, bytes.len().max(1));
    }

    #[test]
    fn what_a_mutated_packet_decodes_to_is_a_packet(
        (packet, sender, version) in any_packet(),
        mutations in vec(mutation(), 1..4),
    ) {
        let mut bytes = encoded(&packet, version).to_vec();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        let mut decoder = decoder_for(&packet, sender, version);
        let Ok(Some(decoded)) = decoder.decode(&mut BytesMut::from(&bytes[..])) else { return Ok(()) };
        let version = decoder.version().expect("a packet was decoded");
        let again = decode_one(decoder_for(&decoded, sender, version), &encoded(&decoded, version));
        prop_assert_eq!(again, Ok(decoded));
    }
}
