//! How far each gateway's spool is drained: a row in `meta`, written by the transaction that drains.

use super::Postgres;
use super::writer::Transaction;
use crate::store::sqlite::spool::SpoolId;
use crate::store::{CommitError, Entry, Mark, Outcome, StoreError};

impl Postgres {
    pub(in crate::store) async fn spool_mark(&self, spool: SpoolId) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT number FROM meta WHERE key = $1";
        Ok(sqlx::query_scalar(sql).bind(key(spool)).fetch_optional(&self.0.pool).await?)
    }

    pub(in crate::store) async fn add_spool_mark(&self, spool: SpoolId) -> Result<bool, StoreError> {
        let sql = "INSERT INTO meta (key, number) VALUES ($1, 0) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(key(spool)).execute(&self.0.pool).await?;
        Ok(true)
    }

    pub(in crate::store) async fn commit_from_spool(
        &self,
        batch: &[Entry],
        drained: Mark,
    ) -> Result<Vec<Outcome>, CommitError> {
        self.commit_with(self.0.bounds, batch, Some(drained)).await
    }
}

/// Notes in a transaction how far a spool is drained with it.
pub(super) async fn note(transaction: &mut Transaction<'_>, drained: Option<Mark>) -> sqlx::Result<()> {
    let Some(Mark { spool, through }) = drained else { return Ok(()) };
    let sql = "INSERT INTO meta (key, number) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET number = excluded.number";
    sqlx::query(sql).bind(key(spool)).bind(through).execute(transaction.connection()).await?;
    Ok(())
}

fn key(SpoolId(id): SpoolId) -> String {
    format!("spool {}", hex::encode(id))
}
