//! What a checkpoint says, and its signature: JWS compact serialization (RFC 7515) with ES256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::seal::ProofKey;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    /// Its place in the chain, from 1.
    pub(super) number: i64,
    /// SHA-256 of the checkpoint before, as it was signed, in hex; empty: it is the first.
    pub(super) previous: String,
    /// When it was made, Unix ms.
    pub(super) made_at: i64,
    /// How many leaves it has.
    pub(super) leaves: u64,
    /// The root of their tree, in hex.
    pub(super) root: String,
    /// The latest arrival among them, Unix ms; the least number there is: it has none.
    pub(super) last_received_at: i64,
    /// What arrived before this may have been dropped by retention, Unix ms.
    pub(super) horizon: i64,
}

/// `{"alg":"ES256","typ":"sealgate-checkpoint"}`
const HEADER: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6InNlYWxnYXRlLWNoZWNrcG9pbnQifQ";

impl Statement {
    /// The statement with its signature.
    pub(super) fn sign(&self, key: &ProofKey) -> String {
        let claims = serde_json::to_vec(self).expect("numbers and strings are JSON");
        let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What was signed with this key; nothing, if this was not.
    pub(super) fn read(text: &str, key: &ProofKey) -> Option<Statement> {
        let (signed, signature) = text.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let claims = signed.strip_prefix(HEADER)?.strip_prefix('.')?;
        if !key.has_signed(signed.as_bytes(), &signature) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The first 48 bits of the root, which a floating point number holds.
    pub(super) fn root_prefix(&self) -> i64 {
        self.root.get(..12).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0)
    }
}

/// What the next statement says of this one.
pub(super) fn hash_of(signed: &str) -> String {
    hex::encode(Sha256::digest(signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MasterKeys;

    #[test]
    fn a_statement_is_read_as_it_was_signed_and_by_its_key_alone() {
        let key = MasterKeys::of([(1, [7; 32])]).proof_key();
        let statement = Statement {
            number: 1,
            previous: String::new(),
            made_at: 5,
            leaves: 0,
            root: "00ff000000010000".to_owned(),
            last_received_at: i64::MIN,
            horizon: 0,
        };
        let signed = statement.sign(&key);
        assert_eq!(Statement::read(&signed, &key), Some(statement.clone()));
        assert_eq!(statement.root_prefix(), 0x00ff_0000_0001);
        assert_eq!(Statement::read(&signed, &MasterKeys::of([(1, [8; 32])]).proof_key()), None);
        for at in 0..signed.len() {
            let mut other = signed.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            // The last character has bits that no byte needs; a reader that lets them differ is not ours.
            assert_eq!(Statement::read(&other, &key), None, "{at}");
        }
    }
}
