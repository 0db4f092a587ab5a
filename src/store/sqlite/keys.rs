//! What others sealed, and the fingerprint of the key that they sealed it with.

use super::Sqlite;
use super::audit::begin_as;
use super::writer::Transaction;
use crate::store::registry::AddError;
use crate::store::{Actor, Added, SealedSigningKey, StoreError};
use sqlx::Row;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

impl Sqlite {
    pub(in crate::store) async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        let sql = "SELECT kid, sealed, created_at, coalesce(signs_from, created_at), ends_at FROM signing_key ORDER BY created_at, kid";
        let rows = sqlx::query(sql).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(signing_key).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn add_signing_key(
        &self,
        actor: &Actor,
        key: &SealedSigningKey,
    ) -> Result<(), AddError> {
        let sql = "INSERT INTO signing_key (kid, sealed, created_at, signs_from, ends_at) VALUES (?, ?, ?, ?, ?)";
        self.insert_signing_key(actor, sql, key).await.map(|_| ()).map_err(AddError::of)
    }

    pub(in crate::store) async fn add_first_signing_key(
        &self,
        actor: &Actor,
        key: &SealedSigningKey,
    ) -> Result<Added, StoreError> {
        let sql = "INSERT INTO signing_key (kid, sealed, created_at, signs_from, ends_at) SELECT ?, ?, ?, ?, ?
            WHERE NOT EXISTS (SELECT 1 FROM signing_key)";
        Ok(self.insert_signing_key(actor, sql, key).await?)
    }

    pub(in crate::store) async fn rotate_signing_key(
        &self,
        actor: &Actor,
        key: &SealedSigningKey,
        newest: &str,
        others_end_ms: i64,
    ) -> Result<Added, StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await?;
        let rotated = rotate(&mut transaction, key, newest, others_end_ms).await;
        Ok(transaction.end(rotated).await?)
    }

    pub(in crate::store) async fn remove_signing_keys(
        &self,
        actor: &Actor,
        ended_before_ms: i64,
    ) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM signing_key WHERE ends_at < ?").bind(ended_before_ms);
        self.0.changed(actor, delete).await
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

    async fn insert_signing_key(
        &self,
        actor: &Actor,
        sql: &'static str,
        key: &SealedSigningKey,
    ) -> sqlx::Result<Added> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await?;
        let inserted = insert(sql, key).execute(&mut transaction.connection).await;
        let inserted = transaction.end(inserted).await?;
        Ok(Added::of_rows(inserted.rows_affected()))
    }
}

async fn rotate(
    transaction: &mut Transaction<'_>,
    key: &SealedSigningKey,
    newest: &str,
    others_end_ms: i64,
) -> sqlx::Result<Added> {
    let sql = "INSERT INTO signing_key (kid, sealed, created_at, signs_from, ends_at) SELECT ?, ?, ?, ?, ?
        WHERE ? = (SELECT kid FROM signing_key ORDER BY created_at DESC, kid DESC LIMIT 1)";
    let inserted = insert(sql, key).bind(newest).execute(&mut transaction.connection).await?;
    let added = Added::of_rows(inserted.rows_affected());
    if added == Added::Now {
        let sql = "UPDATE signing_key SET ends_at = min(coalesce(ends_at, ?1), ?1) WHERE kid <> ?2";
        sqlx::query(sql).bind(others_end_ms).bind(&key.kid).execute(&mut transaction.connection).await?;
    }
    Ok(added)
}

fn insert<'q>(sql: &'static str, key: &'q SealedSigningKey) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
    let query = sqlx::query(sql).bind(&key.kid).bind(&key.sealed[..]).bind(key.created_at_ms);
    query.bind(key.signs_from_ms).bind(key.ends_at_ms)
}

fn signing_key(row: &SqliteRow) -> sqlx::Result<SealedSigningKey> {
    Ok(SealedSigningKey {
        kid: row.try_get(0)?,
        sealed: row.try_get(1)?,
        created_at_ms: row.try_get(2)?,
        signs_from_ms: row.try_get(3)?,
        ends_at_ms: row.try_get(4)?,
    })
}
