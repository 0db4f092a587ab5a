//! Presence in its table.

use super::Postgres;
use crate::store::{PresenceRow, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::sync::Arc;

impl Postgres {
    pub(in crate::store) async fn presence(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PresenceRow>, StoreError> {
        let sql = "SELECT device_id, state, to_ms(since), reason, address, version FROM presence
            WHERE device_id > $1 ORDER BY device_id LIMIT $2";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(presence).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn save_presence(&self, rows: &[PresenceRow]) -> Result<(), StoreError> {
        // A device that was deleted meanwhile stays away. FOR KEY SHARE: one that is being deleted is waited for.
        let sql = "INSERT INTO presence (device_id, state, since, reason, address, version)
            SELECT p.device_id, p.state, from_ms(p.since), p.reason, p.address, p.version
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
                p (device_id, state, since, reason, address, version)
            JOIN devices d ON d.device_id = p.device_id COLLATE \"C\"
            ORDER BY p.device_id COLLATE \"C\"
            FOR KEY SHARE OF d
            ON CONFLICT (device_id) DO UPDATE SET state = excluded.state, since = excluded.since,
                reason = excluded.reason, address = excluded.address, version = excluded.version";
        let column = |of: fn(&PresenceRow) -> &str| rows.iter().map(of).collect::<Vec<_>>();
        let save = sqlx::query(sql)
            .bind(column(|row| &row.device_id))
            .bind(column(|row| &row.state))
            .bind(rows.iter().map(|row| row.since_ms).collect::<Vec<_>>())
            .bind(column(|row| &row.reason))
            .bind(column(|row| &row.address))
            .bind(column(|row| &row.version));
        save.execute(&self.0.pool).await?;
        Ok(())
    }
}

fn presence(row: &PgRow) -> sqlx::Result<PresenceRow> {
    let text = |column| row.try_get::<String, _>(column);
    Ok(PresenceRow {
        device_id: Arc::from(row.try_get::<&str, _>(0)?),
        state: text(1)?.into(),
        since_ms: row.try_get(2)?,
        reason: text(3)?.into(),
        address: text(4)?,
        version: text(5)?.into(),
    })
}
