//! Checkpoints, and what is opened again.

use super::Postgres;
use super::time::Time;
use crate::store::{Added, Audit, Checkpoint, MeasuredRow, Span, StoreError, StoredEnvelope, Uncovered};
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

const ENVELOPES: &str = "
    SELECT id, device::bigint, key_version::bigint, counter, device_time, received_at, encoding::bigint, content_format::bigint, bytes
    FROM envelope WHERE device BETWEEN $1 AND $2 AND received_at >= $3";

const READINGS: &str =
    "SELECT envelope, device::bigint, place::bigint, time, name::bigint, unit::bigint, value, text, sum
    FROM reading WHERE device BETWEEN $1 AND $2";

/// And whoever reads all of it takes the time that it takes.
const ONE_MOMENT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = 0";

impl Postgres {
    pub(in crate::store) async fn uncovered(&self, limit: u32) -> Result<Vec<Uncovered>, StoreError> {
        let sql = "SELECT id, leaves FROM uncovered ORDER BY id LIMIT $1";
        let rows = sqlx::query(sql).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        let batch = |row: &PgRow| Ok(Uncovered { id: row.try_get(0)?, leaves: row.try_get(1)? });
        Ok(rows.iter().map(batch).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn checkpoints(&self, after: i64, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        let sql = "SELECT number, statement, leaves, last_received_at, horizon FROM checkpoint
            WHERE number > $1 ORDER BY number LIMIT $2";
        let rows = sqlx::query(sql).bind(after).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(checkpoint).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let sql = "SELECT number, statement, NULL::bytea, last_received_at, horizon FROM checkpoint
            ORDER BY number DESC LIMIT 1";
        let row = sqlx::query(sql).fetch_optional(&self.0.pool).await?;
        Ok(row.as_ref().map(checkpoint).transpose()?)
    }

    pub(in crate::store) async fn add_checkpoint(&self, new: &Checkpoint, taken: &[i64]) -> Result<Added, StoreError> {
        let mut transaction = self.0.pool.begin().await?;
        let sql = "INSERT INTO checkpoint (number, statement, leaves, last_received_at, horizon)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(sql).bind(new.number).bind(&new.statement).bind(new.leaves.as_deref());
        let insert = insert.bind(new.last_received_at_ms).bind(new.horizon_ms);
        let added = insert.execute(&mut *transaction).await?.rows_affected();
        if added > 0 {
            let delete = sqlx::query("DELETE FROM uncovered WHERE id = ANY($1)").bind(taken);
            delete.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Added::of_rows(added))
    }

    pub(in crate::store) async fn horizon(&self) -> Result<i64, StoreError> {
        let sql = "SELECT number FROM meta WHERE key = 'horizon'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.pool).await?)
    }

    pub(in crate::store) async fn words(&self) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT id::bigint, text FROM label").fetch_all(&self.0.pool).await?)
    }

    pub(in crate::store) async fn sender_names(&self, span: Span) -> Result<Vec<(i64, String)>, StoreError> {
        let sql = "SELECT id::bigint, name FROM device_name WHERE id BETWEEN $1 AND $2";
        Ok(sqlx::query_as(sql).bind(span.first).bind(span.last).fetch_all(&self.0.pool).await?)
    }

    pub(in crate::store) async fn audit(
        &self,
        span: Span,
        since_ms: i64,
        audit: &mut dyn Audit,
    ) -> Result<(), StoreError> {
        // Numbers that no column holds are of nobody.
        let [first, last] = [span.first, span.last].map(|device| device.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
        let since = Time::of_ms(since_ms).unwrap_or(Time::BEFORE_ALL);
        let mut moment = self.0.pool.begin().await?;
        sqlx::raw_sql(ONE_MOMENT).execute(&mut *moment).await?;
        let mut envelopes = sqlx::query(ENVELOPES).bind(first).bind(last).bind(since).fetch(&mut *moment);
        while let Some(row) = envelopes.try_next().await? {
            audit.envelope(envelope(&row)?);
        }
        drop(envelopes);
        let mut readings = sqlx::query(READINGS).bind(first).bind(last).fetch(&mut *moment);
        while let Some(row) = readings.try_next().await? {
            audit.reading(measured(&row)?);
        }
        Ok(())
    }
}

fn checkpoint(row: &PgRow) -> sqlx::Result<Checkpoint> {
    Ok(Checkpoint {
        number: row.try_get(0)?,
        statement: row.try_get(1)?,
        leaves: row.try_get(2)?,
        last_received_at_ms: row.try_get(3)?,
        horizon_ms: row.try_get(4)?,
    })
}

fn envelope(row: &PgRow) -> sqlx::Result<StoredEnvelope> {
    let device_time: Option<Time> = row.try_get(4)?;
    Ok(StoredEnvelope {
        id: row.try_get(0)?,
        device: row.try_get(1)?,
        key_version: row.try_get(2)?,
        counter: row.try_get(3)?,
        device_time_ms: device_time.map(Time::ms),
        received_at_ms: row.try_get::<Time, _>(5)?.ms(),
        encoding: row.try_get(6)?,
        content_format: row.try_get(7)?,
        bytes: row.try_get(8)?,
    })
}

fn measured(row: &PgRow) -> sqlx::Result<MeasuredRow> {
    Ok(MeasuredRow {
        envelope: row.try_get(0)?,
        device: row.try_get(1)?,
        place: row.try_get(2)?,
        time_ms: row.try_get::<Time, _>(3)?.ms(),
        name: row.try_get(4)?,
        unit: row.try_get(5)?,
        value: row.try_get(6)?,
        text: row.try_get(7)?,
        sum: row.try_get(8)?,
    })
}
