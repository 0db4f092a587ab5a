//! Keys and secrets that make way for others, in their tables.

use super::Postgres;
use super::audit::insert;
use crate::store::rotation::{KeyUsage, NewSecret, usage};
use crate::store::{Actor, Event, Found, Kind, StoreError};

impl Postgres {
    pub(in crate::store) async fn raise_key_version(
        &self,
        actor: &Actor,
        device_id: &str,
        lowest: u8,
    ) -> Result<Found, StoreError> {
        let sql = "UPDATE devices SET key_version_min = greatest(key_version_min, $1) WHERE device_id = $2";
        let rows = self.changed(actor, sqlx::query(sql).bind(i16::from(lowest)).bind(device_id)).await?;
        Ok(Found::of_rows(rows))
    }

    pub(in crate::store) async fn raise_key_versions(&self, actor: &Actor, lowest: u8) -> Result<u64, StoreError> {
        let sql = "UPDATE devices SET key_version_min = $1 WHERE key_version_min < $1";
        self.changed(actor, sqlx::query(sql).bind(i16::from(lowest))).await
    }

    pub(in crate::store) async fn newest_key_version_used(&self, device_id: &str) -> Result<Option<u8>, StoreError> {
        let sql = "SELECT greatest(
            (SELECT max(key_version) FROM seen WHERE device = (SELECT id FROM device_name WHERE name = $1)),
            (SELECT max(key_version) FROM seen_floor WHERE device = (SELECT id FROM device_name WHERE name = $1)))";
        let version: Option<i16> = sqlx::query_scalar(sql).bind(device_id).fetch_one(&self.0.pool).await?;
        Ok(version.and_then(|version| u8::try_from(version).ok()))
    }

    pub(in crate::store) async fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError> {
        let mut parts: [Vec<(i64, i64)>; 4] = Default::default();
        for (part, sql) in parts.iter_mut().zip([
            "SELECT key_version_min::bigint, count(*) FROM devices GROUP BY 1",
            "SELECT key_version::bigint, count(*) FROM key_fetches GROUP BY 1",
            "SELECT newest::bigint, count(*) FROM (
                SELECT greatest((SELECT max(key_version) FROM seen WHERE device = n.id),
                    (SELECT max(key_version) FROM seen_floor WHERE device = n.id)) AS newest
                FROM devices d JOIN device_name n ON n.name = d.device_id) AS device WHERE newest > 0 GROUP BY 1",
            "SELECT key_version::bigint, count(*) FROM seen GROUP BY 1",
        ]) {
            *part = sqlx::query_as(sql).fetch_all(&self.0.pool).await?;
        }
        Ok(usage(parts))
    }

    pub(in crate::store) async fn note_key_fetch(
        &self,
        device_id: &str,
        version: u8,
        event: &Event,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.pool.begin().await?;
        let sql = "INSERT INTO key_fetches (device_id, key_version, fetched_at) VALUES ($1, $2, from_ms($3))
            ON CONFLICT (device_id, key_version) DO UPDATE SET fetched_at = excluded.fetched_at";
        let fetch = sqlx::query(sql).bind(device_id).bind(i16::from(version)).bind(event.at_ms);
        fetch.execute(&mut *transaction).await?;
        insert(&mut transaction, std::slice::from_ref(event)).await?;
        transaction.commit().await?;
        Ok(())
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
                "UPDATE clients SET old_secret_sha256 = secret_sha256, old_secret_until = from_ms($1), secret_sha256 = $2 WHERE device_id = $3"
            }
            Kind::Service => {
                "UPDATE clients SET old_secret_sha256 = secret_sha256, old_secret_until = from_ms($1), secret_sha256 = $2 WHERE service = $3"
            }
        };
        let query = sqlx::query(sql).bind(secret.old_until_ms).bind(&secret.secret_sha256[..]).bind(name);
        Ok(Found::of_rows(self.changed(actor, query).await?))
    }

    pub(in crate::store) async fn end_old_secret(
        &self,
        actor: &Actor,
        kind: Kind,
        name: &str,
    ) -> Result<Found, StoreError> {
        let sql = match kind {
            Kind::Device => "UPDATE clients SET old_secret_sha256 = NULL, old_secret_until = NULL WHERE device_id = $1",
            Kind::Service => "UPDATE clients SET old_secret_sha256 = NULL, old_secret_until = NULL WHERE service = $1",
        };
        Ok(Found::of_rows(self.changed(actor, sqlx::query(sql).bind(name)).await?))
    }
}
