//! The key that checkpoints are signed with, and the opening of what is stored.
//!
//! Both are for whoever proves what is in the database, long after it came: a version of the master key that has ended serves here too, and
//! neither time nor the state of a device counts.

use std::collections::HashMap;
use std::sync::Arc;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey};
use sealgate_envelope::{DeviceId, Direction, Key, Policy, Reason, Sealed, TruncatedTag};

use super::MasterKeys;
use super::judge::{Genuine, seen_of};

/// Signs with ES256 (RFC 7518 section 3.4), and prints nothing of itself; `p256` wipes what it holds.
#[derive(Clone)]
pub struct ProofKey(SigningKey);

impl ProofKey {
    /// That of the first master key: whoever holds it can make another history.
    pub(super) fn of(masters: &MasterKeys) -> ProofKey {
        let tried =
            (0..=u8::MAX).map(|attempt| masters.derived(&[b"sealgate/1 checkpoint ".as_slice(), &[attempt]].concat()));
        let key = tried.filter_map(|scalar| SigningKey::from_slice(&*scalar).ok()).next();
        ProofKey(key.expect("of 256 random numbers one is below the order of the curve"))
    }

    /// The signature, 64 bytes.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(text);
        signature.to_bytes().to_vec()
    }

    /// Whether this key has signed the text.
    pub fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verifying_key().verify(text, &signature).is_ok())
    }
}

/// Opens what is stored.
pub struct Opener {
    masters: Arc<MasterKeys>,
    keys: HashMap<(i64, u8), Key>,
}

/// Keys that are held ready.
const KEYS_MAX: usize = 10_000;

/// Sizes and tags were judged when it came.
const POLICY: Policy = Policy { bytes_max: usize::MAX, truncated_tag: TruncatedTag::Allow };

impl Opener {
    /// With every version of the master key.
    pub fn new(masters: Arc<MasterKeys>) -> Opener {
        Opener { masters, keys: HashMap::new() }
    }

    /// Opens an envelope that the device of this row and name has sealed.
    pub fn open<'a>(&mut self, row: i64, device: &DeviceId, bytes: &'a [u8]) -> Result<Genuine<'a>, Reason> {
        let sealed = Sealed::parse(bytes, &POLICY)?;
        let header = *sealed.header();
        let key = self.key(row, device, header.key_version).ok_or(Reason::UnknownKey)?;
        let seen = seen_of(row, &sealed);
        let payload = sealed.open(key, device, Direction::FromDevice)?;
        Ok(Genuine { header, seen, payload })
    }

    fn key(&mut self, row: i64, device: &DeviceId, version: u8) -> Option<&Key> {
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&(row, version)) {
            self.keys.clear();
        }
        match self.keys.entry((row, version)) {
            std::collections::hash_map::Entry::Occupied(known) => Some(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                let key = self.masters.device_key(version, device)?;
                Some(place.insert(Key::new(&key)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_its_text_and_key() {
        let key = ProofKey::of(&MasterKeys::of([(1, [7; 32])]));
        let other = ProofKey::of(&MasterKeys::of([(1, [8; 32])]));
        let signature = key.sign(b"text");
        assert!(key.has_signed(b"text", &signature));
        assert!(!key.has_signed(b"texT", &signature) && !other.has_signed(b"text", &signature));
        assert!(!key.has_signed(b"text", &signature[1..]));
        assert_eq!(signature, ProofKey::of(&MasterKeys::of([(1, [7; 32]), (2, [9; 32])])).sign(b"text"));
    }
}
