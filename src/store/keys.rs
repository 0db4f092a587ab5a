//! What others sealed, and the fingerprint of the key that they sealed it with.

use super::{AddError, Engine, Store, StoreError};

/// A signing key as `auth` encrypted it; opaque here.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSigningKey {
    /// The `kid` of the tokens that it signs.
    pub kid: String,
    /// The encrypted key.
    pub sealed: Vec<u8>,
    /// When it was made, Unix ms.
    pub created_at_ms: i64,
    /// From when on it signs, Unix ms.
    pub signs_from_ms: i64,
    /// From when on what it signed is no longer believed, Unix ms; none: nothing is set.
    pub ends_at_ms: Option<i64>,
}

/// What came of a wish to keep something that must be there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was not there and is now.
    Now,
    /// One was there already and stays.
    AlreadyThere,
}

impl Added {
    /// By the number of rows that were inserted.
    pub(super) fn of_rows(rows: u64) -> Added {
        if rows == 0 { Added::AlreadyThere } else { Added::Now }
    }
}

impl Store {
    /// The keys that tokens are signed with, oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        ask!(&self.0, signing_keys())
    }

    /// Keeps one more signing key.
    pub async fn add_signing_key(&self, key: &SealedSigningKey) -> Result<(), AddError> {
        ask!(&self.0, add_signing_key(&self.1, key))
    }

    /// Keeps a signing key if there is none yet: of two processes that start at once, one key wins.
    pub async fn add_first_signing_key(&self, key: &SealedSigningKey) -> Result<Added, StoreError> {
        ask!(&self.0, add_first_signing_key(&self.1, key))
    }

    /// Keeps `key` after the one of the id `newest`, and has all others end at `others_end_ms`, or earlier if they do so already. Nothing
    /// is done if another key is the newest meanwhile: of two that rotate at once, one does.
    pub async fn rotate_signing_key(
        &self,
        key: &SealedSigningKey,
        newest: &str,
        others_end_ms: i64,
    ) -> Result<Added, StoreError> {
        ask!(&self.0, rotate_signing_key(&self.1, key, newest, others_end_ms))
    }

    /// Removes signing keys that ended before this; answers how many those were.
    pub async fn remove_signing_keys(&self, ended_before_ms: i64) -> Result<u64, StoreError> {
        ask!(&self.0, remove_signing_keys(&self.1, ended_before_ms))
    }

    /// The fingerprint of the master key that this database was made with.
    pub async fn master_key_check(&self) -> Result<Option<[u8; 32]>, StoreError> {
        ask!(&self.0, master_key_check())
    }

    /// Keeps the fingerprint of the master key if there is none yet; one that is there is never changed.
    pub async fn set_master_key_check(&self, check: &[u8; 32]) -> Result<Added, StoreError> {
        ask!(&self.0, set_master_key_check(check))
    }
}
