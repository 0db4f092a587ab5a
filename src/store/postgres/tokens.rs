//! Tokens that were taken back, in their table.

use super::Postgres;
use crate::store::{Actor, Added, RevokedToken, StoreError};

impl Postgres {
    pub(in crate::store) async fn revoke_token(
        &self,
        actor: &Actor,
        token: &RevokedToken,
    ) -> Result<Added, StoreError> {
        let sql =
            "INSERT INTO revoked_tokens (jti, subject, expires_at) VALUES ($1, $2, from_ms($3)) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(sql).bind(&token.id).bind(&token.subject).bind(token.expires_at_ms);
        Ok(Added::of_rows(self.changed(actor, insert).await?))
    }

    pub(in crate::store) async fn revoked_tokens(&self, now_ms: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT jti FROM revoked_tokens WHERE expires_at > from_ms($1)";
        Ok(sqlx::query_scalar(sql).bind(now_ms).fetch_all(&self.0.pool).await?)
    }

    pub(in crate::store) async fn forget_revoked_tokens(&self, ended_before_ms: i64) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM revoked_tokens WHERE expires_at < from_ms($1)").bind(ended_before_ms);
        delete.execute(&self.0.pool).await?;
        Ok(())
    }
}
