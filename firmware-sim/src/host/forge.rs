//! What the line, a forger or a broken device makes of an envelope, and what the specification says of *this* change.
//!
//! Each function changes bytes at places that it knows from how the envelope was written, and derives the reason from the place.
//! It does not ask a parser, least of all the one that the gateway uses. Where the place does not tell the reason, as in the
//! header of a COSE or JWS envelope, nothing is changed.

use std::ops::Range;

use crc::{CRC_32_ISCSI, Crc};
use fastrand::Rng;
use sealgate_envelope::Reason;

use super::fault::Expected;
use crate::seal::Encoding;

/// The offsets of a frame: its payload begins behind the header, and ends before tag and CRC.
const FRAME_PAYLOAD: usize = 24;
const FRAME_TAG: usize = 32;
const FRAME_CRC: usize = 4;
/// Magic, version and algorithm place the tag and the CRC; behind them the CRC covers all.
const FRAME_PLACES: usize = 4;
const FRAME_ALGORITHM: usize = 3;
/// A byte string of 32 bytes: `0x58 0x20`, then the tag.
const COSE_TAG: usize = 32;
const COSE_TAG_HEAD: usize = 2;

/// Flips one bit.
pub(super) fn flip_a_bit(envelope: &mut [u8], encoding: Encoding, payload_bytes: usize, rng: &mut Rng) -> Expected {
    let at = match encoding {
        Encoding::Frame => rng.usize(..envelope.len()),
        // The first byte says which encoding it is; no other first byte is one bit away.
        Encoding::Cose | Encoding::Jws if rng.u8(..8) == 0 => 0,
        Encoding::Cose | Encoding::Jws => place_under_the_seal(envelope, encoding, payload_bytes, rng),
    };
    let bit = match (encoding, at) {
        // The algorithm without its lowest bit is that of short tags, which an operator may allow.
        (Encoding::Frame, FRAME_ALGORITHM) => rng.u8(1..8),
        _ => rng.u8(..8),
    };
    envelope[at] ^= 1 << bit;
    Expected::Rejected(match encoding {
        Encoding::Frame if at < FRAME_PLACES => Reason::Malformed,
        Encoding::Frame => Reason::Corrupt,
        Encoding::Cose | Encoding::Jws if at == 0 => Reason::Malformed,
        Encoding::Jws if !is_base64url(envelope[at]) => Reason::Malformed,
        Encoding::Cose | Encoding::Jws => Reason::BadSeal,
    })
}

/// Changes the payload, and what anybody can mend without the key.
pub(super) fn forge_payload(envelope: &mut [u8], encoding: Encoding, payload_bytes: usize, rng: &mut Rng) -> Expected {
    let payload = payload_of(envelope, encoding, payload_bytes);
    let at = rng.usize(payload);
    envelope[at] = match encoding {
        Encoding::Frame | Encoding::Cose => envelope[at] ^ rng.u8(1..),
        Encoding::Jws => another_character(envelope[at], rng),
    };
    if encoding == Encoding::Frame {
        mend_crc(envelope);
    }
    Expected::Rejected(Reason::BadSeal)
}

/// Bytes that begin no encoding.
pub(super) fn garbage(rng: &mut Rng) -> (Vec<u8>, Expected) {
    let mut bytes: Vec<u8> = (0..rng.usize(1..300)).map(|_| rng.u8(..)).collect();
    while [0x53, 0xD1, 0x65].contains(&bytes[0]) {
        bytes[0] = rng.u8(..);
    }
    (bytes, Expected::Rejected(Reason::Malformed))
}

