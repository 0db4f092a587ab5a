//! Presence in its table.

use super::Postgres;
use crate::store::{Burial, Met, PresenceRow, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::sync::Arc;

impl Postgres {
    pub(in crate::store) async fn presence(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PresenceRow>, StoreError> {
        let sql = "SELECT p.device_id, p.state, to_ms(p.since), p.reason, p.address, p.version, n.id IS NOT NULL
            FROM presence p LEFT JOIN node n ON n.id = p.node AND n.id <> $3 AND n.alive_at > now() - $4::text::interval
            WHERE p.device_id > $1 ORDER BY p.device_id LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(after.unwrap_or(""))
            .bind(i64::from(limit))
            .bind(&self.0.node)
            .bind(DEAD_AFTER)
            .fetch_all(&self.0.pool)
            .await?;
        Ok(rows.iter().map(presence).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn save_presence(&self, rows: &[PresenceRow]) -> Result<(), StoreError> {
        // A device that was deleted meanwhile stays away. FOR KEY SHARE: one that is being deleted is waited for.
        // The newest connection wins: where another gateway has it, an end that this one saw late says nothing.
        let sql = "INSERT INTO presence (device_id, state, since, reason, address, version, node)
            SELECT p.device_id, p.state, from_ms(p.since), p.reason, p.address, p.version, $7
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
                p (device_id, state, since, reason, address, version)
            JOIN devices d ON d.device_id = p.device_id COLLATE \"C\"
            ORDER BY p.device_id COLLATE \"C\"
            FOR KEY SHARE OF d
            ON CONFLICT (device_id) DO UPDATE SET state = excluded.state, since = excluded.since,
                reason = excluded.reason, address = excluded.address, version = excluded.version, node = excluded.node,
                changed_at = now()
            WHERE excluded.state = 'online' OR presence.state = 'offline' OR presence.node IN ('', excluded.node)";
        let column = |of: fn(&PresenceRow) -> &str| rows.iter().map(of).collect::<Vec<_>>();
        let save = sqlx::query(sql)
            .bind(column(|row| &row.device_id))
            .bind(column(|row| &row.state))
            .bind(rows.iter().map(|row| row.since_ms).collect::<Vec<_>>())
            .bind(column(|row| &row.reason))
            .bind(column(|row| &row.address))
            .bind(column(|row| &row.version))
            .bind(&self.0.node);
        save.execute(&self.0.pool).await?;
        Ok(())
    }

    pub(in crate::store) async fn meet(&self, since_ms: i64, burial: Burial) -> Result<Met, StoreError> {
        let node = &self.0.node;
        let alive = "INSERT INTO node (id, alive_at) VALUES ($1, now())
            ON CONFLICT (id) DO UPDATE SET alive_at = now() RETURNING to_ms(alive_at)";
        let asked_at_ms: i64 = sqlx::query_scalar(alive).bind(node).fetch_one(&self.0.pool).await?;
        let mut orphans = Vec::new();
        if burial == Burial::Allowed {
            orphans = sqlx::query(BURY).bind(node).bind(DEAD_AFTER).fetch_all(&self.0.pool).await?;
        }
        // What was saved before the start was loaded then.
        let since_ms = if since_ms == 0 { asked_at_ms - LOADED_MS } else { since_ms };
        // A row that was being saved when it was asked last shows an earlier time than that.
        let changed = sqlx::query(CHANGED).bind(node).bind(since_ms - OVERLAP_MS).fetch_all(&self.0.pool).await?;
        Ok(Met {
            changed: changed.iter().map(presence).collect::<sqlx::Result<_>>()?,
            orphans: orphans.iter().map(presence).collect::<sqlx::Result<_>>()?,
            asked_at_ms,
        })
    }
}

/// Longer than a gateway that lives lets pass between two signs.
const DEAD_AFTER: &str = "15 seconds";
/// Longer than a start takes.
const LOADED_MS: i64 = 60_000;
/// Longer than a row is on its way.
const OVERLAP_MS: i64 = 10_000;

const BURY: &str =
    "WITH dead AS (DELETE FROM node WHERE alive_at < now() - $2::text::interval AND id <> $1 RETURNING id)
    UPDATE presence p SET node = $1, changed_at = now() FROM dead WHERE p.node = dead.id AND p.state = 'online'
    RETURNING p.device_id, p.state, to_ms(p.since), p.reason, p.address, p.version, false";

const CHANGED: &str = "SELECT device_id, state, to_ms(since), reason, address, version, true FROM presence
    WHERE changed_at > from_ms($2) AND node NOT IN ('', $1) ORDER BY changed_at";

fn presence(row: &PgRow) -> sqlx::Result<PresenceRow> {
    let text = |column| row.try_get::<String, _>(column);
    Ok(PresenceRow {
        device_id: Arc::from(row.try_get::<&str, _>(0)?),
        state: text(1)?.into(),
        since_ms: row.try_get(2)?,
        reason: text(3)?.into(),
        address: text(4)?,
        version: text(5)?.into(),
        is_elsewhere: row.try_get(6)?,
    })
}
