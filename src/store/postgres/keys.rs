//! What others sealed, and the fingerprint of the key that they sealed it with.

use super::Postgres;
use super::audit::begin_as;
use crate::store::registry::AddError;
use crate::store::{Actor, Added, SealedSigningKey, StoreError};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgTransaction, Row as _};

impl Postgres {
    pub(in crate::store) async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        let sql = "SELECT kid, sealed, to_ms(created_at), to_ms(coalesce(signs_from, created_at)), to_ms(ends_at) FROM signing_key ORDER BY created_at, kid";
        let rows = sqlx::query(sql).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(signing_key).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn add_signing_key(
        &self,
        actor: &Actor,
        key: &SealedSigningKey,
    ) -> Result<(), AddError> {
        let sql = "INSERT INTO signing_key (kid, sealed, created_at, signs_from, ends_at)
            VALUES ($1, $2, from_ms($3), from_ms($4), from_ms($5))";
        let mut transaction = begin_as(&self.0.pool, actor).await.map_err(StoreError::from)?;
        insert(sql, key).execute(&mut *transaction).await.map_err(AddError::of)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    pub(in crate::store) async fn add_first_signing_key(
        &self,
        actor: &Actor,
        key: &SealedSigningKey,
    ) -> Result<Added, StoreError> {
        let mut transaction = begin_as(&self.0.pool, actor).await?;
        lock(&mut transaction).await?;
        let sql = "INSERT INTO signing_key (kid, sealed, created_at, signs_from, ends_at)
            SELECT $1, $2, from_ms($3), from_ms($4), from_ms($5)
            WHERE NOT EXISTS (SELECT FROM signing_key)";
        let inserted = insert(sql, key).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Added::of_rows(inserted.rows_affected()))
    }

    pub(in crate::store) async fn rotate_signing_key(
        &self,
        actor: &Actor,
        key: &SealedSigningKey,
        newest: &str,
        others_end_ms: i64,
    ) -> Result<Added, StoreError> {
        let mut transaction = begin_as(&self.0.pool, actor).await?;
        lock(&mut transaction).await?;
        let sql = "INSERT INTO signing_key (kid, sealed, created_at, signs_from, ends_at)
            SELECT $1, $2, from_ms($3), from_ms($4), from_ms($5)
            WHERE $6 = (SELECT kid FROM signing_key ORDER BY created_at DESC, kid DESC LIMIT 1)";
        let inserted = insert(sql, key).bind(newest).execute(&mut *transaction).await?;
        let added = Added::of_rows(inserted.rows_affected());
        if added == Added::Now {
            let sql = "UPDATE signing_key SET ends_at = least(ends_at, from_ms($1)) WHERE kid <> $2";
            sqlx::query(sql).bind(others_end_ms).bind(&key.kid).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(added)
    }

    pub(in crate::store) async fn remove_signing_keys(
        &self,
        actor: &Actor,
        ended_before_ms: i64,
    ) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM signing_key WHERE ends_at < from_ms($1)").bind(ended_before_ms);
        self.changed(actor, delete).await
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

/// Of two that look at once neither would see the other's: one waits here until the other is done.
async fn lock(transaction: &mut PgTransaction<'_>) -> sqlx::Result<()> {
    sqlx::query("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE").execute(&mut **transaction).await?;
    Ok(())
}

fn insert<'q>(sql: &'static str, key: &'q SealedSigningKey) -> Query<'q, sqlx::Postgres, PgArguments> {
    let query = sqlx::query(sql).bind(&key.kid).bind(&key.sealed[..]).bind(key.created_at_ms);
    query.bind(key.signs_from_ms).bind(key.ends_at_ms)
}

fn signing_key(row: &PgRow) -> sqlx::Result<SealedSigningKey> {
    Ok(SealedSigningKey {
        kid: row.try_get(0)?,
        sealed: row.try_get(1)?,
        created_at_ms: row.try_get(2)?,
        signs_from_ms: row.try_get(3)?,
        ends_at_ms: row.try_get(4)?,
    })
}