/// A token with another signature: the last part of a JWT (RFC 7515 section 7.1). Not its last character, some bits of which
/// mean nothing.
pub(super) fn tamper_with(token: &str, rng: &mut Rng) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let signature = token.rfind('.').map_or(0, |dot| dot + 1);
    if let Some(last) = bytes.len().checked_sub(1).filter(|last| *last > signature) {
        let at = rng.usize(signature..last);
        bytes[at] = another_character(bytes[at], rng);
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn place_under_the_seal(envelope: &[u8], encoding: Encoding, payload_bytes: usize, rng: &mut Rng) -> usize {
    let payload = payload_of(envelope, encoding, payload_bytes);
    let tag = match encoding {
        // Not the last character, some bits of which must be zero.
        Encoding::Jws => payload.end + 2..envelope.len() - 1,
        Encoding::Frame | Encoding::Cose => envelope.len() - COSE_TAG..envelope.len(),
    };
    let at = rng.usize(..payload.len() + tag.len());
    if at < payload.len() { payload.start + at } else { tag.start + at - payload.len() }
}

/// Where the payload lies; in a JWS without its last character, some bits of which must be zero.
fn payload_of(envelope: &[u8], encoding: Encoding, payload_bytes: usize) -> Range<usize> {
    match encoding {
        Encoding::Frame => FRAME_PAYLOAD..envelope.len() - FRAME_TAG - FRAME_CRC,
        Encoding::Cose => {
            let end = envelope.len() - COSE_TAG - COSE_TAG_HEAD;
            end - payload_bytes..end
        }
        Encoding::Jws => {
            let dots: Vec<usize> = (0..envelope.len()).filter(|at| envelope[*at] == b'.').collect();
            dots[0] + 1..dots[1] - 1
        }
    }
}

fn mend_crc(frame: &mut [u8]) {
    let (covered, crc) = frame.split_at_mut(frame.len() - FRAME_CRC);
    crc.copy_from_slice(&Crc::<u32>::new(&CRC_32_ISCSI).checksum(covered).to_be_bytes());
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn another_character(byte: u8, rng: &mut Rng) -> u8 {
    loop {
        let other = rng.u8(b'0'..=b'z');
        if other != byte && is_base64url(other) {
            return other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counter, Device, Slot};
    use sealgate_envelope::{DeviceKey, Direction, Key, Policy, Sealed};

    const PAYLOAD: &[u8] = br#"[{"n":"temperature","u":"Cel","v":21.5}]"#;

    fn key() -> Key {
        Key::new(&DeviceKey::from([7; 32]))
    }

    fn envelope(encoding: Encoding) -> Vec<u8> {
        let counter = Counter::at_boot(3).unwrap();
        let slots = vec![Slot::free(Vec::new())];
        let mut device = Device::with("pump".parse().unwrap(), key(), 1, counter, encoding, slots);
        device.seal_reading(Some(1_790_000_000_123), 110, PAYLOAD).unwrap();
        device.poll_publish().unwrap().bytes.to_vec()
    }

    /// What the envelope's own crate says, which no expectation is derived from.
    fn verdict(bytes: &[u8]) -> Result<(), Reason> {
        let sealed = Sealed::parse(bytes, &Policy::default())?;
        sealed.open(&key(), &"pump".parse().unwrap(), Direction::FromDevice).map(|_| ())
    }

    const ENCODINGS: [Encoding; 3] = [Encoding::Frame, Encoding::Cose, Encoding::Jws];

    #[test]
    fn what_is_expected_of_a_flipped_bit_is_what_the_specification_says() {
        let mut rng = Rng::with_seed(1);
        for encoding in ENCODINGS {
            let whole = envelope(encoding);
            assert_eq!(verdict(&whole), Ok(()));
            for _ in 0..20_000 {
                let mut flipped = whole.clone();
                let expected = flip_a_bit(&mut flipped, encoding, PAYLOAD.len(), &mut rng);
                let verdict = verdict(&flipped).map_or_else(Expected::Rejected, |()| Expected::Stored);
                assert_eq!(verdict, expected, "{encoding:?} {}", hex::encode(&flipped));
            }
        }
    }

    #[test]
    fn a_forged_payload_passes_every_check_but_the_seal() {
        let mut rng = Rng::with_seed(2);
        for encoding in ENCODINGS {
            for _ in 0..2_000 {
                let mut forged = envelope(encoding);
                assert_eq!(
                    forge_payload(&mut forged, encoding, PAYLOAD.len(), &mut rng),
                    Expected::Rejected(Reason::BadSeal)
                );
                assert_eq!(verdict(&forged), Err(Reason::BadSeal), "{encoding:?} {}", hex::encode(&forged));
            }
        }
    }

    #[test]
    fn garbage_is_malformed() {
        let mut rng = Rng::with_seed(3);
        for _ in 0..10_000 {
            let (bytes, expected) = garbage(&mut rng);
            assert_eq!(verdict(&bytes).map_err(Expected::Rejected), Err(expected));
        }
    }

    #[test]
    fn a_token_is_tampered_with_in_its_signature_alone() {
        let mut rng = Rng::with_seed(4);
        let tampered = tamper_with("eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl", &mut rng);
        assert!(tampered.starts_with("eyJhbGciOi.eyJzdWIi.") && tampered.ends_with('l'), "{tampered}");
        assert_ne!(tampered, "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl");
        assert_eq!(tamper_with("", &mut rng), "");
    }
}
