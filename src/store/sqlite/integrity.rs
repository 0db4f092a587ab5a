//! What was refused, by device.

use super::Sqlite;
use crate::store::integrity::{Integrity, Share};
use crate::store::{Period, StoreError};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// There is no index by arrival, but envelopes are numbered as they arrive: from the first number of the time on, by way of `seen`.
const WORST: &str = "
    WITH worst AS (SELECT device_id, min(hour) AS first, max(hour) AS last,
            coalesce(sum(messages) FILTER (WHERE hour >= ?2), 0) AS refused,
            coalesce(sum(messages) FILTER (WHERE hour >= ?2 AND reason = 'corrupt'), 0) AS damaged,
            coalesce(sum(messages) FILTER (WHERE hour >= ?2 AND reason = 'bad_seal'), 0) AS forged,
            coalesce(sum(messages) FILTER (WHERE hour < ?2), 0) AS refused_before,
            coalesce(sum(messages) FILTER (WHERE hour < ?2 AND reason = 'corrupt'), 0) AS damaged_before,
            coalesce(sum(messages) FILTER (WHERE hour < ?2 AND reason = 'bad_seal'), 0) AS forged_before
        FROM refusals WHERE hour >= ?1 GROUP BY device_id HAVING refused > 0 ORDER BY refused DESC LIMIT ?3)
    SELECT w.*, (SELECT count(*) FROM seen s JOIN envelope e ON e.id = s.envelope WHERE s.device = n.id AND e.received_at >= ?2),
        (SELECT count(*) FROM seen s JOIN envelope e ON e.id = s.envelope
            WHERE s.device = n.id AND e.received_at >= ?1 AND e.received_at < ?2)
    FROM worst w LEFT JOIN device_name n ON n.name = w.device_id";

impl Sqlite {
    pub(in crate::store) async fn most_refused(
        &self,
        period: Period,
        limit: u32,
    ) -> Result<Vec<Integrity>, StoreError> {
        let worst = sqlx::query(WORST).bind(period.before_ms).bind(period.since_ms).bind(limit);
        let rows = worst.fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(integrity).collect::<sqlx::Result<_>>()?)
    }
}

fn integrity(row: &SqliteRow) -> sqlx::Result<Integrity> {
    let count = |column: usize| row.try_get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
    let share = |first: usize, accepted: usize| -> sqlx::Result<Share> {
        Ok(Share {
            accepted: count(accepted)?,
            refused: count(first)?,
            damaged: count(first + 1)?,
            forged: count(first + 2)?,
        })
    };
    Ok(Integrity {
        device_id: row.try_get(0)?,
        hours: (row.try_get(1)?, row.try_get(2)?),
        now: share(3, 9)?,
        before: share(6, 10)?,
    })
}
