//! What a receipt says, byte by byte, and that each note of a batch is told once.

use minicbor::Decoder;
use proptest::prelude::*;
use sealgate_envelope::{Direction, Policy, Sealed};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::ingest::notes::Name;
use crate::seal::{MasterKeys, Reason, TimePolicy, Verdict};
use crate::store::{Device, State};

const NOW_MS: i64 = 1_790_000_000_000;

fn note(device_id: &str, counter: Option<u64>, message: &[u8], verdict: Verdict) -> Note {
    let digest = *Sha256::digest(message).first_chunk().unwrap();
    let name = Name { device_id: device_id.into(), sender: None, counter, key_version: counter.map(|_| 1), digest };
    Note { name: Box::new(name), verdict }
}

fn cbor(notes: &[Note]) -> String {
    hex::encode(payload(&notes.iter().collect::<Vec<_>>()))
}

/// The bytes are what Python's cbor2 writes with `canonical=True`.
#[test]
fn a_payload_is_canonical_cbor() {
    assert_eq!(cbor(&[note("pump", Some(1), b"a", Verdict::Stored)]), "81830148ca978112ca1bbdca00");
    let all = [
        note("pump", Some(1), b"a", Verdict::Stored),
        note("pump", Some(23), b"b", Verdict::Duplicate),
        note("pump", Some(24), b"c", Verdict::Spooled),
        note("pump", None, b"d", Verdict::Rejected(Reason::Malformed)),
        note("pump", Some(1 << 32), b"e", Verdict::Rejected(Reason::UnknownKey)),
        note("pump", Some(i64::MAX as u64), b"", Verdict::Rejected(Reason::Replayed)),
    ];
    assert_eq!(
        cbor(&all),
        "86830148ca978112ca1bbdca008317483e23e8160039594a01831818482e7d2c03a9507ae20283f64818ac3e7343f0168903831b\
         0000000100000000483f79bb7b435b053208831b7fffffffffffffff48e3b0c44298fc1c140d"
    );
}

#[test]
fn the_longest_receipt_fits_into_one_packet_of_ethernet() {
    let longest = note("pump", Some(i64::MAX as u64), b"a", Verdict::Rejected(Reason::Replayed));
    let bytes = payload(&vec![&longest; NOTES_MAX]);
    assert_eq!(bytes.len(), 1282);
    assert_eq!(sender("pump", 1).seal_receipt(1, &bytes, NOW_MS).unwrap().len(), 1342);
}

/// Keys of versions 1 to 3, of which those from `key_version_min` on open.
fn sender(device_id: &str, key_version_min: u8) -> Arc<Sender> {
    let device = Device {
        row: 7,
        device_id: device_id.into(),
        state: State::Enabled,
        key_version_min,
        group: None,
        issuer: None,
        created_at_ms: 0,
    };
    let masters = MasterKeys::of((1..=3).map(|version| (version, [version; 32])));
    Arc::new(Sender::new(&device, TimePolicy::NONE, &masters).unwrap())
}

/// A line of a receipt: counter, digest, verdict.
type Line = (Option<u64>, Vec<u8>, u8);

/// The lines of a receipt that opens for this sender, and its key version.
fn opened(frame: &[u8], sender: &Sender) -> (u8, Vec<Line>) {
    let sealed = Sealed::parse(frame, &Policy::default()).unwrap();
    let header = *sealed.header();
    assert_eq!((header.content_format, header.time_ms), (Some(60), Some(NOW_MS)));
    let key = sender.key(header.key_version).unwrap();
    let payload = sealed.open(key, &sender.id, Direction::Receipt).unwrap();
    let mut cbor = Decoder::new(&payload);
    let lines = (0..cbor.array().unwrap().unwrap()).map(|_| line(&mut cbor)).collect();
    assert_eq!(cbor.position(), payload.len());
    (header.key_version, lines)
}

fn line(cbor: &mut Decoder<'_>) -> Line {
    assert_eq!(cbor.array().unwrap(), Some(3));
    let counter = cbor.decode().unwrap();
    (counter, cbor.bytes().unwrap().to_vec(), cbor.u8().unwrap())
}

/// What is told of a batch, by device id and key version, in the order in which it is told.
fn told(notes: Vec<Note>, key_version_min: u8) -> BTreeMap<(String, u8), Vec<Line>> {
    let mut told: BTreeMap<(String, u8), Vec<Line>> = BTreeMap::new();
    for due in by_device(notes) {
        let sender = sender(due.device_id(), key_version_min);
        let sealed = seal(&sender, &due.notes, NOW_MS);
        for (messages, frame) in &sealed {
            let (version, lines) = opened(frame, &sender);
            assert!(lines.len() == *messages && (1..=NOTES_MAX).contains(messages));
            told.entry((due.device_id().to_owned(), version)).or_default().extend(lines);
        }
    }
    told
}

/// Of one of two devices, under one of five key versions, of which three exist; with the code of its verdict.
type Sent = (bool, Option<u64>, [u8; 2], u8, u8);

fn any_sent() -> impl Strategy<Value = Sent> {
    (any::<bool>(), prop::option::of(1..=i64::MAX as u64), any::<[u8; 2]>(), 0..14_u8, 1..=5_u8)
}

fn note_of(sent: &Sent) -> Note {
    let (pump, counter, message, code, version) = sent;
    let device_id = if *pump { "pump" } else { "fan" };
    let mut note = note(device_id, *counter, message, Verdict::from_code(*code).unwrap());
    note.name.key_version = counter.map(|_| *version);
    note
}

proptest! {
    /// Each message once, to its device, in its order, under its own key or the newest.
    #[test]
    fn all_notes_of_a_batch_are_told(sent in prop::collection::vec(any_sent(), 0..300), key_version_min in 1..=3_u8) {
        let notes: Vec<Note> = sent.iter().map(note_of).collect();
        let mut expected: BTreeMap<(String, u8), Vec<Line>> = BTreeMap::new();
        for Note { name, verdict } in &notes {
            let version = name.key_version.filter(|version| (key_version_min..=3).contains(version)).unwrap_or(3);
            let lines = expected.entry((name.device_id.to_string(), version)).or_default();
            lines.push((name.counter, name.digest.to_vec(), verdict.code()));
        }
        prop_assert_eq!(told(notes, key_version_min), expected);
    }
}

#[test]
fn a_device_gets_one_receipt_for_a_batch_and_more_only_when_it_is_full() {
    for (notes, receipts) in [(1, 1), (NOTES_MAX, 1), (NOTES_MAX + 1, 2)] {
        let notes = vec![note("pump", Some(1), b"a", Verdict::Stored); notes];
        assert_eq!(seal(&sender("pump", 1), &notes, NOW_MS).len(), receipts);
    }
}

#[test]
fn without_a_key_nothing_is_told() {
    let notes = [note("pump", Some(1), b"a", Verdict::Rejected(Reason::UnknownKey))];
    assert!(seal(&sender("pump", 4), &notes, NOW_MS).is_empty());
}
