//! Presence in its table.

use super::Sqlite;
use super::bulk::{Bulk, Row};
use crate::store::{PresenceRow, StoreError};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use std::sync::{Arc, LazyLock};

/// A device that was deleted meanwhile stays away.
static SAVE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::inserting(
        "INSERT OR FAIL INTO presence (device_id, state, since, reason, address, version)",
        6,
        "AND EXISTS (SELECT 1 FROM devices WHERE device_id = column1)
         ON CONFLICT (device_id) DO UPDATE SET state = excluded.state, since = excluded.since, reason = excluded.reason,
         address = excluded.address, version = excluded.version",
    )
});

impl Sqlite {
    pub(in crate::store) async fn presence(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PresenceRow>, StoreError> {
        let sql = "SELECT device_id, state, since, reason, address, version FROM presence
            WHERE device_id > ? ORDER BY device_id LIMIT ?";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(limit).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(presence).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn save_presence(&self, rows: &[PresenceRow]) -> Result<(), StoreError> {
        let bind = |presence: &PresenceRow, row: &mut Row| {
            row.text(&presence.device_id);
            row.text(&presence.state);
            row.int(presence.since_ms);
            row.text(&presence.reason);
            row.text(&presence.address);
            row.text(&presence.version);
        };
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let saved = SAVE.execute(&mut transaction.connection, rows, bind).await;
        transaction.end(saved).await?;
        Ok(())
    }
}

fn presence(row: &SqliteRow) -> sqlx::Result<PresenceRow> {
    let text = |column| row.try_get::<String, _>(column);
    Ok(PresenceRow {
        device_id: Arc::from(row.try_get::<&str, _>(0)?),
        state: text(1)?.into(),
        since_ms: row.try_get(2)?,
        reason: text(3)?.into(),
        address: text(4)?,
        version: text(5)?.into(),
        is_elsewhere: false,
    })
}
