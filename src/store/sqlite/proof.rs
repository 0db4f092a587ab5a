//! Checkpoints, and what is opened again.

use super::Sqlite;
use crate::store::{Added, Audit, Checkpoint, MeasuredRow, Span, StoreError, StoredEnvelope, Uncovered};
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// By way of `seen`, as the view has it: an envelope that it does not name is none.
const ENVELOPES: &str = "
    SELECT e.id, e.device, e.key_version, e.counter, e.device_time, e.received_at, e.encoding, e.content_format, e.bytes
    FROM seen s CROSS JOIN envelope e ON e.id = s.envelope
    WHERE s.device BETWEEN ? AND ? AND e.received_at >= ?
    AND e.device = s.device AND e.key_version = s.key_version AND e.counter = s.counter";

const READINGS: &str = "SELECT envelope, device, place, time, name, unit, value, text, sum FROM reading
    WHERE device BETWEEN ? AND ?";

impl Sqlite {
    pub(in crate::store) async fn uncovered(&self, limit: u32) -> Result<Vec<Uncovered>, StoreError> {
        let sql = "SELECT id, leaves FROM uncovered ORDER BY id LIMIT ?";
        let rows = sqlx::query(sql).bind(limit).fetch_all(&self.0.readers).await?;
        let batch = |row: &SqliteRow| Ok(Uncovered { id: row.try_get(0)?, leaves: row.try_get(1)? });
        Ok(rows.iter().map(batch).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn checkpoints(&self, after: i64, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        let sql = "SELECT number, statement, leaves, last_received_at, horizon FROM checkpoint
            WHERE number > ? ORDER BY number LIMIT ?";
        let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(checkpoint).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let sql =
            "SELECT number, statement, NULL, last_received_at, horizon FROM checkpoint ORDER BY number DESC LIMIT 1";
        let row = sqlx::query(sql).fetch_optional(&self.0.readers).await?;
        Ok(row.as_ref().map(checkpoint).transpose()?)
    }

    pub(in crate::store) async fn add_checkpoint(&self, new: &Checkpoint, taken: &[i64]) -> Result<Added, StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let done = async {
            let insert = sqlx::query("INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
            let insert = insert.bind(new.number).bind(&new.statement).bind(new.leaves.as_deref());
            let insert = insert.bind(new.last_received_at_ms).bind(new.horizon_ms);
            let added = insert.execute(&mut transaction.connection).await?.rows_affected();
            for batch in taken.iter().filter(|_| added > 0) {
                let delete = sqlx::query("DELETE FROM uncovered WHERE id = ?").bind(batch);
                delete.execute(&mut transaction.connection).await?;
            }
            Ok(Added::of_rows(added))
        }
        .await;
        Ok(transaction.end(done).await?)
    }

    pub(in crate::store) async fn horizon(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'horizon'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.readers).await?)
    }

    pub(in crate::store) async fn words(&self) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT id, text FROM label").fetch_all(&self.0.readers).await?)
    }

    pub(in crate::store) async fn sender_names(&self, span: Span) -> Result<Vec<(i64, String)>, StoreError> {
        let sql = "SELECT id, name FROM device_name WHERE id BETWEEN ? AND ?";
        Ok(sqlx::query_as(sql).bind(span.first).bind(span.last).fetch_all(&self.0.readers).await?)
    }

    pub(in crate::store) async fn audit(
        &self,
        span: Span,
        since_ms: i64,
        audit: &mut dyn Audit,
    ) -> Result<(), StoreError> {
        // One transaction is one moment.
        let mut moment = self.0.readers.begin().await?;
        let mut envelopes = sqlx::query(ENVELOPES).bind(span.first).bind(span.last).bind(since_ms).fetch(&mut *moment);
        while let Some(row) = envelopes.try_next().await? {
            audit.envelope(envelope(&row)?);
        }
        drop(envelopes);
        let mut readings = sqlx::query(READINGS).bind(span.first).bind(span.last).fetch(&mut *moment);
        while let Some(row) = readings.try_next().await? {
            audit.reading(measured(&row)?);
        }
        Ok(())
    }
}

fn checkpoint(row: &SqliteRow) -> sqlx::Result<Checkpoint> {
    Ok(Checkpoint {
        number: row.try_get(0)?,
        statement: row.try_get(1)?,
        leaves: row.try_get(2)?,
        last_received_at_ms: row.try_get(3)?,
        horizon_ms: row.try_get(4)?,
    })
}

fn envelope(row: &SqliteRow) -> sqlx::Result<StoredEnvelope> {
    Ok(StoredEnvelope {
        id: row.try_get(0)?,
        device: row.try_get(1)?,
        key_version: row.try_get(2)?,
        counter: row.try_get(3)?,
        device_time_ms: row.try_get(4)?,
        received_at_ms: row.try_get(5)?,
        encoding: row.try_get(6)?,
        content_format: row.try_get(7)?,
        bytes: row.try_get(8)?,
    })
}

fn measured(row: &SqliteRow) -> sqlx::Result<MeasuredRow> {
    Ok(MeasuredRow {
        envelope: row.try_get(0)?,
        device: row.try_get(1)?,
        place: row.try_get(2)?,
        time_ms: row.try_get(3)?,
        name: row.try_get(4)?,
        unit: row.try_get(5)?,
        value: row.try_get(6)?,
        text: row.try_get(7)?,
        sum: row.try_get(8)?,
    })
}
