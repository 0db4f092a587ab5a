//! What others sealed, and the fingerprint of the key that they sealed it with.

use super::Sqlite;
use crate::store::registry::AddError;
use crate::store::{Added, SealedSigningKey, StoreError};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

impl Sqlite {
    pub(in crate::store) async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        let sql = "SELECT kid, sealed, created_at FROM signing_key ORDER BY created_at, kid";
        let rows = sqlx::query(sql).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(signing_key).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn add_signing_key(&self, key: &SealedSigningKey) -> Result<(), AddError> {
        let sql = "INSERT INTO signing_key (kid, sealed, created_at) VALUES (?, ?, ?)";
        self.insert_signing_key(sql, key).await.map(|_| ()).map_err(AddError::of)
    }

    pub(in crate::store) async fn add_first_signing_key(&self, key: &SealedSigningKey) -> Result<Added, StoreError> {
        let sql = "INSERT INTO signing_key (kid, sealed, created_at) SELECT ?, ?, ?
            WHERE NOT EXISTS (SELECT 1 FROM signing_key)";
        Ok(self.insert_signing_key(sql, key).await?)
    }

    pub(in crate::store) async fn master_key_check(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'master_key_check'";
        let check: Option<Vec<u8>> = sqlx::query_scalar(sql).fetch_optional(&self.0.readers).await?;
        let bytes = |check: Vec<u8>| {
            check.try_into().map_err(|_| sqlx::Error::Decode("master_key_check has not 32 bytes".into()))
        };
        Ok(check.map(bytes).transpose()?)
    }

    pub(in crate::store) async fn set_master_key_check(&self, check: &[u8; 32]) -> Result<Added, StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let insert = sqlx::query("INSERT INTO meta (key, value) VALUES ('master_key_check', ?) ON CONFLICT DO NOTHING");
        let inserted = insert.bind(&check[..]).execute(&mut transaction.connection).await;
        let inserted = transaction.end(inserted).await?;
        Ok(Added::of_rows(inserted.rows_affected()))
    }

    async fn insert_signing_key(&self, sql: &'static str, key: &SealedSigningKey) -> sqlx::Result<Added> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let insert = sqlx::query(sql).bind(&key.kid).bind(&key.sealed[..]).bind(key.created_at_ms);
        let inserted = insert.execute(&mut transaction.connection).await;
        let inserted = transaction.end(inserted).await?;
        Ok(Added::of_rows(inserted.rows_affected()))
    }
}

fn signing_key(row: &SqliteRow) -> sqlx::Result<SealedSigningKey> {
    Ok(SealedSigningKey { kid: row.try_get(0)?, sealed: row.try_get(1)?, created_at_ms: row.try_get(2)? })
}
