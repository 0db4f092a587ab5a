//! Tokens that were taken back, in their table.

use super::Sqlite;
use crate::store::{Actor, Added, RevokedToken, StoreError};

impl Sqlite {
    pub(in crate::store) async fn revoke_token(
        &self,
        actor: &Actor,
        token: &RevokedToken,
    ) -> Result<Added, StoreError> {
        let sql = "INSERT INTO revoked_tokens (jti, subject, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(sql).bind(&token.id).bind(&token.subject).bind(token.expires_at_ms);
        let inserted = self.0.changed(actor, insert).await?;
        Ok(Added::of_rows(inserted))
    }

    pub(in crate::store) async fn revoked_tokens(&self, now_ms: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT jti FROM revoked_tokens WHERE expires_at > ?";
        Ok(sqlx::query_scalar(sql).bind(now_ms).fetch_all(&self.0.readers).await?)
    }

    pub(in crate::store) async fn forget_revoked_tokens(&self, ended_before_ms: i64) -> Result<(), StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let delete = sqlx::query("DELETE FROM revoked_tokens WHERE expires_at < ?").bind(ended_before_ms);
        let deleted = delete.execute(&mut transaction.connection).await;
        transaction.end(deleted).await?;
        Ok(())
    }
}
