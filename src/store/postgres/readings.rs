//! Readings, taken out page by page.

use super::Postgres;
use super::time::Time;
use crate::store::{ReadingPlace, Sender, StoreError, StoredReading};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A page of one device's readings. The bound on the time alone names the partitions that are read, and the index of each gives them in
/// order; words are looked up for the page and not for what is sorted.
pub(in crate::store) const PAGE: &str = "
    SELECT r.time, r.envelope, r.place, n.text, u.text, r.value, r.text, r.sum
    FROM (
        SELECT * FROM reading
        WHERE device = $1 AND time >= $2 AND time < $5 AND (time, envelope, place) > ($2, $3, $4)
        ORDER BY time, envelope, place LIMIT $6
    ) r
    JOIN label n ON n.id = r.name LEFT JOIN label u ON u.id = r.unit
    ORDER BY r.time, r.envelope, r.place";

impl Postgres {
    pub(in crate::store) async fn senders(&self, after: Option<&str>, limit: u32) -> Result<Vec<Sender>, StoreError> {
        let sql = "SELECT id, name FROM device_name WHERE name > $1 ORDER BY name LIMIT $2";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(sender).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn count_senders(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM device_name").fetch_one(&self.0.pool).await?;
        Ok(count.unsigned_abs())
    }

    pub(in crate::store) async fn sender(&self, device_id: &str) -> Result<Option<Sender>, StoreError> {
        let row = sqlx::query("SELECT id, name FROM device_name WHERE name = $1").bind(device_id);
        let row = row.fetch_optional(&self.0.pool).await?;
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
        let since = since_ms.map_or(Ok(Time::BEFORE_ALL), Time::of_ms)?;
        let until = until_ms.map_or(Ok(Time::AFTER_ALL), Time::of_ms)?;
        let first = ReadingPlace { time: since.micros(), envelope: i64::MIN, place: i16::MIN };
        let after = after.unwrap_or(first);
        let page = sqlx::query(PAGE).bind(sender.row).bind(Time::of_micros(after.time)).bind(after.envelope);
        let page = page.bind(after.place).bind(until).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        Ok(page.iter().map(reading).collect::<sqlx::Result<_>>()?)
    }
}

fn sender(row: &PgRow) -> sqlx::Result<Sender> {
    Ok(Sender { row: row.try_get::<i32, _>(0)?.into(), device_id: row.try_get(1)? })
}

fn reading(row: &PgRow) -> sqlx::Result<StoredReading> {
    let time: Time = row.try_get(0)?;
    Ok(StoredReading {
        place: ReadingPlace { time: time.micros(), envelope: row.try_get(1)?, place: row.try_get(2)? },
        time_ms: time.ms(),
        name: row.try_get(3)?,
        unit: row.try_get(4)?,
        value: row.try_get(5)?,
        text: row.try_get(6)?,
        sum: row.try_get(7)?,
    })
}
