//! What others sealed, and the fingerprint of the key that they sealed it with.

use super::Postgres;
use crate::store::registry::AddError;
use crate::store::{Added, SealedSigningKey, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

impl Postgres {
    pub(in crate::store) async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        let sql = "SELECT kid, sealed, to_ms(created_at) FROM signing_key ORDER BY created_at, kid";
        let rows = sqlx::query(sql).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(signing_key).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn add_signing_key(&self, key: &SealedSigningKey) -> Result<(), AddError> {
        let insert = sqlx::query("INSERT INTO signing_key (kid, sealed, created_at) VALUES ($1, $2, from_ms($3))");
        let insert = insert.bind(&key.kid).bind(&key.sealed[..]).bind(key.created_at_ms);
        insert.execute(&self.0.pool).await.map_err(AddError::of)?;
        Ok(())
    }

    pub(in crate::store) async fn add_first_signing_key(&self, key: &SealedSigningKey) -> Result<Added, StoreError> {
        let mut transaction = self.0.pool.begin().await?;
        // Of two that look at once neither would see the other's: one waits here until the other is done.
        sqlx::query("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
        let sql = "INSERT INTO signing_key (kid, sealed, created_at) SELECT $1, $2, from_ms($3)
            WHERE NOT EXISTS (SELECT FROM signing_key)";
        let insert = sqlx::query(sql).bind(&key.kid).bind(&key.sealed[..]).bind(key.created_at_ms);
        let inserted = insert.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Added::of_rows(inserted.rows_affected()))
    }

    pub(in crate::store) async fn master_key_check(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let sql = "SELECT bytes FROM meta WHERE key = 'master_key_check'";
        let check: Option<Vec<u8>> = sqlx::query_scalar(sql).fetch_optional(&self.0.pool).await?;
        let bytes = |check: Vec<u8>| {
            check.try_into().map_err(|_| sqlx::Error::Decode("master_key_check has not 32 bytes".into()))
        };
        Ok(check.map(bytes).transpose()?)
    }

    pub(in crate::store) async fn set_master_key_check(&self, check: &[u8; 32]) -> Result<Added, StoreError> {
        let sql = "INSERT INTO meta (key, bytes) VALUES ('master_key_check', $1) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql).bind(&check[..]).execute(&self.0.pool).await?;
        Ok(Added::of_rows(inserted.rows_affected()))
    }
}

fn signing_key(row: &PgRow) -> sqlx::Result<SealedSigningKey> {
    Ok(SealedSigningKey { kid: row.try_get(0)?, sealed: row.try_get(1)?, created_at_ms: row.try_get(2)? })
}
