//! Which tokens are no longer good though their time is not over: each that was revoked (RFC 7009), and all of a key that somebody else may
//! have.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

/// Which token a login rests on: enough to know it again when it is taken back. Two of one mark would need a collision of SHA-256's first
/// 128 bits, and then one of them would end too early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenMark {
    token: [u8; 16],
    key: [u8; 16],
}

/// What is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    tokens: HashSet<[u8; 16]>,
    keys: HashSet<[u8; 16]>,
}

impl TokenMark {
    /// Of the issuer's identifier, the token's id and that of its key.
    pub fn new(issuer: &str, token_id: &str, key_id: &str) -> Self {
        TokenMark { token: mark(issuer, token_id), key: mark(issuer, key_id) }
    }
}

impl TakenBack {
    /// Tokens and keys of one issuer, by their ids.
    pub fn new(issuer: &str, tokens: &[String], keys: &[String]) -> Self {
        let marks = |ids: &[String]| ids.iter().map(|id| mark(issuer, id)).collect();
        TakenBack { tokens: marks(tokens), keys: marks(keys) }
    }

    /// Whether the token of this mark is no longer good.
    pub fn covers(&self, token: &TokenMark) -> bool {
        self.tokens.contains(&token.token) || self.keys.contains(&token.key)
    }

    /// Whether nothing is taken back.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.keys.is_empty()
    }
}

fn mark(issuer: &str, id: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest([issuer.as_bytes(), b"\0", id.as_bytes()].concat()).into();
    *hash.first_chunk().expect("32 bytes have a first 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_back_by_its_id_or_its_key_and_by_no_others() {
        let id = |id: &str| vec![id.to_owned()];
        let back = TakenBack::new("https://a.example", &id("t1"), &id("k1"));
        assert!(back.covers(&TokenMark::new("https://a.example", "t1", "k2")));
        assert!(back.covers(&TokenMark::new("https://a.example", "t2", "k1")));
        for other in
            [("https://a.example", "t2", "k2"), ("https://b.example", "t1", "k1"), ("https://a.example", "k1", "t1")]
        {
            assert!(!back.covers(&TokenMark::new(other.0, other.1, other.2)), "{other:?}");
        }
        assert!(!back.covers(&TokenMark::default()) && TakenBack::default().is_empty() && !back.is_empty());
    }
}
