//! What was refused, by device.

use super::Postgres;
use crate::store::integrity::{Integrity, Row};
use crate::store::{Period, StoreError};

const WORST: &str = "
    WITH worst AS (SELECT device_id, to_ms(min(hour)) AS first, to_ms(max(hour)) AS last,
            coalesce(sum(messages) FILTER (WHERE hour >= from_ms($2)), 0)::bigint AS refused,
            coalesce(sum(messages) FILTER (WHERE hour >= from_ms($2) AND reason = 'corrupt'), 0)::bigint AS damaged,
            coalesce(sum(messages) FILTER (WHERE hour >= from_ms($2) AND reason = 'bad_seal'), 0)::bigint AS forged,
            coalesce(sum(messages) FILTER (WHERE hour < from_ms($2)), 0)::bigint AS refused_before,
            coalesce(sum(messages) FILTER (WHERE hour < from_ms($2) AND reason = 'corrupt'), 0)::bigint AS damaged_before,
            coalesce(sum(messages) FILTER (WHERE hour < from_ms($2) AND reason = 'bad_seal'), 0)::bigint AS forged_before
        FROM refusals WHERE hour >= from_ms($1) GROUP BY device_id
        HAVING sum(messages) FILTER (WHERE hour >= from_ms($2)) > 0 ORDER BY refused DESC LIMIT $3)
    SELECT w.*, (SELECT count(*) FROM envelope e WHERE e.device = n.id AND e.received_at >= from_ms($2)),
        (SELECT count(*) FROM envelope e WHERE e.device = n.id AND e.received_at >= from_ms($1) AND e.received_at < from_ms($2))
    FROM worst w LEFT JOIN device_name n ON n.name = w.device_id";

impl Postgres {
    pub(in crate::store) async fn most_refused(
        &self,
        period: Period,
        limit: u32,
    ) -> Result<Vec<Integrity>, StoreError> {
        let worst = sqlx::query_as(WORST).bind(period.before_ms).bind(period.since_ms).bind(i64::from(limit));
        let rows: Vec<Row> = worst.fetch_all(&self.0.pool).await?;
        Ok(rows.into_iter().map(Integrity::of).collect())
    }
}
