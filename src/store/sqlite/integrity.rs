//! What was refused, by device.

use super::Sqlite;
use crate::store::integrity::{Integrity, Row};
use crate::store::{Period, StoreError};
use sqlx::sqlite::SqliteConnection;

/// There is no index by arrival, but envelopes are numbered as they arrive: accepted is what `seen` has of a device from a number on.
const WORST: &str = "
    WITH worst AS (SELECT device_id, min(hour) AS first, max(hour) AS last,
            coalesce(sum(messages) FILTER (WHERE hour >= ?2), 0) AS refused,
            coalesce(sum(messages) FILTER (WHERE hour >= ?2 AND reason = 'corrupt'), 0) AS damaged,
            coalesce(sum(messages) FILTER (WHERE hour >= ?2 AND reason = 'bad_seal'), 0) AS forged,
            coalesce(sum(messages) FILTER (WHERE hour < ?2), 0) AS refused_before,
            coalesce(sum(messages) FILTER (WHERE hour < ?2 AND reason = 'corrupt'), 0) AS damaged_before,
            coalesce(sum(messages) FILTER (WHERE hour < ?2 AND reason = 'bad_seal'), 0) AS forged_before
        FROM refusals WHERE hour >= ?1 GROUP BY device_id HAVING refused > 0 ORDER BY refused DESC LIMIT ?3)
    SELECT w.*, (SELECT count(*) FROM seen s WHERE s.device = n.id AND s.envelope >= ?5),
        (SELECT count(*) FROM seen s WHERE s.device = n.id AND s.envelope >= ?4 AND s.envelope < ?5)
    FROM worst w LEFT JOIN device_name n ON n.name = w.device_id";

impl Sqlite {
    pub(in crate::store) async fn most_refused(
        &self,
        period: Period,
        limit: u32,
    ) -> Result<Vec<Integrity>, StoreError> {
        let mut moment = self.0.readers.begin().await?;
        let before = first_envelope(&mut moment, period.before_ms).await?;
        let since = first_envelope(&mut moment, period.since_ms).await?;
        let worst =
            sqlx::query_as(WORST).bind(period.before_ms).bind(period.since_ms).bind(limit).bind(before).bind(since);
        let rows: Vec<Row> = worst.fetch_all(&mut *moment).await?;
        Ok(rows.into_iter().map(Integrity::of).collect())
    }
}

/// The number from which on envelopes came at this time or later, by bisection.
async fn first_envelope(connection: &mut SqliteConnection, unix_ms: i64) -> sqlx::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM envelope").fetch_one(&mut *connection).await?;
    let (mut low, mut high) = (1, last.unwrap_or(0) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let sql = "SELECT received_at FROM envelope WHERE id >= ? ORDER BY id LIMIT 1";
        let arrived: Option<i64> = sqlx::query_scalar(sql).bind(middle).fetch_optional(&mut *connection).await?;
        match arrived {
            Some(arrived) if arrived < unix_ms => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
