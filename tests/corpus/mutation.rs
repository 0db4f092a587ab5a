//! Changes to bytes, as a fuzzer makes them: small ones, and pieces of one seed in another.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A change to some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    /// What stands from here on comes twice.
    Duplicate(Index),
    /// A byte becomes one that lengths are made of.
    Length(Index, u8),
    /// From here on it is another seed, from there on.
    Splice(Index, Index, Index),
}

/// Bytes that end lengths, continue them, and say much or nothing.
const LENGTHS: [u8; 10] = [0, 1, 2, 4, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF];

/// How long mutated bytes may get. More would make a case slow and find nothing new.
const BYTES_MAX: usize = 200_000;

/// One to four changes.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let mutation = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Mutation::Set(place, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(place, bit)| Mutation::Flip(place, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Mutation::Insert(place, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
        any::<Index>().prop_map(Mutation::Duplicate),
        (any::<Index>(), select(LENGTHS.to_vec())).prop_map(|(place, byte)| Mutation::Length(place, byte)),
        (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(at, seed, from)| Mutation::Splice(at, seed, from)),
    ];
    vec(mutation, 1..=4)
}

/// Carries changes out, with what else there is to splice from.
pub(crate) fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation], seeds: &[Vec<u8>]) {
    for mutation in mutations {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        match mutation {
            Mutation::Set(place, byte) | Mutation::Length(place, byte) => bytes[place.index(length)] = *byte,
            Mutation::Flip(place, bit) => bytes[place.index(length)] ^= 1 << bit,
            Mutation::Insert(place, byte) => bytes.insert(place.index(length), *byte),
            Mutation::Remove(place) => drop(bytes.remove(place.index(length))),
            Mutation::Truncate(place) => bytes.truncate(place.index(length)),
            Mutation::Duplicate(place) => bytes.extend_from_within(place.index(length)..),
            Mutation::Splice(at, seed, from) => {
                let other = &seeds[seed.index(seeds.len())];
                bytes.truncate(at.index(length));
                bytes.extend_from_slice(&other[from.index(other.len())..]);
            }
        }
        bytes.truncate(BYTES_MAX);
    }
}
