//! The quarantine, looked through and cleared.

use super::Postgres;
use super::time::Time;
use crate::store::{Evidence, EvidenceFilter, StoreError};
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row as _};

impl Postgres {
    pub(in crate::store) async fn evidence(
        &self,
        which: &EvidenceFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Evidence>, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT id, device_id, to_ms(received_at), reason, encoding, length(bytes) FROM quarantine WHERE id > ",
        );
        query.push_bind(after);
        narrow(&mut query, which)?;
        query.push(" ORDER BY id LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(evidence).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn evidence_bytes(&self, ids: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        let sql = "SELECT id, bytes FROM quarantine WHERE id = ANY($1) ORDER BY id";
        Ok(sqlx::query_as(sql).bind(ids).fetch_all(&self.0.pool).await?)
    }

    pub(in crate::store) async fn delete_evidence(&self, ids: &[i64]) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM quarantine WHERE id = ANY($1)").bind(ids);
        Ok(delete.execute(&self.0.pool).await?.rows_affected())
    }

    pub(in crate::store) async fn last_evidence(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(max(id), 0) FROM quarantine";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.pool).await?)
    }
}

fn narrow(query: &mut QueryBuilder<sqlx::Postgres>, which: &EvidenceFilter) -> sqlx::Result<()> {
    if !which.ids.is_empty() {
        query.push(" AND id = ANY(").push_bind(which.ids.clone()).push(")");
    }
    if let Some(id_max) = which.id_max {
        query.push(" AND id <= ").push_bind(id_max);
    }
    if let Some(device_id) = &which.device_id {
        query.push(" AND device_id = ").push_bind(device_id.clone());
    }
    if let Some(reason) = &which.reason {
        query.push(" AND reason = ").push_bind(reason.clone());
    }
    if let Some(since_ms) = which.since_ms {
        query.push(" AND received_at >= ").push_bind(Time::of_ms(since_ms)?);
    }
    if let Some(until_ms) = which.until_ms {
        query.push(" AND received_at < ").push_bind(Time::of_ms(until_ms)?);
    }
    Ok(())
}

fn evidence(row: &PgRow) -> sqlx::Result<Evidence> {
    Ok(Evidence {
        id: row.try_get(0)?,
        device_id: row.try_get(1)?,
        received_at_ms: row.try_get(2)?,
        reason: row.try_get(3)?,
        encoding: row.try_get(4)?,
        len: u64::from(row.try_get::<i32, _>(5)?.unsigned_abs()),
    })
}
