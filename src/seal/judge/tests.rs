//! The order of the specification's table "Opening, in this order", and the limits on a device's clock.

use std::sync::Arc;

use sealgate_envelope::{Algorithm, Key, MasterKey, Message, TruncatedTag, frame_bytes, seal_frame};

use super::*;
use crate::seal::MasterKeys;
use crate::store::Device;

const TIME: TimePolicy =
    TimePolicy { future_tolerance: Duration::from_secs(300), age_max: Some(Duration::from_secs(3600)) };

const NOW_MS: i64 = 1_790_000_000_000;

#[test]
fn time_within_policy_is_judged_to_the_millisecond() {
    assert_eq!(TIME.check(Some(NOW_MS + 300_000), NOW_MS), None);
    assert_eq!(TIME.check(Some(NOW_MS + 300_001), NOW_MS), Some(Reason::Future));
    assert_eq!(TIME.check(Some(NOW_MS - 3_600_000), NOW_MS), None);
    assert_eq!(TIME.check(Some(NOW_MS - 3_600_001), NOW_MS), Some(Reason::Stale));
}

#[test]
fn without_a_clock_or_a_limit_nothing_is_stale() {
    assert_eq!(TIME.check(None, i64::MAX), None);
    let ageless = TimePolicy { age_max: None, ..TIME };
    assert_eq!(ageless.check(Some(0), i64::MAX), None);
}

#[test]
fn each_sender_is_held_to_its_own_times() {
    let judged = |fault, time| {
        let mut sender = sender(State::Enabled);
        sender.time = time;
        let policy = Policy { bytes_max: 1024, truncated_tag: TruncatedTag::Refuse };
        judge(&frame(&[fault]), Some(&sender), &policy, NOW_MS).map(drop).map_err(|refusal| refusal.reason)
    };
    let of_its_group = TimePolicy { future_tolerance: Duration::from_secs(301), age_max: None };
    for (fault, reason) in [(Stale, Reason::Stale), (Future, Reason::Future)] {
        assert_eq!((judged(fault, TIME), judged(fault, of_its_group)), (Err(reason), Ok(())));
    }
}

/// What can be wrong with a frame, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    TooLarge,
    Form,
    Crc,
    HeaderField,
    UnknownDevice,
    DeviceDisabled,
    UnknownKey,
    Seal,
    Future,
    Stale,
}

use Fault::{Crc, DeviceDisabled, Form, Future, HeaderField, Seal, Stale, TooLarge, UnknownDevice, UnknownKey};

const ORDER: [(Fault, Reason); 10] = [
    (TooLarge, Reason::TooLarge),
    (Form, Reason::Malformed),
    (Crc, Reason::Corrupt),
    (HeaderField, Reason::Malformed),
    (UnknownDevice, Reason::UnknownDevice),
    (DeviceDisabled, Reason::DeviceDisabled),
    (UnknownKey, Reason::UnknownKey),
    (Seal, Reason::BadSeal),
    (Future, Reason::Future),
    (Stale, Reason::Stale),
];

/// Nobody can be unknown and disabled, and nothing is early and late.
const EXCLUSIVE: [(Fault, Fault); 2] = [(UnknownDevice, DeviceDisabled), (Future, Stale)];

#[test]
fn a_frame_without_fault_is_genuine() {
    assert_eq!(judged(&[]), Ok(()));
}

#[test]
fn of_two_faults_the_one_that_comes_first_in_the_specification_is_told() {
    for (place, (first, reason)) in ORDER.iter().enumerate() {
        assert_eq!(judged(&[*first]), Err(*reason), "{first:?} alone");
        for (second, _) in &ORDER[place + 1..] {
            if !EXCLUSIVE.contains(&(*first, *second)) {
                assert_eq!(judged(&[*first, *second]), Err(*reason), "{first:?} and {second:?}");
            }
        }
    }
}

#[test]
fn all_faults_at_once_are_told_from_the_first_to_the_last() {
    for (place, (first, reason)) in ORDER.iter().enumerate() {
        let from_here: Vec<Fault> = ORDER[place..].iter().map(|(fault, _)| *fault).collect();
        assert_eq!(judged(&from_here), Err(*reason), "{first:?} and all that come after it");
    }
}

/// What is made of a frame with these faults and no other, as far as one does not bring another: a header that was changed after
/// sealing has no seal either.
fn judged(faults: &[Fault]) -> Result<(), Reason> {
    let has = |fault| faults.contains(&fault);
    let frame = frame(faults);
    let sender =
        (!has(UnknownDevice)).then(|| sender(if has(DeviceDisabled) { State::Disabled } else { State::Enabled }));
    let policy = Policy {
        bytes_max: if has(TooLarge) { frame.len() - 1 } else { frame.len() },
        truncated_tag: TruncatedTag::Refuse,
    };
    let judged = judge(&frame, sender.as_ref(), &policy, NOW_MS);
    if let Err(refusal) = &judged {
        let is_looked_up = matches!(refusal.reason, Reason::UnknownKey | Reason::Future | Reason::Stale);
        assert_eq!(refusal.unless_stored.is_some(), is_looked_up, "{faults:?}");
        assert_eq!(refusal.encoding, Some(Encoding::Frame), "{faults:?}");
    }
    judged.map(drop).map_err(|refusal| refusal.reason)
}

fn frame(faults: &[Fault]) -> Vec<u8> {
    let has = |fault| faults.contains(&fault);
    let time_ms = match (has(Future), has(Stale)) {
        (true, _) => NOW_MS + 300_001,
        (false, true) => NOW_MS - 3_600_001,
        (false, false) => NOW_MS,
    };
    let message = Message {
        algorithm: Algorithm::HmacSha256,
        key_version: if has(UnknownKey) { 9 } else { 1 },
        content_format: 110,
        counter: 1,
        time_ms: Some(time_ms),
        payload: b"[]",
    };
    let master = if has(Seal) { ANOTHER_MASTER } else { MASTER };
    let device = DEVICE.parse().unwrap();
    let key = Key::new(&MasterKey::from(master).device_key(&device));
    let mut frame = vec![0; frame_bytes(message.payload.len(), message.algorithm)];
    seal_frame(&mut frame, &message, &key, &device, Direction::FromDevice).unwrap();
    if has(Form) {
        frame[VERSION_AT] += 1;
    }
    if has(HeaderField) {
        frame[FLAGS_AT] = 1;
    }
    mend_crc(&mut frame);
    if has(Crc) {
        *frame.last_mut().unwrap() ^= 1;
    }
    frame
}

fn sender(state: State) -> Sender {
    let device = Device {
        row: 1,
        device_id: Arc::from(DEVICE),
        state,
        key_version_min: 1,
        group: None,
        issuer: None,
        created_at_ms: 0,
    };
    Sender::new(&device, TIME, &MasterKeys::of([(1, MASTER)])).unwrap()
}

/// As a forger would: over all else, CRC-32C (RFC 3720 appendix B.4), big-endian.
fn mend_crc(frame: &mut [u8]) {
    let (checked, crc) = frame.split_last_chunk_mut::<4>().unwrap();
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
    let sum = checked.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)));
    *crc = (!sum).to_be_bytes();
}

const DEVICE: &str = "plant-7.pump:12";
const MASTER: [u8; 32] = [1; 32];
const ANOTHER_MASTER: [u8; 32] = [2; 32];
const VERSION_AT: usize = 2;
const FLAGS_AT: usize = 5;
