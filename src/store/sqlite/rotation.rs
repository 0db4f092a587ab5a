//! Keys and secrets that make way for others, in their tables.

use super::Sqlite;
use super::writer::Transaction;
use crate::store::rotation::{KeyUsage, NewSecret, usage};
use crate::store::{Actor, Event, Found, Kind, StoreError};

impl Sqlite {
    pub(in crate::store) async fn raise_key_version(
        &self,
        actor: &Actor,
        device_id: &str,
        lowest: u8,
    ) -> Result<Found, StoreError> {
        let sql = "UPDATE devices SET key_version_min = max(key_version_min, ?) WHERE device_id = ?";
        let rows = self.0.changed(actor, sqlx::query(sql).bind(lowest).bind(device_id)).await?;
        Ok(Found::of_rows(rows))
    }

    pub(in crate::store) async fn raise_key_versions(&self, actor: &Actor, lowest: u8) -> Result<u64, StoreError> {
        let sql = "UPDATE devices SET key_version_min = ?1 WHERE key_version_min < ?1";
        self.0.changed(actor, sqlx::query(sql).bind(lowest)).await
    }

    pub(in crate::store) async fn newest_key_version_used(&self, device_id: &str) -> Result<Option<u8>, StoreError> {
        let sql = "SELECT max(key_version) FROM (
            SELECT max(key_version) AS key_version FROM seen WHERE device = (SELECT id FROM device_name WHERE name = ?1)
            UNION ALL
            SELECT max(key_version) FROM seen_floor WHERE device = (SELECT id FROM device_name WHERE name = ?1))";
        Ok(sqlx::query_scalar(sql).bind(device_id).fetch_one(&self.0.readers).await?)
    }

    pub(in crate::store) async fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError> {
        let mut parts: [Vec<(i64, i64)>; 4] = Default::default();
        for (part, sql) in parts.iter_mut().zip([
            "SELECT key_version_min, count(*) FROM devices GROUP BY 1",
            "SELECT key_version, count(*) FROM key_fetches GROUP BY 1",
            "SELECT newest, count(*) FROM (
                SELECT max(coalesce((SELECT max(key_version) FROM seen WHERE device = n.id), 0),
                    coalesce((SELECT max(key_version) FROM seen_floor WHERE device = n.id), 0)) AS newest
                FROM devices d JOIN device_name n ON n.name = d.device_id) WHERE newest > 0 GROUP BY 1",
            "SELECT key_version, count(*) FROM seen GROUP BY 1",
        ]) {
            *part = sqlx::query_as(sql).fetch_all(&self.0.readers).await?;
        }
        Ok(usage(parts))
    }

    pub(in crate::store) async fn note_key_fetch(
        &self,
        device_id: &str,
        version: u8,
        event: &Event,
    ) -> Result<(), StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let noted = note(&mut transaction, device_id, version, event).await;
        Ok(transaction.end(noted).await?)
    }

    pub(in crate::store) async fn rotate_secret(
        &self,
        actor: &Actor,
        kind: Kind,
        name: &str,
        secret: &NewSecret,
    ) -> Result<Found, StoreError> {
        let sql = match kind {
            Kind::Device => {
                "UPDATE clients SET old_secret_sha256 = secret_sha256, old_secret_until = ?, secret_sha256 = ? WHERE device_id = ?"
            }
            Kind::Service => {
                "UPDATE clients SET old_secret_sha256 = secret_sha256, old_secret_until = ?, secret_sha256 = ? WHERE service = ?"
            }
        };
        let query = sqlx::query(sql).bind(secret.old_until_ms).bind(&secret.secret_sha256[..]).bind(name);
        Ok(Found::of_rows(self.0.changed(actor, query).await?))
    }

    pub(in crate::store) async fn end_old_secret(
        &self,
        actor: &Actor,
        kind: Kind,
        name: &str,
    ) -> Result<Found, StoreError> {
        let sql = match kind {
            Kind::Device => "UPDATE clients SET old_secret_sha256 = NULL, old_secret_until = NULL WHERE device_id = ?",
            Kind::Service => "UPDATE clients SET old_secret_sha256 = NULL, old_secret_until = NULL WHERE service = ?",
        };
        Ok(Found::of_rows(self.0.changed(actor, sqlx::query(sql).bind(name)).await?))
    }
}

async fn note(transaction: &mut Transaction<'_>, device_id: &str, version: u8, event: &Event) -> sqlx::Result<()> {
    let sql = "INSERT INTO key_fetches (device_id, key_version, fetched_at) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET fetched_at = excluded.fetched_at";
    let fetch = sqlx::query(sql).bind(device_id).bind(version).bind(event.at_ms);
    fetch.execute(&mut transaction.connection).await?;
    super::audit::insert(transaction, std::slice::from_ref(event)).await
}
