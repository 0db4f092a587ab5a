//! Readings, taken out page by page.

use super::Sqlite;
use crate::store::{ReadingPlace, Sender, StoreError, StoredReading};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// A page of one device's readings. The table is its own index in this order.
pub(in crate::store) const PAGE: &str = "
    SELECT r.time, r.envelope, r.place, n.text, u.text, r.value, r.text, r.sum
    FROM reading r CROSS JOIN label n ON n.id = r.name LEFT JOIN label u ON u.id = r.unit
    WHERE r.device = ?1 AND (r.time, r.envelope, r.place) > (?2, ?3, ?4) AND r.time < ?5
    ORDER BY r.time, r.envelope, r.place LIMIT ?6";

impl Sqlite {
    pub(in crate::store) async fn senders(&self, after: Option<&str>, limit: u32) -> Result<Vec<Sender>, StoreError> {
        let sql = "SELECT id, name FROM device_name WHERE name > ? ORDER BY name LIMIT ?";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(limit).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(sender).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn count_senders(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM device_name").fetch_one(&self.0.readers).await?;
        Ok(count.unsigned_abs())
    }

    pub(in crate::store) async fn sender(&self, device_id: &str) -> Result<Option<Sender>, StoreError> {
        let row = sqlx::query("SELECT id, name FROM device_name WHERE name = ?").bind(device_id);
        let row = row.fetch_optional(&self.0.readers).await?;
        Ok(row.as_ref().map(sender).transpose()?)
    }

    pub(in crate::store) async fn readings(
        &self,
        sender: &Sender,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
        after: Option<ReadingPlace>,
        limit: u32,
    ) -> Result<Vec<StoredReading>, StoreError> {
        let first = ReadingPlace { time: since_ms.unwrap_or(i64::MIN), envelope: i64::MIN, place: i16::MIN };
        let after = after.unwrap_or(first);
        let page = sqlx::query(PAGE).bind(sender.row).bind(after.time).bind(after.envelope).bind(after.place);
        let page = page.bind(until_ms.unwrap_or(i64::MAX)).bind(limit).fetch_all(&self.0.readers).await?;
        Ok(page.iter().map(reading).collect::<sqlx::Result<_>>()?)
    }
}

fn sender(row: &SqliteRow) -> sqlx::Result<Sender> {
    Ok(Sender { row: row.try_get(0)?, device_id: row.try_get(1)? })
}

fn reading(row: &SqliteRow) -> sqlx::Result<StoredReading> {
    let time = row.try_get(0)?;
    Ok(StoredReading {
        place: ReadingPlace { time, envelope: row.try_get(1)?, place: row.try_get(2)? },
        time_ms: time,
        name: row.try_get(3)?,
        unit: row.try_get(4)?,
        value: row.try_get(5)?,
        text: row.try_get(6)?,
        sum: row.try_get(7)?,
    })
}
