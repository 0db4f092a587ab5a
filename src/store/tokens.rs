//! Access tokens that were taken back before their end.

use super::{Added, Engine, Store, StoreError};

/// A token that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedToken {
    /// Its `jti`.
    pub id: String,
    /// Its `sub`.
    pub subject: String,
    /// When it would end by itself, Unix ms.
    pub expires_at_ms: i64,
}

impl Store {
    /// Grows with each change of what tokens rest on: the keys that sign them, and which of them were taken back.
    pub async fn identity_version(&self) -> Result<i64, StoreError> {
        ask!(&self.0, identity_version())
    }

    /// Takes a token back.
    pub async fn revoke_token(&self, token: &RevokedToken) -> Result<Added, StoreError> {
        ask!(&self.0, revoke_token(&self.1, token))
    }

    /// The ids of the tokens that were taken back and would be good now.
    pub async fn revoked_tokens(&self, now_ms: i64) -> Result<Vec<String>, StoreError> {
        ask!(&self.0, revoked_tokens(now_ms))
    }

    /// Forgets tokens that ended before this.
    pub async fn forget_revoked_tokens(&self, ended_before_ms: i64) -> Result<(), StoreError> {
        ask!(&self.0, forget_revoked_tokens(ended_before_ms))
    }
}
