//! The key that checkpoints are signed with, and the opening of what is stored.
//!
//! Both are for whoever proves what is in the database, long after it came: a version of the master key that has ended serves here too, and
//! neither time nor the state of a device counts.

use std::collections::HashMap;
use std::sync::Arc;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

use sealgate_envelope::{DeviceId, Direction, Key, Policy, Reason, Sealed, TruncatedTag};

use super::judge::{Genuine, seen_of};
use super::{MasterKeys, VersionState};
use crate::store::Seen;

/// Signs with ES256 (RFC 7518 section 3.4), and prints nothing of itself; `p256` wipes what it holds.
#[derive(Clone)]
pub struct ProofKey(SigningKey);

impl ProofKey {
    /// That of the first master key: whoever holds it can make another history.
    pub(super) fn of(scalar: &[u8; 32]) -> ProofKey {
        ProofKey(SigningKey::from_slice(scalar).expect("what is read or derived is looked at before"))
    }

    /// Whether a key can have this number.
    pub(super) fn fits(scalar: &[u8; 32]) -> bool {
        SigningKey::from_slice(scalar).is_ok()
    }

    /// Its number, of what `derive` makes.
    pub(super) fn scalar(derive: impl Fn(&[u8]) -> Zeroizing<[u8; 32]>) -> Zeroizing<[u8; 32]> {
        let tried = (0..=u8::MAX).map(|attempt| derive(&[b"sealgate/1 checkpoint ".as_slice(), &[attempt]].concat()));
        let found = tried.into_iter().find(|scalar| ProofKey::fits(scalar));
        found.expect("of 256 random numbers one is below the order of the curve")
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

    /// What an envelope says of itself, if the key that could prove it was destroyed; none: it was not.
    pub fn unprovable(&self, row: i64, bytes: &[u8]) -> Option<Seen> {
        let sealed = Sealed::parse(bytes, &POLICY).ok()?;
        let version = sealed.header().key_version;
        let is_destroyed = self.masters.versions().contains(&(version, VersionState::Destroyed));
        is_destroyed.then(|| seen_of(row, &sealed))
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
        let key = MasterKeys::of([(1, [7; 32])]).proof_key();
        let other = MasterKeys::of([(1, [8; 32])]).proof_key();
        let signature = key.sign(b"text");
        assert!(key.has_signed(b"text", &signature));
        assert!(!key.has_signed(b"texT", &signature) && !other.has_signed(b"text", &signature));
        assert!(!key.has_signed(b"text", &signature[1..]));
        assert_eq!(signature, MasterKeys::of([(1, [7; 32]), (2, [9; 32])]).proof_key().sign(b"text"));
    }
}
